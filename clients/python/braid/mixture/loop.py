"""The bare loop: weights before a step, a report after it. What a method asks for beside that, callbacks do.

    begin ─▶ weights(step) ─▶ the loop makes the step ─▶ report(step + 1) ─┐
              ▲  │ at the end of a leg: evaluate, tell, probe              │
              │  └──────────────── None: all steps are done ─▶ finish()    │
              └────────────────────────────────────────────────────────────┘

A leg is a stretch on one set of proportions; whoever steers is talked to at its ends alone. What was seen of a leg that is not over is
part of ``state()``, which belongs into every checkpoint.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from braid._proto import mixture_pb2 as pb
from braid.errors import TimedOut, Unavailable
from braid.mixture import wire
from braid.mixture.compose import Composer
from braid.mixture.errors import MixtureError, Passing, StateError
from braid.mixture.legs import Branch, Branches, Gradients, Weights
from braid.mixture.link import Link
from braid.mixture.schedule import Batch, Schedule

Losses = Mapping[str, float]
_VERSION = 1


class Mixture:
    """Leads a training loop through a run of ``braid mix``. Every rank has one, and makes the same calls.

    ``evaluate`` measures each domain's validation loss, ``test`` the loss by which the run is judged (``evaluate``, unless given).
    ``branches`` and ``gradients`` are for methods that ask for them, and are named under ``offers`` in the spec. ``domains`` are those
    that the loop has, in any order. ``state`` is what the checkpoint holds that it goes on from, and ``step`` the checkpoint's.

    ``timeout`` bounds a call, which in a gang lasts until all ranks have made it. When what was seen cannot be recorded for
    ``retry_for`` seconds, the last weights stay and are marked stale, and reports are told later, in order.
    """

    def __init__(
        self,
        *,
        evaluate: Optional[Callable[[], Losses]] = None,
        test: Optional[Callable[[], Losses]] = None,
        branches: Optional[Branches] = None,
        gradients: Optional[Callable[[], Gradients]] = None,
        domains: Sequence[str] = (),
        state: Optional[Mapping[str, Any]] = None,
        step: Optional[int] = None,
        address: Optional[str] = None,
        timeout: float = 3600.0,
        retry_for: float = 10.0,
    ) -> None:
        self._evaluate, self._test = evaluate, test or evaluate
        self._branches, self._gradients = branches, gradients
        self._link = Link(address, timeout, retry_for)
        self._alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
        done = _step_of(state, step)
        begun = self._link.begin(pb.BeginRequest(domains=domains, step=done))
        self.domains = tuple(wire.domain(domain) for domain in begun.domains)
        """In the order that lists of numbers have."""
        self.names = tuple(domain.name for domain in self.domains)
        self.steps, self.slots, self.context = int(begun.steps), int(begun.slots), int(begun.context)
        self.seed, self.checkpoint_every = int(begun.seed), int(begun.checkpoint_every)
        self.folder, self.method = str(begun.folder), str(begun.method)
        self._at = 0
        # The leg that is not over, and the last one that was known.
        self._leg: Optional[Weights] = None
        self._last: Optional[Weights] = None
        self._needs = wire.Needs()
        self._entries: List[wire.Entry] = []
        self._owed: Optional[pb.ReportRequest] = None
        self._stale_from: Optional[int] = None
        if state is None:
            self._at = done
        self._schedule = Schedule(self.names, self.slots, self.seed, done)
        if state is not None:
            self._load(state)

    @property
    def done(self) -> int:
        """Steps that are reported here."""
        return self._entries[-1].step if self._entries else self._at

    def weights(self, step: int) -> Optional[Weights]:
        """On what to train after ``step`` steps; None when there are no more."""
        if step > self.done:
            raise ValueError(f"steps {self.done} to {step} have not been reported")
        if step < self.done:
            raise ValueError(f"step {step} is reported already; a loop that goes back makes a new Mixture from its checkpoint")
        if self._leg is None or step >= self._leg.until:
            try:
                if not self._advance(step):
                    return None
            except (Passing, Unavailable, TimedOut) as error:
                # Ranks that do not all hear the same must not go on with different weights.
                if self._last is None or not (self._alone or isinstance(error, Passing)):
                    raise
                if self._stale_from is None:
                    self._stale_from = step
                return wire.stale(self._last)
            self._stale_from = None
        return self._leg

    def batch(self, step: int) -> Batch:
        """Of the step after ``step`` steps: which draws of each domain it takes, counted over the run.

        Composed as Braid composes them. Steps of the present leg alone have one, however far ahead they are asked for.
        """
        weights = self._last if self._stale_from is not None else self._leg
        if weights is None or (step >= weights.until and self._stale_from is None):
            known = f"this leg ends at step {weights.until}" if weights else "ask for them first"
            raise ValueError(f"the weights of step {step} are not known yet: {known}")
        return self._schedule.batch(step, weights)

    def report(self, step: int, losses: Losses, tokens: Mapping[str, int], excess: Optional[Losses] = None) -> None:
        """What was seen since the last report: ``step`` steps are done now.

        ``losses`` are means in nats a token, of the domains that had tokens. In a gang every rank reports its own; Braid brings them
        together. Of several steps at once, none may lie beyond the end of the leg.
        """
        if step <= self.done:
            raise ValueError(f"step {step} is reported already, up to {self.done}")
        is_stale = self._stale_from is not None
        if not is_stale and (self._leg is None or step > self._leg.until):
            raise ValueError(f"step {step} is beyond what was asked for; ask for the weights of every step, and report where a leg ends")
        for what, by in (("losses", losses), ("tokens", tokens), ("excess", excess or {})):
            unknown = sorted(set(by) - set(self.names))
            if unknown:
                raise MixtureError(f"{what}: expected the domains {', '.join(self.names)}, found {', '.join(unknown)}")
        self._entries.append(wire.Entry(step, is_stale, dict(tokens), dict(losses), dict(excess or {})))
        if not is_stale and self._leg is not None and step == self._leg.until:
            try:
                self._close_leg(self._leg, True)
            except (Passing, Unavailable, TimedOut) as error:
                if not (self._alone or isinstance(error, Passing)):
                    raise
                self._stale_from = step

    def finish(self) -> None:
        """After the last step: has the last losses measured, and tells them."""
        if self.weights(self.done) is not None:
            raise ValueError(f"the run has {self.steps} steps, and {self.done} are reported")

    def state(self) -> Dict[str, Any]:
        """What belongs into the checkpoint of this step, as plain data that JSON and pickle hold alike."""
        return {
            "version": _VERSION,
            "domains": list(self.names),
            "step": self.done,
            "at": self._at,
            "leg": None if self._leg is None else wire.state_of(self._leg, self._needs),
            "entries": [asdict(entry) for entry in self._entries],
            "counters": self._schedule.counters(self.done),
        }

    def close(self) -> None:
        """Ends the connection."""
        self._link.close()

    def __enter__(self) -> Mixture:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _advance(self, step: int) -> bool:
        """Tells what is due, does what is asked for, until there are weights for ``step``; False when there are no more."""
        patient = self._stale_from is None
        while True:
            if self._leg is not None:
                if step < self._leg.until:
                    return True
                self._close_leg(self._leg, patient)
            reply = self._link.weights(pb.WeightsRequest(step=self._at), patient)
            patient = True
            turn = reply.WhichOneof("turn")
            if turn == "train":
                self._begin_leg(wire.weights(reply.train, self.names), wire.needs(reply.train.needs))
            elif turn == "measure":
                self._link.report(self._measured(pb.ReportRequest(step=self._at), wire.needs(reply.measure)))
            elif turn == "probe":
                self._link.probed(self._probe(reply.probe))
            elif turn == "test":
                test = self._needed(self._test, "the last losses", "test= or evaluate=")
                self._link.report(pb.ReportRequest(step=self._at, test=wire.floats("test", test(), self.names)))
            else:
                return False

    def _begin_leg(self, leg: Weights, needs: wire.Needs) -> None:
        if leg.since != self._at:
            raise StateError(
                f"the checkpoint of step {self._at} is within the leg from step {leg.since} to {leg.until}, and nothing is known of it",
                "keep state() in every checkpoint, and give it as state=",
            )
        self._leg, self._last, self._needs = leg, leg, needs
        self._schedule.cut(self.done)

    def _close_leg(self, leg: Weights, patient: bool) -> None:
        """Tells the end of a leg; on an error it is owed still."""
        if self._owed is None:
            mine = [entry for entry in self._entries if entry.step <= leg.until]
            if not mine or mine[-1].step != leg.until:
                raise ValueError(f"the leg ends at step {leg.until}, and its end has not been reported")
            request = wire.summed(mine, leg, self.names)
            self._owed = self._measured(request, self._needs)
        self._link.report(self._owed, patient)
        self._entries = [entry for entry in self._entries if entry.step > leg.until]
        self._owed, self._at, self._leg = None, leg.until, None

    def _measured(self, request: pb.ReportRequest, needs: wire.Needs) -> pb.ReportRequest:
        if needs.validation:
            evaluate = self._needed(self._evaluate, "validation losses", "evaluate=")
            request.validation.update(wire.floats("evaluate", evaluate(), self.names))
        if needs.norms or needs.products:
            gradients = self._needed(self._gradients, "gradients", "gradients=")
            request.gradients.CopyFrom(wire.gradients(gradients(), self.names))
        return request

    def _probe(self, plan: pb.ProbePlan) -> pb.ProbedRequest:
        branches = self._branches
        if branches is None:
            raise MixtureError(f"the method {self.method} asks for branches beside the run", "give branches=")
        if plan.from_start and self._at:
            raise MixtureError(f"the method {self.method} asks for a branch from step 0 at step {self._at}, and it is not kept")
        told, origin = pb.ProbedRequest(step=self._at), branches.save()
        if plan.measure:
            told.before.update(self._validation())
        for asked in plan.branches:
            branches.load(origin)
            tokens = branches.train(self._branch(asked))
            after = self._validation() if plan.measure else {}
            told.branches.add(tokens=wire.counts("branches", tokens, self.names), after=after)
            if plan.keep_reference:
                branches.keep_reference()
        branches.load(origin)
        return told

    def _branch(self, asked: pb.ProbePlan.Branch) -> Branch:
        composer = Composer(len(self.names), self.slots)
        batches = (dict(zip(self.names, composer.next(list(asked.proportions)))) for _ in range(asked.steps))
        proportions = dict(zip(self.names, asked.proportions))
        return Branch(proportions, int(asked.steps), int(asked.stream), tuple(batches))

    def _validation(self) -> Dict[str, float]:
        evaluate = self._needed(self._evaluate, "validation losses", "evaluate=")
        return wire.floats("evaluate", evaluate(), self.names)

    def _needed(self, callback: Optional[Callable[[], Any]], what: str, how: str) -> Callable[[], Any]:
        if callback is None:
            raise MixtureError(f"the method {self.method} asks for {what}", f"give {how}")
        return callback

    def _load(self, state: Mapping[str, Any]) -> None:
        try:
            if state["version"] != _VERSION or tuple(state["domains"]) != self.names:
                found = f"version {state['version']} of {', '.join(state['domains'])}"
                raise StateError(f"the state is {found}; expected version {_VERSION} of {', '.join(self.names)}")
            self._at = int(state["at"])
            self._entries = [wire.Entry(**entry) for entry in state["entries"]]
            self._schedule.load(int(state["step"]), state["counters"])
            if state["leg"] is not None:
                self._leg, self._needs = wire.leg_of(state["leg"])
                self._last = self._leg
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"the state cannot be read: {type(error).__name__}: {error}") from None
        if self.done != int(state["step"]):
            raise StateError(f"the state is of step {state['step']}, and has seen step {self.done}")


def _step_of(state: Optional[Mapping[str, Any]], step: Optional[int]) -> int:
    if state is None:
        return step or 0
    try:
        known = int(state["step"])
    except (KeyError, TypeError, ValueError):
        raise StateError("the state does not say of which step it is") from None
    if step is not None and step != known:
        raise StateError(f"the state is of step {known}, and the checkpoint of step {step}")
    return known

