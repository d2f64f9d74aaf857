"""Which domain each slot of a batch goes to: the same, batch for batch, as Braid's own composer (workloads/mixture/src/compose.rs).

By the rule ``exact`` each next slot goes to the domain that is furthest behind its share, so that the realised proportions stay within
a slot of those asked for, over whatever changes of proportions. All arithmetic is in whole numbers, 2**-32 of a slot; the counters are
the whole state.
"""

from __future__ import annotations

import math
from typing import Dict, List, Literal, Sequence

Rule = Literal["exact", "multinomial", "floored"]
"""How the slots of a batch are divided. The last two are for comparison with published code."""

_ONE = 1 << 32
_MOST_SLOTS = 1 << 24


class Composer:
    """Divides batches of ``slots`` among domains, and goes on from its ``state()``."""

    def __init__(self, domains: int, slots: int) -> None:
        if not 1 <= domains <= slots <= _MOST_SLOTS:
            raise ValueError(f"a batch of {slots} slots cannot hold each of {domains} domains")
        self._due = [0] * domains
        self._batches = 0
        self._slots = slots

    def next(self, proportions: Sequence[float], rule: Rule = "exact", seed: int = 0) -> List[int]:
        """The counts of the next batch, one a domain. ``seed`` matters where the rule draws."""
        if len(proportions) != len(self._due):
            raise ValueError(f"proportions: expected {len(self._due)} entries, one for each domain, found {len(proportions)}")
        batch, self._batches = self._batches, self._batches + 1
        if rule == "exact":
            return self._exact(proportions)
        if rule == "multinomial":
            return _multinomial(proportions, self._slots, seed, batch)
        return _floored(proportions, self._slots)

    def state(self) -> Dict[str, object]:
        """Plain numbers, to be stored."""
        return {"due": list(self._due), "batches": self._batches}

    def load_state(self, due: Sequence[int], batches: int) -> None:
        """Goes on from a stored state."""
        if len(due) != len(self._due):
            raise ValueError(f"the state is of {len(due)} domains, not of {len(self._due)}")
        self._due, self._batches = [int(part) for part in due], int(batches)

    def _exact(self, proportions: Sequence[float]) -> List[int]:
        due = [due + part * self._slots for due, part in zip(self._due, _parts(proportions))]
        counts = [max(due // _ONE, 0) for due in due]
        if sum(counts) > self._slots:
            # Debts from before promise more whole slots than there are; then slot by slot from the first.
            counts = [0] * len(counts)
        due = [due - _ONE * count for due, count in zip(due, counts)]
        for _ in range(self._slots - sum(counts)):
            furthest = max(range(len(due)), key=lambda domain: (due[domain], -domain))
            due[furthest] -= _ONE
            counts[furthest] += 1
        self._due = due
        return counts


def _parts(proportions: Sequence[float]) -> List[int]:
    """Shares as whole parts of 2**32, in sum 2**32, by largest remainders."""
    wanted = [share * float(_ONE) for share in proportions]
    parts = [math.floor(part) for part in wanted]
    order = sorted(range(len(parts)), key=lambda index: (-(wanted[index] - math.floor(wanted[index])), index))
    each, left = divmod(_ONE - sum(parts), len(parts))
    for rank, index in enumerate(order):
        parts[index] += each + (rank < left)
    return parts


def _floored(proportions: Sequence[float], slots: int) -> List[int]:
    counts = [max(math.floor(share * slots), 1) for share in proportions]
    counts[-1] = max(slots - sum(counts[:-1]), 0)
    return counts


def _multinomial(proportions: Sequence[float], slots: int, seed: int, batch: int) -> List[int]:
    counts = [0] * len(proportions)
    for drawn in range(slots):
        high, low, _, _ = _philox((drawn, batch & 0xFFFFFFFF, batch >> 32, 1), (seed & 0xFFFFFFFF, seed >> 32))
        left = float(((high << 32 | low) >> 11)) / float(1 << 53)
        picked = 0
        for index, share in enumerate(proportions):
            if share > 0:
                picked = index
                if left < share:
                    break
                left -= share
        counts[picked] += 1
    return counts


def _philox(counter: Sequence[int], key: Sequence[int]) -> List[int]:
    """Philox4x32 of ten rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011)."""
    words, (first, second) = list(counter), key
    for _ in range(10):
        one, two = 0xD2511F53 * words[0], 0xCD9E8D57 * words[2]
        words = [
            (two >> 32) ^ words[1] ^ first,
            two & 0xFFFFFFFF,
            (one >> 32) ^ words[3] ^ second,
            one & 0xFFFFFFFF,
        ]
        first, second = (first + 0x9E3779B9) & 0xFFFFFFFF, (second + 0xBB67AE85) & 0xFFFFFFFF
    return words
