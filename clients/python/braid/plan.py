"""A plan, as plain frozen data: it can be compared, pickled, stored and replayed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple


@dataclass(frozen=True)
class Group:
    """Neighbouring ranks that share sequences."""

    first_rank: int
    degree: int
    """How many ranks."""
    predicted_s: float
    sequences: Tuple[int, ...]
    """Places in the list of lengths that was asked about, ascending."""

    @property
    def ranks(self) -> range:
        return range(self.first_rank, self.first_rank + self.degree)


@dataclass(frozen=True)
class MicroBatch:
    """Groups that run side by side, in order of rank."""

    predicted_s: float
    """The time of its slowest group."""
    bound_s: float
    """No plan for its sequences takes less."""
    groups: Tuple[Group, ...]

    def group_of(self, rank: int) -> Optional[Group]:
        """The group that ``rank`` works in; None where it has nothing to do."""
        return next((group for group in self.groups if rank in group.ranks), None)


@dataclass(frozen=True)
class Baselines:
    """What the step takes without a planner, in seconds; None where that is not possible on the cluster."""

    static_s: Optional[float]
    """The best single degree that holds the whole context."""
    batchada_s: Optional[float]
    """The best single degree for this batch."""


@dataclass(frozen=True)
class Plan:
    """One step: micro-batches in the order in which they run."""

    predicted_s: float
    bound_s: float
    """No plan in these micro-batches takes less; without a barrier, none at all."""
    gap: float
    """predicted / bound - 1"""
    any_division_bound_s: float
    """No plan in any micro-batches takes less."""
    solve_ms: float
    micro_batches: Tuple[MicroBatch, ...]
    dropped: Tuple[int, ...]
    """Sequences that are longer than the context."""
    world: int
    """How many ranks there are."""
    barrier: bool
    """Whether all ranks wait for each other between micro-batches."""
    context: int
    """The one asked for, or the longest sequence."""
    baselines: Optional[Baselines] = None
    """Where they were asked for."""
