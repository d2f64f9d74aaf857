"""Which draws of each domain every step takes: composed ahead where somebody asks, and cut back where the weights turn out others."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence

from braid.mixture.compose import Composer
from braid.mixture.legs import Weights

Batch = Dict[str, range]


class Schedule:
    """Batches of all steps from some step on, made of counters alone."""

    def __init__(self, names: Sequence[str], slots: int, seed: int, step: int) -> None:
        self._names, self._seed, self._slots = tuple(names), seed, slots
        self._first = step
        self._composer, self._draws = Composer(len(names), slots), [0] * len(names)
        self._batches: List[Batch] = []
        # One more than batches: before the first, and after each.
        self._counters = [self._now()]

    def batch(self, step: int, weights: Weights) -> Batch:
        """Of the step after ``step`` steps; those before it are composed on the same weights, if they are not yet."""
        if step < self._first:
            raise ValueError(f"step {step} is over")
        while len(self._batches) <= step - self._first:
            counts = self._composer.next([weights.proportions[name] for name in self._names], weights.rule, self._seed)
            batch = {}
            for index, (name, count) in enumerate(zip(self._names, counts)):
                batch[name] = range(self._draws[index], self._draws[index] + count)
                self._draws[index] += count
            self._batches.append(batch)
            self._counters.append(self._now())
        return self._batches[step - self._first]

    def counters(self, step: int) -> Dict[str, Any]:
        """Plain numbers, to be stored: those after ``step`` steps, however many are composed ahead."""
        return self._counters[min(max(step - self._first, 0), len(self._batches))]

    def cut(self, step: int) -> None:
        """Goes on from ``step`` steps: what is composed ahead of them is composed again."""
        self.load(step, self.counters(step))

    def load(self, step: int, counters: Mapping[str, Any]) -> None:
        """Goes on from stored counters."""
        draws = [int(draws) for draws in counters["draws"]]
        if len(draws) != len(self._names):
            raise ValueError(f"the counters are of {len(draws)} domains, not of {len(self._names)}")
        self._composer.load_state(counters["due"], counters["batches"])
        self._draws, self._first, self._batches = draws, step, []
        self._counters = [self._now()]

    def _now(self) -> Dict[str, Any]:
        return {**self._composer.state(), "draws": list(self._draws)}
