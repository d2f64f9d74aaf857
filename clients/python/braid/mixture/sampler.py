"""Whole batches for a data loader: indices into the concatenation of all domains' data. Needs no torch; torch takes it as a
``batch_sampler``."""

from __future__ import annotations

import random
from itertools import accumulate
from typing import Dict, Iterator, List, Mapping, Optional, Tuple

from braid.mixture.loop import Mixture


class BatchSampler:
    """The batches of one leg each time it is iterated over: a loader that reads ahead never reads on weights that are not known yet.

        loader = DataLoader(ConcatDataset([data[name] for name in mixture.names]), batch_sampler=BatchSampler(mixture, sizes))
        while (weights := mixture.weights(step)) is not None:
            for batch in loader: ...

    ``sizes`` are the sequences that each domain has. Which one comes at which draw of a domain is decided by the run's seed, the domain
    and the number of the draw alone, each epoch in an order of its own; how many of each domain a batch has, by ``Mixture.batch``.
    Of ``world`` ranks, this one takes every ``world``-th slot; ``micro_batch`` divides a step's slots of this rank into batches of so many.
    """

    def __init__(
        self, mixture: Mixture, sizes: Mapping[str, int], *, rank: int = 0, world: int = 1, micro_batch: Optional[int] = None
    ) -> None:
        wrong = [name for name in mixture.names if not sizes.get(name, 0) > 0]
        if wrong:
            raise ValueError(f"sizes: there is no data of {', '.join(wrong)}")
        if not 0 <= rank < world:
            raise ValueError(f"rank {rank} is none of {world}")
        if micro_batch is not None and micro_batch < 1:
            raise ValueError(f"micro_batch is {micro_batch}; expected 1 or more")
        self._mixture, self._rank, self._world, self._micro_batch = mixture, rank, world, micro_batch
        self._sizes = [int(sizes[name]) for name in mixture.names]
        self._offsets = [0, *accumulate(self._sizes)]
        self._orders: Dict[int, Tuple[int, List[int]]] = {}

    def __iter__(self) -> Iterator[List[int]]:
        mixture = self._mixture
        step = mixture.done
        weights = mixture.weights(step)
        if weights is None:
            return
        # Stale weights are those of one step at a time.
        until = step + 1 if weights.stale else weights.until
        for ahead in range(step, until):
            mine = self._indices(mixture.batch(ahead))[self._rank :: self._world]
            size = self._micro_batch or max(len(mine), 1)
            for first in range(0, len(mine), size):
                yield mine[first : first + size]

    def domain_of(self, index: int) -> str:
        """The domain of a place in the concatenation."""
        for name, first, end in zip(self._mixture.names, self._offsets, self._offsets[1:]):
            if first <= index < end:
                return name
        raise ValueError(f"there is no sequence {index}")

    def _indices(self, batch: Mapping[str, range]) -> List[int]:
        names = enumerate(self._mixture.names)
        return [self._offsets[domain] + self._place(domain, name, draw) for domain, name in names for draw in batch[name]]

    def _place(self, domain: int, name: str, draw: int) -> int:
        epoch, place = divmod(draw, self._sizes[domain])
        known = self._orders.get(domain)
        if known is None or known[0] != epoch:
            order = list(range(self._sizes[domain]))
            random.Random(f"{self._mixture.seed}/{name}/{epoch}").shuffle(order)
            known = self._orders[domain] = epoch, order
        return known[1][place]
