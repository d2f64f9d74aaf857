"""Plans ahead of the steps, against a planner in this process."""

import itertools
import queue
import threading
import unittest

import grpc
from fake import FakePlanner, Refusal, reply

from braid import InvalidPlan, PlanClient, PlanError, TimedOut


class PlansTest(unittest.TestCase):
    def plans(self, planner, batches, ahead=2, **options):
        client = PlanClient(planner.address, insecure=True, **options)
        self.addCleanup(client.close)
        plans = client.plans(batches, "c", "m", ahead=ahead)
        self.addCleanup(plans.close)
        return plans


class Ahead(PlansTest):
    def test_plans_come_in_order_over_one_call(self):
        for ahead in (0, 1, 2, 7):
            with self.subTest(ahead=ahead), FakePlanner() as planner:
                plans = self.plans(planner, ([n] for n in range(1, 21)), ahead)
                self.assertEqual([plan.predicted_s for plan in plans], list(range(1, 21)))
                self.assertEqual((planner.streams, len(planner.asked)), (1, 20))

    def test_no_more_is_drawn_than_was_allowed(self):
        for ahead in (0, 1, 3):
            drawn = itertools.count(1)
            last = 0

            def batches():
                nonlocal last
                for last in drawn:
                    yield [last]

            with self.subTest(ahead=ahead), FakePlanner() as planner:
                plans = self.plans(planner, batches(), ahead)
                self.assertEqual(last, 0)
                for step in range(1, 6):
                    self.assertEqual(next(plans).predicted_s, step)
                    self.assertEqual(last, step + ahead)
                plans.close()

    def test_the_next_plans_are_made_while_the_caller_works(self):
        made = queue.SimpleQueue()

        def answer(request):
            made.put(request.lengths[0])
            return reply(request)

        with FakePlanner(answer) as planner:
            plans = self.plans(planner, ([n] for n in itertools.count(1)))
            next(plans)
            self.assertEqual([made.get(timeout=10) for _ in range(3)], [1, 2, 3])
            plans.close()

    def test_no_batches_are_no_call(self):
        with FakePlanner() as planner:
            self.assertEqual(list(self.plans(planner, [])), [])
            self.assertEqual(planner.streams, 0)

    def test_closing_ends_the_call(self):
        with FakePlanner() as planner:
            plans = self.plans(planner, ([n] for n in itertools.count(1)))
            next(plans)
            self.assertFalse(planner.stream_ended.is_set())
            plans.close()
            self.assertTrue(planner.stream_ended.wait(10))
            self.assertEqual(list(plans), [])
        self.assertFalse([thread.name for thread in threading.enumerate() if thread.name == "braid-plans"])


class Failures(PlansTest):
    def taken(self, plans, error, said):
        """The first lengths of the plans before the error."""
        seen = []
        with self.assertRaisesRegex(error, said):
            for plan in plans:
                seen.append(plan.predicted_s)
        return seen

    @staticmethod
    def refuse_four(request):
        if request.lengths[0] == 4:
            raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, "four is too long")
        return reply(request)

    def test_a_refusal_is_raised_at_its_step(self):
        for ahead in (0, 1, 6):
            with self.subTest(ahead=ahead), FakePlanner(self.refuse_four) as planner:
                plans = self.plans(planner, ([n] for n in range(1, 9)), ahead)
                self.assertEqual(self.taken(plans, PlanError, "^four is too long\n"), [1, 2, 3])

    def test_a_refusal_that_overtakes_replies_is_raised_at_its_step(self):
        def on_stream(requests, context):
            for request in requests:
                if request.lengths[0] == 4:
                    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "some request was refused")
            yield from ()

        with FakePlanner(self.refuse_four, on_stream) as planner:
            plans = self.plans(planner, ([n] for n in range(1, 9)), 6)
            self.assertEqual(self.taken(plans, PlanError, "^four is too long\n"), [1, 2, 3])

    def test_a_lost_call_costs_no_plan(self):
        def on_stream(requests, context):
            for request in itertools.islice(requests, 2):
                yield reply(request)
            context.abort(grpc.StatusCode.UNAVAILABLE, "shutting down")

        with FakePlanner(on_stream=on_stream) as planner:
            plans = self.plans(planner, ([n] for n in range(1, 12)))
            self.assertEqual([plan.predicted_s for plan in plans], list(range(1, 12)))
            self.assertGreater(planner.streams, 1)

    def test_an_error_of_the_batches_is_raised_at_its_step(self):
        def batches():
            yield from ([1], [2], [3])
            raise OSError("the data set is gone")

        with FakePlanner() as planner:
            self.assertEqual(self.taken(self.plans(planner, batches()), OSError, "data set"), [1, 2, 3])
            self.assertEqual(self.taken(self.plans(planner, [[1], [2], [-1], [4]]), ValueError, "lengths"), [1, 2])

    def test_a_plan_that_does_not_come_is_given_up(self):
        go_on = threading.Event()

        def answer(request):
            if request.lengths[0] == 2:
                go_on.wait(20)
            return reply(request)

        with FakePlanner(answer) as planner:
            plans = self.plans(planner, [[1], [2], [3]], timeout=0.5)
            self.assertEqual(self.taken(plans, TimedOut, "0.5 s"), [1])
            go_on.set()

    def test_the_plan_of_another_step_is_noticed(self):
        def answer(request):
            wrong = reply(request)
            wrong.tag += request.lengths[0] == 2
            return wrong

        with FakePlanner(answer) as planner:
            self.assertEqual(self.taken(self.plans(planner, [[1], [2], [3]]), InvalidPlan, "step 1 with the plan of step 2"), [1])


if __name__ == "__main__":
    unittest.main()
