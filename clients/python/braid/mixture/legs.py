"""What a loop is told and tells, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Mapping, Optional, Protocol, Tuple

from braid.mixture.compose import Rule


@dataclass(frozen=True)
class Domain:
    """A domain, as the spec has it."""

    name: str
    paths: Tuple[str, ...] = ()
    tokens: Optional[int] = None


@dataclass(frozen=True)
class Weights:
    """On what to train, from step ``since`` up to step ``until``, at which the next are asked for."""

    since: int
    until: int
    proportions: Dict[str, float]
    """What share of the tokens each domain gets."""
    objective: Optional[Dict[str, float]] = None
    """What share each domain's mean loss has in the objective, where that is not the mean over the batch."""
    rule: Rule = "exact"
    stale: bool = False
    """Nobody could say what follows: these are the last that were known."""


@dataclass(frozen=True)
class Branch:
    """A short training beside the run."""

    proportions: Dict[str, float]
    steps: int
    stream: int
    """Branches of one number see the same sequences of a domain in the same order."""
    batches: Tuple[Dict[str, int], ...] = ()
    """Sequences of each domain, for every step: composed as Braid composes them."""


@dataclass(frozen=True)
class Gradients:
    """Gradients of the domains' losses at the model as it is."""

    squared_norms: Mapping[str, float]
    """Of the mean gradient of each domain's training batch."""
    variances: Mapping[str, float] = field(default_factory=dict)
    """Of one sequence's gradient about that mean, summed over parameters."""
    products: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """``products[i][j]``: of i's validation gradient with j's training gradient."""
    learning_rate: float = 0.0


class Branches(Protocol):
    """What a loop must be able to do for methods that train beside the run."""

    def save(self) -> object:
        """All that training changes, as something that ``load`` takes."""

    def load(self, saved: object) -> None:
        """Goes back to what was saved. The same may be loaded several times."""

    def train(self, branch: Branch) -> Mapping[str, int]:
        """Makes the steps of a branch; the tokens of each domain that it read."""

    def keep_reference(self) -> None:
        """Keeps the model as it is as the one that excess losses refer to."""
