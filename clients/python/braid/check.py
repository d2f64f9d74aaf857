"""Whether a plan may be trained by. It trusts no coordinator: a sequence trained on twice would show in no loss curve."""

from __future__ import annotations

from typing import Sequence

from braid.errors import InvalidPlan
from braid.plan import MicroBatch, Plan


def verify(plan: Plan, lengths: Sequence[int]) -> None:
    """Checks that ``plan`` has each sequence of ``lengths`` once, and no rank twice at a time.

    Raises InvalidPlan, naming the first thing that is wrong.
    """
    seen = bytearray(len(lengths))
    for index in plan.dropped:
        _once(seen, index)
        if lengths[index] <= plan.context:
            raise _invalid(f"sequence {index} of {lengths[index]} tokens is dropped, and fits into the context of {plan.context}")
    for place, micro_batch in enumerate(plan.micro_batches):
        _ranks(micro_batch, place, plan.world)
        for group in micro_batch.groups:
            for index in group.sequences:
                _once(seen, index)
    if (missing := seen.find(0)) >= 0:
        raise _invalid(f"sequence {missing} is in no group")


def _once(seen: bytearray, index: int) -> None:
    if index >= len(seen):
        raise _invalid(f"it has a sequence {index}, and there are {len(seen)}")
    if seen[index]:
        raise _invalid(f"sequence {index} is there twice")
    seen[index] = 1


def _ranks(micro_batch: MicroBatch, place: int, world: int) -> None:
    free = 0
    for group in micro_batch.groups:
        if group.degree < 1:
            raise _invalid(f"a group of micro-batch {place} has no ranks")
        if group.first_rank < free:
            raise _invalid(f"rank {group.first_rank} is in two groups of micro-batch {place}, or their order is not that of the ranks")
        free = group.first_rank + group.degree
        if free > world:
            raise _invalid(f"micro-batch {place} has a rank {free - 1}, and there are {world}")


def _invalid(problem: str) -> InvalidPlan:
    return InvalidPlan(f"the coordinator's plan is not valid: {problem}", "update the older of client and coordinator; else report it")
