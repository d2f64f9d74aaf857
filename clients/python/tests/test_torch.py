"""Process groups by plan, on four ranks of gloo. Needs the extra `torch`."""

import tempfile
import traceback
import unittest
from importlib.util import find_spec

from braid import BraidError, Group, MicroBatch, Plan

WORLD = 4


def plan(*micro_batches, world=WORLD):
    """A plan of groups given as (first rank, degree)."""
    made = (MicroBatch(1.0, 1.0, tuple(Group(first, degree, 1.0, (i,)) for i, (first, degree) in enumerate(m))) for m in micro_batches)
    return Plan(1.0, 1.0, 0.0, 1.0, 0.0, tuple(made), (), world, True, 1)


PLANS = [
    plan([(0, 2), (2, 1), (3, 1)], [(0, 4)]),
    plan([(1, 3)], [(0, 1), (2, 2)], [(0, 2), (2, 2)]),  # rank 0 idles, then rank 1; one group is known, one comes twice
    plan([(0, 4)]),
]


def four_ranks(body):
    """Runs `body(rank)` on each of four processes; the test fails with the first that does."""
    import torch.multiprocessing as mp

    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_rank, args=(f"file://{folder}/store", body), nprocs=WORLD)


def _rank(rank, store, body):
    from datetime import timedelta

    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=WORLD, timeout=timedelta(seconds=60))
    try:
        body(rank)
        dist.barrier()
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        dist.destroy_process_group()


def groups_are_those_of_the_plans(rank):
    import torch
    import torch.distributed as dist

    from braid.torch import ProcessGroups

    calls = []
    new_group = dist.new_group
    dist.new_group = lambda ranks, **options: calls.append(tuple(ranks)) or new_group(ranks, **options)
    groups = ProcessGroups()
    for each in PLANS * 2:
        for index, micro_batch in enumerate(each.micro_batches):
            mine = groups.my_group(each, index)
            expected = micro_batch.group_of(rank)
            if expected is None:
                assert mine is None, mine
                continue
            assert mine.group == expected and mine.rank == rank - expected.first_rank
            assert (dist.get_world_size(mine.process_group), dist.get_rank(mine.process_group)) == (expected.degree, mine.rank)
            sums = torch.tensor([10.0**rank])
            dist.all_reduce(sums, group=mine.process_group)
            assert sums.item() == sum(10.0**r for r in expected.ranks), (each, index, sums)
    # The same calls on every rank, each group once.
    assert calls == [(0, 1), (2,), (3,), (0, 1, 2, 3), (1, 2, 3), (0,), (2, 3)], calls
    try:
        groups.prepare(plan([(0, 8)], world=8))
        raise AssertionError("a plan for another world was taken")
    except ValueError as error:
        assert "8 ranks" in str(error), error
    groups.close()


def the_plans_of_rank_0_are_shared(rank):
    from braid.torch import broadcast_plan, shared_plans

    assert broadcast_plan(PLANS[1] if rank == 0 else None) == PLANS[1]
    assert list(shared_plans(iter(PLANS) if rank == 0 else None)) == PLANS
    assert list(shared_plans(PLANS[:1] if rank == 0 else None)) == PLANS[:1]
    try:
        broadcast_plan(None)
        raise AssertionError("a plan came from nowhere")
    except ValueError as error:
        assert "rank 0 has no plan" in str(error), error

    def failing():
        yield PLANS[0]
        raise KeyError("lost")

    seen = []
    try:
        for each in shared_plans(failing() if rank == 0 else None):
            seen.append(each)
        raise AssertionError("the error of rank 0 did not come")
    except KeyError:
        assert rank == 0
    except BraidError as error:
        assert rank > 0 and "KeyError: 'lost'" in str(error), error
    assert seen == PLANS[:1]


@unittest.skipUnless(find_spec("torch"), "needs the extra braid-client[torch]")
class FourRanks(unittest.TestCase):
    def test_groups_are_those_of_the_plans(self):
        four_ranks(groups_are_those_of_the_plans)

    def test_the_plans_of_rank_0_are_shared(self):
        four_ranks(the_plans_of_rank_0_are_shared)


if __name__ == "__main__":
    unittest.main()
