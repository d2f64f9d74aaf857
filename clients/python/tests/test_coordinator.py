"""Plans of a real coordinator."""

import dataclasses
import itertools
import random
import time
import unittest
from unittest import mock

from coordinator import Coordinator

from braid import BadQuestion, DoesNotFit, PlanClient, Unavailable
from braid import client as client_module

CLUSTER = """
name: two-kinds
pools:
  - { class: old, nodes: 1, gpus_per_node: 2, memory_gib: 1 }
  - { class: new, nodes: 2, gpus_per_node: 2, memory_gib: 2 }
all_to_all: { gb_per_s: { 2: 10, 4: 1 } }
"""
MODEL = """
name: tiny
layers: 2
hidden: 64
activation_mib_per_token: 0.5
parameters: [{ context: 1000, gi: 0.0001 }]
classes:
  old: { alpha1_ms: 1.0e-6, alpha2_ms: 0.002, beta1_ms: 1 }
  new: { alpha1_ms: 5.0e-7, alpha2_ms: 0.001, beta1_ms: 1 }
"""


def unequal(count, seed):
    """Lengths with a long tail, as documents have."""
    draw = random.Random(seed)
    return [min(int(draw.lognormvariate(8.0, 1.2)) + 1, 60_000) for _ in range(count)]


def timeless(plan):
    return dataclasses.replace(plan, solve_ms=0.0)


class RealCoordinator(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.coordinator = Coordinator().__enter__()
        cls.addClassCleanup(cls.coordinator.__exit__)

    def setUp(self):
        self.braid = PlanClient(self.coordinator.address, insecure=True)
        self.addCleanup(self.braid.close)

    def check(self, plan, lengths):
        """Every sequence once, and no rank twice at a time."""
        placed = [i for micro_batch in plan.micro_batches for group in micro_batch.groups for i in group.sequences]
        self.assertEqual(sorted([*placed, *plan.dropped]), list(range(len(lengths))))
        for micro_batch in plan.micro_batches:
            ranks = [rank for group in micro_batch.groups for rank in group.ranks]
            self.assertEqual(len(ranks), len(set(ranks)))
            self.assertTrue(all(0 <= rank < plan.world for rank in ranks))
            for group in micro_batch.groups:
                self.assertEqual({micro_batch.group_of(rank) for rank in group.ranks}, {group})
        self.assertLessEqual(plan.bound_s, plan.predicted_s)

    def test_a_step_is_planned(self):
        lengths = [*unequal(128, 1), 400_000]
        plan = self.braid.plan(lengths, "a100x64", "gpt-7b", context=192_000, baselines=True)
        self.check(plan, lengths)
        self.assertEqual((plan.world, plan.dropped, plan.context), (64, (128,), 192_000))
        self.assertGreater(plan.baselines.static_s, plan.predicted_s)
        self.assertGreater(len({group.degree for m in plan.micro_batches for group in m.groups}), 1)

    def test_profiles_are_sent_as_text(self):
        lengths = [n % 8000 + 1 for n in unequal(12, 2)]
        plan = self.braid.plan(lengths, CLUSTER, MODEL, degrees="any")
        self.check(plan, lengths)
        self.assertEqual((plan.world, plan.barrier), (6, True))

    def test_the_stream_gives_the_plans_that_single_calls_give(self):
        batches = [unequal(48, seed) for seed in range(6)]
        single = [self.braid.plan(lengths, "a100x64", "gpt-7b") for lengths in batches]
        streamed = list(self.braid.plans(batches, "a100x64", "gpt-7b", ahead=3))
        self.assertEqual(list(map(timeless, streamed)), list(map(timeless, single)))

    def test_a_refusal_reaches_the_step_with_the_reason(self):
        with self.assertRaisesRegex(BadQuestion, "did you mean gpt-7b"):
            self.braid.plan([100], "a100x64", "gpt-7B")
        with self.assertRaisesRegex(BadQuestion, r"lengths\[1\] is 0"):
            self.braid.plan([100, 0], "a100x64", "gpt-7b")
        plans = self.braid.plans([[100], [200], [300, 90_000_000], [400]], "a100x64", "gpt-7b", ahead=3)
        self.assertEqual([plan.micro_batches[0].groups[0].sequences for plan in (next(plans), next(plans))], [(0,), (0,)])
        with self.assertRaisesRegex(DoesNotFit, "90000000"):
            next(plans)

    def test_a_restart_between_steps_is_not_noticed(self):
        with Coordinator() as coordinator, PlanClient(coordinator.address, insecure=True) as braid:
            batches = [unequal(16, seed) for seed in range(6)]
            plans = braid.plans(batches, "a100x64", "gpt-7b", ahead=1)
            seen = [next(plans), next(plans)]
            coordinator.kill()
            coordinator.restart()
            seen.extend(plans)
        expected = [self.braid.plan(lengths, "a100x64", "gpt-7b") for lengths in batches]
        self.assertEqual(list(map(timeless, seen)), list(map(timeless, expected)))

    def test_a_coordinator_that_went_silent_is_noticed_before_the_plan_is_overdue(self):
        with mock.patch.multiple(client_module, _PING_S=0.5, _PONG_S=0.5, _CONNECT_S=0.5), Coordinator() as coordinator:
            with PlanClient(coordinator.address, insecure=True, retry_for=1, timeout=60) as braid:
                plans = braid.plans(([100] for _ in itertools.count()), "a100x64", "gpt-7b", ahead=1)
                next(plans)
                coordinator.freeze()
                began = time.monotonic()
                with self.assertRaisesRegex(Unavailable, coordinator.address):
                    list(plans)
        self.assertLess(time.monotonic() - began, 20)


if __name__ == "__main__":
    unittest.main()
