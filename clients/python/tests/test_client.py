"""Single plans, against a planner in this process."""

import os
import pickle
import socket
import tempfile
import threading
import time
import unittest
from pathlib import Path
from unittest import mock

import grpc
from fake import FakePlanner, Refusal, reply

from braid import (
    BadCredentials,
    Baselines,
    BraidError,
    DoesNotFit,
    Group,
    InvalidPlan,
    MicroBatch,
    PlanClient,
    TimedOut,
    Unavailable,
)
from braid import client as client_module
from braid import errors
from braid._proto import plan_pb2 as pb


def client(planner: FakePlanner, **options) -> PlanClient:
    return PlanClient(planner.address, insecure=True, **options)


class OnePlan(unittest.TestCase):
    def test_a_plan_carries_all_that_the_reply_says(self):
        groups = [pb.PlanReply.Group(first_rank=0, degree=2, predicted_s=1.5, sequences=[0, 2])]
        groups.append(pb.PlanReply.Group(first_rank=3, degree=1, predicted_s=1.0, sequences=[1]))
        message = pb.PlanReply(
            predicted_s=1.5, bound_s=1.25, gap=0.2, any_division_bound_s=1.0, solve_ms=7.0, dropped=[3], world=4, barrier=True,
            context=9, baselines=pb.PlanReply.Baselines(batchada_s=2.0),
            micro_batches=[pb.PlanReply.MicroBatch(predicted_s=1.5, bound_s=1.25, groups=groups)],
        )  # fmt: skip
        with FakePlanner(lambda _: message) as planner, client(planner) as braid:
            plan = braid.plan([1, 2, 3, 10], "c", "m")
        expected = MicroBatch(1.5, 1.25, (Group(0, 2, 1.5, (0, 2)), Group(3, 1, 1.0, (1,))))
        self.assertEqual(plan.micro_batches, (expected,))
        self.assertEqual((plan.predicted_s, plan.bound_s, plan.gap, plan.any_division_bound_s), (1.5, 1.25, 0.2, 1.0))
        self.assertEqual((plan.solve_ms, plan.dropped, plan.world, plan.barrier, plan.context), (7.0, (3,), 4, True, 9))
        self.assertEqual(plan.baselines, Baselines(static_s=None, batchada_s=2.0))
        pair, single = expected.groups
        self.assertEqual([expected.group_of(rank) for rank in range(5)], [pair, pair, None, single, None])
        self.assertEqual(list(expected.groups[0].ranks), [0, 1])
        self.assertEqual(pickle.loads(pickle.dumps(plan)), plan)

    def test_a_question_is_written_as_it_was_asked(self):
        with tempfile.TemporaryDirectory() as folder, FakePlanner() as planner, client(planner) as braid:
            path = Path(folder, "m.yml")
            path.write_text("name: m\n", encoding="utf-8")
            braid.plan((5, 6), "c", path)
            braid.plan([5], "c", "m", context=8, effort="thorough", degrees="any", barrier=False, baselines=True, budget_s=0.0001)
        plain, full = planner.asked
        self.assertEqual(plain, pb.PlanRequest(lengths=[5, 6], cluster="c", model="name: m\n"))
        self.assertFalse(plain.HasField("context"))
        self.assertEqual(
            full,
            pb.PlanRequest(
                lengths=[5], cluster="c", model="m", context=8, effort=pb.PlanRequest.THOROUGH, degrees=pb.PlanRequest.ANY,
                no_barrier=True, baselines=True, budget_millis=1,
            ),
        )  # fmt: skip

    def test_a_question_that_cannot_be_written_says_why(self):
        with FakePlanner() as planner, client(planner) as braid:
            for lengths, options, said in [
                ([1, -2], {}, r"lengths\[1\] is -2"),
                ([1.5], {}, r"lengths\[0\] is 1.5"),
                (["7"], {}, r"lengths\[0\] is '7'"),
                ([1], {"effort": "some"}, "effort is 'some'; expected fast or thorough"),
                ([1], {"degrees": "all"}, "degrees is 'all'; expected powers or any"),
                ([1], {"contxt": 5}, "contxt"),
            ]:
                with self.assertRaisesRegex((ValueError, TypeError), said):
                    braid.plan(lengths, "c", "m", **options)
        self.assertEqual(planner.asked, [])

    def test_plaintext_is_spoken_only_where_that_is_said(self):
        with mock.patch.dict(os.environ, {"XDG_CONFIG_HOME": "/nonexistent"}, clear=True):
            with self.assertRaisesRegex(BadCredentials, "insecure=True"):
                PlanClient("127.0.0.1:1")
        with self.assertRaisesRegex(ValueError, "insecure=True goes with an address"):
            PlanClient("127.0.0.1:1", token="braid-user-", insecure=True)


class Failures(unittest.TestCase):
    def test_a_refusal_is_raised_with_its_reason_and_asked_for_once(self):
        def answer(_):
            raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, "no group holds sequence 3")

        with FakePlanner(answer) as planner, client(planner) as braid:
            with self.assertRaisesRegex(DoesNotFit, "^no group holds sequence 3\nhint: context= drops longer"):
                braid.plan([1], "c", "m")
        self.assertEqual(len(planner.asked), 1)

    def test_each_status_is_an_error_of_its_own(self):
        code = grpc.StatusCode
        for status, expected, hint in [
            (code.INVALID_ARGUMENT, errors.BadQuestion, None),
            (code.FAILED_PRECONDITION, errors.DoesNotFit, "context="),
            (code.INTERNAL, errors.PlanError, None),
            (code.UNIMPLEMENTED, errors.PlanError, "is it a coordinator"),
            (code.UNAUTHENTICATED, errors.Refused, None),
            (code.PERMISSION_DENIED, errors.Refused, None),
            (code.UNAVAILABLE, errors.Unavailable, "braid coordinator"),
            (code.DEADLINE_EXCEEDED, errors.TimedOut, "timeout="),
        ]:

            def answer(_, status=status):
                raise Refusal(status, "words")

            with self.subTest(status=status), FakePlanner(answer) as planner, client(planner, retry_for=0) as braid:
                with self.assertRaises(BraidError) as raised:
                    braid.plan([1], "c", "m")
                error = raised.exception
                self.assertIs(type(error), expected)
                self.assertIn(hint, error.hint) if hint else self.assertIsNone(error.hint)
                again = pickle.loads(pickle.dumps(error))
                self.assertEqual((type(again), str(again), again.hint), (expected, str(error), error.hint))

    def test_what_is_no_plan_of_the_question_is_not_handed_on(self):
        def change(**fields):
            return lambda plan: plan.MergeFrom(pb.PlanReply(**fields))

        def group(first_rank, degree, *sequences):
            return pb.PlanReply.Group(first_rank=first_rank, degree=degree, sequences=sequences)

        def micro_batch(*groups):
            return change(micro_batches=[pb.PlanReply.MicroBatch(groups=groups)])

        for spoil, said in [
            (micro_batch(group(0, 1, 1)), "sequence 1 is there twice"),
            (micro_batch(group(0, 1, 3)), "it has a sequence 3, and there are 3"),
            (micro_batch(group(0, 2), group(1, 2)), "rank 1 is in two groups of micro-batch 1"),
            (micro_batch(group(0, 0)), "a group of micro-batch 1 has no ranks"),
            (micro_batch(group(2, 1), group(3, 2)), "micro-batch 1 has a rank 4, and there are 4"),
            (change(dropped=[2]), "sequence 2 of 30 tokens is dropped, and fits into the context of 30"),
            (change(dropped=[0], context=1), "sequence 0 is there twice"),
            (lambda plan: plan.ClearField("micro_batches"), "sequence 0 is in no group"),
        ]:

            def answer(request, spoil=spoil):
                spoiled = reply(request)
                spoiled.context = 30
                spoil(spoiled)
                return spoiled

            with self.subTest(said=said), FakePlanner(answer) as planner, client(planner) as braid:
                for ask in (lambda: braid.plan([10, 20, 30], "c", "m"), lambda: next(braid.plans([[10, 20, 30]], "c", "m"))):
                    with self.assertRaisesRegex(InvalidPlan, said):
                        ask()

    def test_unavailable_is_tried_again(self):
        def answer(request):
            if len(planner.asked) < 3:
                raise Refusal(grpc.StatusCode.UNAVAILABLE, "not now")
            return reply(request)

        with FakePlanner(answer) as planner, client(planner) as braid:
            self.assertEqual(braid.plan([7], "c", "m").predicted_s, 7)
        self.assertEqual(len(planner.asked), 3)

    def test_a_coordinator_that_comes_back_is_found(self):
        with FakePlanner() as planner:
            port = planner.port
        braid = PlanClient(f"127.0.0.1:{port}", insecure=True)
        late = FakePlanner(port=port)
        timer = threading.Timer(0.5, late.__enter__)
        timer.start()
        with braid:
            self.assertEqual(braid.plan([7], "c", "m").predicted_s, 7)
        timer.join()
        late.__exit__()

    def test_a_coordinator_that_stays_away_is_named(self):
        with FakePlanner() as planner:
            pass
        with client(planner, retry_for=0.5) as braid:
            began = time.monotonic()
            with self.assertRaisesRegex(Unavailable, planner.address):
                braid.plan([1], "c", "m")
        self.assertLess(time.monotonic() - began, 5)

    def test_a_machine_that_does_not_answer_is_unavailable(self):
        # A socket that listens and is never read from: connections to it are made, and stay silent.
        with socket.create_server(("127.0.0.1", 0)) as silent, mock.patch.object(client_module, "_CONNECT_S", 0.2):
            address = "127.0.0.1:%d" % silent.getsockname()[1]
            with PlanClient(address, insecure=True, retry_for=0.5, timeout=20) as braid:
                began = time.monotonic()
                with self.assertRaisesRegex(Unavailable, address):
                    braid.plan([1], "c", "m")
        self.assertLess(time.monotonic() - began, 10)

    def test_a_slow_plan_is_given_up(self):
        go_on = threading.Event()

        def answer(request):
            go_on.wait(20)
            return reply(request)

        with FakePlanner(answer) as planner, client(planner, timeout=0.3) as braid:
            began = time.monotonic()
            with self.assertRaises(TimedOut):
                braid.plan([1], "c", "m")
            self.assertLess(time.monotonic() - began, 5)
            go_on.set()


if __name__ == "__main__":
    unittest.main()
