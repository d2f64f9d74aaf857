"""Messages to plain data and back, and what was seen of a leg as one report."""

from __future__ import annotations

import operator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from braid._proto import mixture_pb2 as pb
from braid.mixture.compose import Rule
from braid.mixture.errors import MixtureError
from braid.mixture.legs import Domain, Gradients, Weights

_RULES: Dict[int, Rule] = {pb.Leg.EXACT: "exact", pb.Leg.MULTINOMIAL: "multinomial", pb.Leg.FLOORED: "floored"}


@dataclass(frozen=True)
class Entry:
    """What one report of the loop has seen, up to a step."""

    step: int
    stale: bool
    tokens: Dict[str, int]
    losses: Dict[str, float]
    excess: Dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Needs:
    """What the end of a leg must tell beside tokens."""

    train: bool = False
    validation: bool = False
    excess: bool = False
    norms: bool = False
    products: bool = False


def needs(message: pb.Needs) -> Needs:
    return Needs(message.train, message.validation, message.excess, message.norms, message.products)


def domain(message: pb.BeginReply.Domain) -> Domain:
    tokens = int(message.tokens) if message.HasField("tokens") else None
    return Domain(message.name, tuple(message.paths), tokens)


def weights(message: pb.Leg, names: Sequence[str]) -> Weights:
    if len(message.proportions) != len(names) or message.rule not in _RULES:
        raise MixtureError("what came are no weights of this run", "update the older of client and worker")
    objective = dict(zip(names, message.objective)) if message.objective else None
    proportions = dict(zip(names, message.proportions))
    return Weights(int(message.since_step), int(message.until), proportions, objective, _RULES[message.rule])


def stale(leg: Weights) -> Weights:
    return replace(leg, stale=True)


def state_of(leg: Weights, asked: Needs) -> Dict[str, Any]:
    return {"weights": asdict(leg), "needs": asdict(asked)}


def leg_of(state: Mapping[str, Any]) -> Tuple[Weights, Needs]:
    return Weights(**state["weights"]), Needs(**state["needs"])


def floats(what: str, by: Mapping[str, float], names: Sequence[str]) -> Dict[str, float]:
    """One number a domain, whatever kind of number it is."""
    _same(what, by, names)
    return {name: float(by[name]) for name in names}


def counts(what: str, by: Mapping[str, int], names: Sequence[str]) -> Dict[str, int]:
    _same(what, by, names)
    return {name: operator.index(by[name]) for name in names}


def _same(what: str, by: Mapping[str, object], names: Sequence[str]) -> None:
    if set(by) != set(names):
        raise MixtureError(f"{what}: expected the domains {', '.join(names)}, found {', '.join(sorted(by)) or 'none'}")


def gradients(found: Gradients, names: Sequence[str]) -> pb.Gradients:
    rows = {name: pb.Gradients.Row(by_trained=floats("products", row, names)) for name, row in found.products.items()}
    return pb.Gradients(
        squared_norms=floats("squared_norms", found.squared_norms, names),
        variances=floats("variances", found.variances, names) if found.variances else {},
        products=rows,
        learning_rate=float(found.learning_rate),
    )


def summed(entries: Sequence[Entry], leg: Weights, names: Sequence[str]) -> pb.ReportRequest:
    """The report of a leg: tokens added up, means weighted by them, in the order in which they were seen."""
    total = {name: sum(entry.tokens.get(name, 0) for entry in entries) for name in names}

    def means(seen: List[Tuple[Dict[str, float], Dict[str, int]]]) -> Dict[str, float]:
        found = {}
        for name in names:
            parts = [(by[name], tokens.get(name, 0)) for by, tokens in seen if name in by and tokens.get(name, 0)]
            weight = sum(tokens for _, tokens in parts)
            if weight:
                found[name] = sum(mean * tokens for mean, tokens in parts) / weight
        return found

    return pb.ReportRequest(
        step=leg.until,
        since=leg.since,
        tokens=total,
        losses=means([(entry.losses, entry.tokens) for entry in entries]),
        excess=means([(entry.excess, entry.tokens) for entry in entries]),
        stale=_stale_steps(entries, leg),
    )


def _stale_steps(entries: Sequence[Entry], leg: Weights) -> int:
    before, steps = leg.since, 0
    for entry in entries:
        steps += entry.step - before if entry.stale else 0
        before = entry.step
    return steps
