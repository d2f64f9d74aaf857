"""The loop's side of a mixture, against something that steers as it is told."""

import json
import os
import unittest
from unittest import mock

import grpc
from steered import Law, Steered

from braid import Unavailable
from braid._proto import mixture_pb2 as pb
from braid.mixture import Gradients, Mixture, MixtureError, StateError, folder


def loop(mixture, model, until=None, every=None):
    """The bare loop; the checkpoints that it made."""
    checkpoints = []
    step = mixture.done
    while (until is None or step < until) and mixture.weights(step) is not None:
        losses, tokens = model.train(mixture.batch(step))
        step += 1
        mixture.report(step, losses, tokens)
        if every and step % every == 0:
            checkpoints.append((json.dumps(mixture.state()), dict(model.seen)))
    return checkpoints


def changing(since):
    return [(0.5, 0.5), (0.7, 0.3), (0.25, 0.75), (0.9, 0.1)][since // 5]


class TheLoop(unittest.TestCase):
    def test_it_is_led_from_leg_to_leg(self):
        model = Law()
        with Steered(proportions=changing) as steered, Mixture(address=steered.address, evaluate=model.losses) as mixture:
            self.assertEqual((mixture.names, mixture.steps, mixture.seed, mixture.folder), (("web", "code"), 20, 7, "/f"))
            self.assertEqual((mixture.domains[0].paths, mixture.domains[0].tokens, mixture.domains[1].tokens), (("/w",), 9000, None))
            loop(mixture, model)
            mixture.finish()
        self.assertEqual(sorted(steered.reports), [5, 10, 15, 20])
        self.assertEqual(steered.asked, [0, 5, 10, 15, 20, 20, 20])
        third = steered.reports[15]
        self.assertEqual((third.since, dict(third.tokens), third.stale), (10, {"web": 160, "code": 480}, 0))
        self.assertEqual(steered.test, model.losses())

    def test_means_are_weighted_by_tokens(self):
        with Steered(every=2, steps=2) as steered, Mixture(address=steered.address, evaluate=Law().losses) as mixture:
            mixture.weights(0)
            mixture.report(1, {"web": 2.0}, {"web": 30})
            mixture.weights(1)
            mixture.report(2, {"web": 4.0, "code": 1.0}, {"web": 10, "code": 5})
            report = steered.reports[2]
        self.assertEqual((dict(report.losses), dict(report.tokens)), ({"web": 2.5, "code": 1.0}, {"web": 40, "code": 5}))

    def test_a_loop_that_goes_on_from_any_checkpoint_does_the_same(self):
        model = Law()
        with Steered(proportions=changing) as whole, Mixture(address=whole.address, evaluate=model.losses) as mixture:
            checkpoints = loop(mixture, model, every=3)
        for text, seen in checkpoints:
            state, model = json.loads(text), Law(seen)
            with Steered(proportions=changing) as steered:
                with Mixture(address=steered.address, evaluate=model.losses, state=state, step=state["step"]) as mixture:
                    self.assertEqual((mixture.done, steered.begun[0].step), (state["step"], state["step"]))
                    loop(mixture, model)
            with self.subTest(step=state["step"]):
                later = {step: report for step, report in whole.reports.items() if step > state["at"]}
                self.assertEqual(steered.reports, later)
                self.assertEqual(steered.test, whole.test)

    def test_a_checkpoint_without_its_state_is_refused_within_a_leg(self):
        with Steered() as steered, Mixture(address=steered.address, step=7) as mixture:
            with self.assertRaisesRegex(StateError, "step 7 is within the leg from step 5 to 10.*\n.*keep state"):
                mixture.weights(7)
        with Steered() as steered, Mixture(address=steered.address, step=10) as mixture:
            self.assertEqual(mixture.weights(10).since, 10)

    def test_states_that_are_none(self):
        with Steered() as steered:
            with Mixture(address=steered.address) as mixture:
                good = mixture.state()
            for change, said in [
                ({"version": 9}, "version 9"),
                ({"domains": ["web", "books"]}, "of web, books; expected version 1 of web, code"),
                ({"counters": {}}, "cannot be read: KeyError"),
                ({"step": 3}, "is of step 3, and has seen step 0"),
                ({"step": "x"}, "does not say of which step"),
            ]:
                with self.subTest(said), self.assertRaisesRegex(StateError, said):
                    Mixture(address=steered.address, state={**good, **change})
            with self.assertRaisesRegex(StateError, "of step 0, and the checkpoint of step 4"):
                Mixture(address=steered.address, state=good, step=4)

    def test_calls_at_the_wrong_time_are_errors_here(self):
        with Steered() as steered, Mixture(address=steered.address) as mixture:
            with self.assertRaisesRegex(ValueError, "beyond what was asked for"):
                mixture.report(1, {}, {})
            with self.assertRaisesRegex(ValueError, "weights of step 0 are not known yet"):
                mixture.batch(0)
            mixture.weights(0)
            with self.assertRaisesRegex(ValueError, "this leg ends at step 5"):
                mixture.batch(5)
            with self.assertRaisesRegex(ValueError, "beyond"):
                mixture.report(6, {}, {"web": 1, "code": 1})
            with self.assertRaisesRegex(MixtureError, "expected the domains web, code, found books"):
                mixture.report(1, {"books": 1.0}, {"web": 1})
            mixture.report(2, {"web": 1.0}, {"web": 1})
            with self.assertRaisesRegex(ValueError, "step 2 is reported already"):
                mixture.report(2, {}, {})
            with self.assertRaisesRegex(ValueError, "steps 2 to 3 have not been reported"):
                mixture.weights(3)
            with self.assertRaisesRegex(ValueError, "goes back makes a new Mixture"):
                mixture.weights(1)
            with self.assertRaisesRegex(ValueError, "has 20 steps, and 2 are reported"):
                mixture.finish()

    def test_a_refusal_is_the_reason(self):
        with Steered() as steered, Mixture(address=steered.address) as mixture:
            steered.refuse = (grpc.StatusCode.INVALID_ARGUMENT, "domain web, step 5: the training loss is NaN\nhint: lower the rate")
            with self.assertRaisesRegex(MixtureError, "is NaN") as raised:
                loop(mixture, Law())
        self.assertEqual(raised.exception.hint, "lower the rate")

    def test_nobody_steers(self):
        with mock.patch.dict(os.environ), self.assertRaisesRegex(Unavailable, "BRAID_MIXTURE is not set"):
            os.environ.pop("BRAID_MIXTURE", None)
            Mixture()
        with mock.patch.dict(os.environ), self.assertRaisesRegex(Unavailable, "BRAID_MIXTURE_FOLDER is not set"):
            os.environ.pop("BRAID_MIXTURE_FOLDER", None)
            folder()
        with self.assertRaisesRegex(Unavailable, "nobody answers who steers"):
            Mixture(address="unix:/nowhere/at/all", retry_for=0.1)


class WhatMethodsAskFor(unittest.TestCase):
    def test_validation_and_gradients_at_the_end_of_a_leg(self):
        model, asked = Law(), pb.Needs(validation=True, norms=True, products=True)
        found = Gradients(
            squared_norms={"web": 1.0, "code": 2.0},
            variances={"web": 0.1, "code": 0.2},
            products={"web": {"web": 1.0, "code": 0.5}, "code": {"web": 0.5, "code": 2.0}},
            learning_rate=0.1,
        )
        with Steered(needs=asked) as steered:
            with Mixture(address=steered.address, evaluate=model.losses, gradients=lambda: found) as mixture:
                loop(mixture, model, until=5)
                self.assertEqual(dict(steered.reports[5].validation), model.losses())
                self.assertEqual(steered.reports[5].gradients.products["code"].by_trained["code"], 2.0)
            with Mixture(address=steered.address) as mixture, self.assertRaisesRegex(MixtureError, "asks for validation losses"):
                loop(mixture, Law())
            with Mixture(address=steered.address, evaluate=lambda: {"web": 1.0}) as mixture:
                with self.assertRaisesRegex(MixtureError, "evaluate: expected the domains web, code, found web"):
                    loop(mixture, Law())

    def test_branches_begin_from_one_checkpoint_and_leave_no_trace(self):
        model, kept = Law(), []

        class Branches:
            def save(self):
                return dict(model.seen)

            def load(self, saved):
                model.seen = dict(saved)

            def train(self, branch):
                total = {"web": 0, "code": 0}
                for counts in branch.batches:
                    for name, count in counts.items():
                        model.seen[name] += 16 * count
                        total[name] += 16 * count
                return total

            def keep_reference(self):
                kept.append(dict(model.seen))

        plan = pb.ProbePlan(measure=True, keep_reference=True)
        plan.branches.add(proportions=[0.75, 0.25], steps=3)
        plan.branches.add(proportions=[0.25, 0.75], steps=3)
        with Steered() as steered:
            steered.probes[5] = plan
            with Mixture(address=steered.address, evaluate=model.losses, branches=Branches()) as mixture:
                loop(mixture, model, until=5)
                before = dict(model.seen)
                mixture.weights(5)
            self.assertEqual(model.seen, before)
            report = steered.probed[5]
            self.assertEqual([dict(branch.tokens) for branch in report.branches], [{"web": 288, "code": 96}, {"web": 96, "code": 288}])
            self.assertLess(report.branches[0].after["web"], report.before["web"])
            self.assertEqual(kept[0], {"web": before["web"] + 288, "code": before["code"] + 96})
            steered.probed.clear()
            with Mixture(address=steered.address, evaluate=model.losses) as mixture:
                with self.assertRaisesRegex(MixtureError, "asks for branches beside the run"):
                    loop(mixture, Law())


class NobodyRecords(unittest.TestCase):
    def test_the_last_weights_stay_and_reports_come_later_in_order(self):
        model, stale = Law(), []
        with Steered(proportions=changing) as steered:
            with Mixture(address=steered.address, evaluate=model.losses, retry_for=0.05) as mixture:
                for step in range(20):
                    if step == 3:
                        steered.refuse = (grpc.StatusCode.ABORTED, "cannot record the report: no space left")
                    if step == 13:
                        steered.refuse = None
                    weights = mixture.weights(step)
                    stale.append(weights.stale)
                    if weights.stale:
                        self.assertEqual(weights.proportions, {"web": 0.5, "code": 0.5})
                    losses, tokens = model.train(mixture.batch(step))
                    mixture.report(step + 1, losses, tokens)
                mixture.finish()
        self.assertEqual([step for step, stays in enumerate(stale) if stays], list(range(5, 13)))
        self.assertEqual(list(steered.reports), [5, 10, 15, 20])
        self.assertEqual([report.stale for report in steered.reports.values()], [0, 5, 3, 0])
        self.assertEqual([sum(report.tokens.values()) for report in steered.reports.values()], [5 * 8 * 16] * 4)

    def test_ranks_that_may_hear_different_things_do_not_go_on(self):
        for status, goes_on in [(grpc.StatusCode.ABORTED, True), (grpc.StatusCode.UNAVAILABLE, False)]:
            with mock.patch.dict(os.environ, WORLD_SIZE="2"), Steered() as steered:
                with Mixture(address=steered.address, retry_for=0.05) as mixture:
                    loop(mixture, Law(), until=4)
                    steered.refuse = (status, "later")
                    if goes_on:
                        loop(mixture, Law(), until=5)
                        self.assertTrue(mixture.weights(5).stale)
                    else:
                        with self.assertRaises(Unavailable):
                            loop(mixture, Law(), until=5)


if __name__ == "__main__":
    unittest.main()
