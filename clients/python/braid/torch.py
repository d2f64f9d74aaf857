"""Plans to torch.distributed: process groups by plan, and one plan for all ranks. Needs the extra ``braid-client[torch]``.

Both are collective: every rank takes part, in the same order, also one that has nothing to do in a micro-batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Dict, Generator, Iterable, Iterator, List, Optional, Tuple

import torch.distributed as dist

from braid.errors import BraidError
from braid.plan import Group, Plan


@dataclass(frozen=True)
class Membership:
    """This rank's place in a micro-batch."""

    group: Group
    process_group: dist.ProcessGroup
    rank: int
    """Within the group, from 0."""


class ProcessGroups:
    """The process groups of all plans so far, each made once, when a plan first has it.

    torch names groups by counting calls of ``new_group``, so every rank has to make the same calls, also for groups that it
    is no member of. Here the calls are a function of the plans alone: all new groups of a plan are made at its first use,
    in the order of the plan. Under powers of two a rank is in few groups (log2 of the world, and one); under ``any`` a long
    training may make hundreds.
    """

    def __init__(self, *, backend: Optional[str] = None, timeout: Optional[timedelta] = None) -> None:
        self._backend, self._timeout = backend, timeout
        self._made: Dict[Tuple[int, int], Any] = {}

    def prepare(self, plan: Plan) -> None:
        """Makes the groups that ``plan`` has and no plan before it had. Collective."""
        if plan.world != dist.get_world_size():
            raise ValueError(f"the plan is for {plan.world} ranks, and torch.distributed has {dist.get_world_size()}")
        for group in (group for micro_batch in plan.micro_batches for group in micro_batch.groups):
            key = group.first_rank, group.degree
            if key not in self._made:
                self._made[key] = dist.new_group(list(group.ranks), backend=self._backend, timeout=self._timeout)

    def my_group(self, plan: Plan, micro_batch: int) -> Optional[Membership]:
        """Where this rank works in a micro-batch of ``plan``, given by its place; None where it has nothing to do.

        Collective at the first call for a plan.
        """
        self.prepare(plan)
        rank = dist.get_rank()
        group = plan.micro_batches[micro_batch].group_of(rank)
        if group is None:
            return None
        return Membership(group, self._made[group.first_rank, group.degree], rank - group.first_rank)

    def close(self) -> None:
        """Gives back all groups. Collective."""
        for made in self._made.values():
            if made is not dist.GroupMember.NON_GROUP_MEMBER:
                dist.destroy_process_group(made)
        self._made.clear()


def broadcast_plan(plan: Optional[Plan], *, group: Optional[dist.ProcessGroup] = None) -> Plan:
    """Rank 0's plan, on every rank; what the others give is not looked at. Collective.

    ``group`` holds all ranks; one of gloo keeps plans off the GPUs.
    """
    received = _from_rank_0(plan, group)
    if not isinstance(received, Plan):
        raise ValueError("rank 0 has no plan to broadcast")
    return received


def shared_plans(plans: Optional[Iterable[Plan]], *, group: Optional[dist.ProcessGroup] = None) -> Generator[Plan, None, None]:
    """Rank 0's plans, one by one, on every rank; the others give None. Collective at each step.

    It ends on all ranks where it ends on rank 0. An error on rank 0 is raised there, and as BraidError on the others: none
    is left waiting.
    """
    source: Iterator[Plan] = iter(())
    while True:
        item: object = None
        if dist.get_rank() == 0:
            try:
                if plans is not None:
                    source, plans = iter(plans), None
                item = next(source, None)
            except Exception as error:
                _from_rank_0(f"{type(error).__name__}: {error}", group)
                raise
        item = _from_rank_0(item, group)
        if isinstance(item, str):
            raise BraidError(f"rank 0 has no plan for this step: {item}")
        if not isinstance(item, Plan):
            return
        yield item


def _from_rank_0(item: object, group: Optional[dist.ProcessGroup]) -> object:
    items: List[object] = [item]
    dist.broadcast_object_list(items, src=0, group=group)
    return items[0]
