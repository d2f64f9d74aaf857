#!/usr/bin/env python3
"""A trainer that Braid steers: `braid mix examples/own_trainer.yml mixed/`.

Nothing of it is Braid's but the client: it reads its data, has its model (which byte follows which), makes its steps and keeps its
checkpoints. Killed at any moment and started again, it goes on from its checkpoint, on the proportions that it would have had.
"""

from __future__ import annotations

import json
import math
import os
import random
from pathlib import Path
from typing import Dict, List, Tuple

from braid.mixture import BatchSampler, Mixture, folder

RATE = 4.0
HELD_OUT = 8


def sequences(paths: Tuple[str, ...], context: int) -> List[bytes]:
    """All files of a domain, cut into sequences: their order is decided by their content alone."""
    files = sorted(file for path in paths for file in Path(path).rglob("*") if file.suffix in (".md", ".rs"))
    text = b"\0".join(file.read_bytes() for file in files)
    return [text[start : start + context + 1] for start in range(0, len(text) - context, context)]


class Bigrams:
    """Logits of the next byte, for each byte."""

    def __init__(self, rows: Dict[str, List[float]]) -> None:
        self.rows = {int(byte): row for byte, row in rows.items()}

    def row(self, byte: int) -> List[float]:
        return self.rows.setdefault(byte, [0.0] * 128)

    def loss(self, sequence: bytes, rate: float = 0.0) -> float:
        """Mean loss in nats a token; with a rate, a step of gradient descent on every pair on the way."""
        total = 0.0
        for byte, following in zip(sequence, sequence[1:]):
            row, target = self.row(byte % 128), following % 128
            weights = [math.exp(logit) for logit in row]
            scale = sum(weights)
            total += math.log(scale) - row[target]
            if rate:
                for other, weight in enumerate(weights):
                    row[other] -= rate * weight / scale
                row[target] += rate
        return total / (len(sequence) - 1)


def main() -> None:
    path = Path(folder(), "checkpoint.json")
    saved = json.loads(path.read_text()) if path.exists() else {"model": {}, "mixture": None}
    model = Bigrams(saved["model"])
    held_out: Dict[str, List[bytes]] = {}

    def evaluate() -> Dict[str, float]:
        return {name: sum(map(model.loss, some)) / len(some) for name, some in held_out.items()}

    with Mixture(evaluate=evaluate, state=saved["mixture"]) as mixture:
        data = {domain.name: sequences(domain.paths, mixture.context) for domain in mixture.domains}
        for name in mixture.names:
            random.Random(name).shuffle(data[name])
            held_out[name], data[name] = data[name][:HELD_OUT], data[name][HELD_OUT:]
        sampler = BatchSampler(mixture, {name: len(some) for name, some in data.items()})
        every = [(name, sequence) for name in mixture.names for sequence in data[name]]
        while mixture.weights(mixture.done) is not None:
            for batch in sampler:  # the steps of one leg
                nats = {name: 0.0 for name in mixture.names}
                tokens = {name: 0 for name in mixture.names}
                for name, sequence in (every[index] for index in batch):
                    nats[name] += model.loss(sequence, RATE / mixture.slots) * mixture.context
                    tokens[name] += mixture.context
                losses = {name: nats[name] / count for name, count in tokens.items() if count}
                mixture.report(mixture.done + 1, losses, tokens)
                if mixture.done % mixture.checkpoint_every == 0:
                    fresh = path.with_suffix(".new")
                    fresh.write_text(json.dumps({"model": model.rows, "mixture": mixture.state()}))
                    os.replace(fresh, path)
        mixture.finish()


if __name__ == "__main__":
    main()
