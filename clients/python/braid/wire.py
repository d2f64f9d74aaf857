"""Questions to messages, and messages to plans."""

from __future__ import annotations

import operator
import os
from pathlib import Path
from typing import Literal, Mapping, Optional, Sequence, TypedDict, TypeVar, Union

from braid._proto import plan_pb2 as pb
from braid.check import verify
from braid.plan import Baselines, Group, MicroBatch, Plan

Profile = Union[str, "os.PathLike[str]"]
"""A cluster or a model: the name of a built-in one, the text of a YAML file, or the path of one."""

Value = TypeVar("Value")
_EFFORTS = {"fast": pb.PlanRequest.FAST, "thorough": pb.PlanRequest.THOROUGH}
_DEGREES = {"powers": pb.PlanRequest.POWERS_OF_TWO, "any": pb.PlanRequest.ANY}


class Options(TypedDict, total=False):
    """What else a question may say; ``braid plan --help`` has the same."""

    context: Optional[int]
    """Drops longer sequences, and sets the number of parameters (default: the longest sequence)."""
    effort: Literal["fast", "thorough"]
    """How hard to look for a better plan: tens of milliseconds, or up to about a second."""
    degrees: Literal["powers", "any"]
    """Which degrees a group may have: powers of two, or any part of a node and any number of nodes."""
    barrier: bool
    """Whether all ranks wait for each other between micro-batches (default: they do)."""
    baselines: bool
    """Also say what the step takes with one degree."""
    budget_s: Optional[float]
    """Stop looking for better after so long; then the same question may get another plan."""


def request(
    lengths: Sequence[int],
    cluster: Profile,
    model: Profile,
    *,
    context: Optional[int] = None,
    effort: Literal["fast", "thorough"] = "fast",
    degrees: Literal["powers", "any"] = "powers",
    barrier: bool = True,
    baselines: bool = False,
    budget_s: Optional[float] = None,
) -> pb.PlanRequest:
    """Writes a question. Takes every kind of integer, also numpy's and torch's."""
    return pb.PlanRequest(
        lengths=[_length(index, length) for index, length in enumerate(lengths)],
        cluster=_text(cluster),
        model=_text(model),
        context=context,
        effort=_one_of("effort", effort, _EFFORTS),
        degrees=_one_of("degrees", degrees, _DEGREES),
        no_barrier=not barrier,
        baselines=baselines,
        # 0 means none, so the shortest is 1.
        budget_millis=0 if budget_s is None else max(1, round(budget_s * 1e3)),
    )


def _length(index: int, length: int) -> int:
    try:
        tokens = operator.index(length)
    except TypeError:
        raise TypeError(f"lengths[{index}] is {length!r}; expected a whole number of tokens") from None
    # Other limits are the coordinator's to tell; this is what a message can hold.
    if not 0 <= tokens < 1 << 64:
        raise ValueError(f"lengths[{index}] is {tokens}; expected a number of tokens above 0")
    return tokens


def _text(profile: Profile) -> str:
    return profile if isinstance(profile, str) else Path(profile).read_text(encoding="utf-8")


def _one_of(what: str, word: str, known: Mapping[str, Value]) -> Value:
    if word not in known:
        raise ValueError(f"{what} is {word!r}; expected {' or '.join(known)}")
    return known[word]


def plan(request: pb.PlanRequest, reply: pb.PlanReply) -> Plan:
    """Reads the reply to ``request``, and checks it."""
    plan = Plan(
        predicted_s=reply.predicted_s,
        bound_s=reply.bound_s,
        gap=reply.gap,
        any_division_bound_s=reply.any_division_bound_s,
        solve_ms=reply.solve_ms,
        micro_batches=tuple(map(_micro_batch, reply.micro_batches)),
        dropped=tuple(reply.dropped),
        world=reply.world,
        barrier=reply.barrier,
        context=reply.context,
        baselines=_baselines(reply.baselines) if reply.HasField("baselines") else None,
    )
    verify(plan, request.lengths)
    return plan


def _micro_batch(message: pb.PlanReply.MicroBatch) -> MicroBatch:
    groups = (Group(g.first_rank, g.degree, g.predicted_s, tuple(g.sequences)) for g in message.groups)
    return MicroBatch(message.predicted_s, message.bound_s, tuple(groups))


def _baselines(message: pb.PlanReply.Baselines) -> Baselines:
    static = message.static_s if message.HasField("static_s") else None
    return Baselines(static, message.batchada_s if message.HasField("batchada_s") else None)
