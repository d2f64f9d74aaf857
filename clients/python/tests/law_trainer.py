"""A trainer as a process, over the real client: its losses follow a law. What it was trained on goes into a trace, a line a step.

With KILL=N its rank 0 ends like one that is killed (-9) at its N-th step of this life, while it has been killed less than KILLS times.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from steered import Law

from braid.mixture import Gradients, Mixture, folder


class Branches:
    def __init__(self, model):
        self.model = model

    def save(self):
        return dict(self.model.seen)

    def load(self, saved):
        self.model.seen = dict(saved)

    def train(self, branch):
        total = dict.fromkeys(self.model.seen, 0)
        for counts in branch.batches:
            for name, count in counts.items():
                self.model.seen[name] += 16 * count
                total[name] += 16 * count
        return total

    def keep_reference(self):
        raise AssertionError("no method of these tests asks for it")


def main():
    rank = int(os.environ.get("RANK", "0"))
    world = int(os.environ.get("WORLD_SIZE", "1"))
    trace, deaths = Path(folder(), f"rank-{rank}.trace"), Path(folder(), "deaths")
    # The newest checkpoint that all ranks have.
    steps = [{int(path.suffixes[0][1:]) for path in Path(folder()).glob(f"rank-{other}.*.json")} for other in range(world)]
    common = set.intersection(*steps)
    saved = {"seen": None, "mixture": None}
    if common:
        saved = json.loads(Path(folder(), f"rank-{rank}.{max(common)}.json").read_text())
    model = Law(saved["seen"])

    def gradients():
        norms = {name: loss - 1.0 for name, loss in model.losses().items()}
        return Gradients(norms, variances=dict.fromkeys(norms, 0.1))

    made = 0
    callbacks = {"evaluate": model.losses, "gradients": gradients, "branches": Branches(model)}
    with Mixture(domains=("code", "web"), state=saved["mixture"], **callbacks) as mixture:
        while (weights := mixture.weights(mixture.done)) is not None:
            if rank == 0 and made == int(os.environ.get("KILL", "-1")):
                died = len(deaths.read_text()) if deaths.exists() else 0
                if died < int(os.environ["KILLS"]):
                    deaths.write_text("x" * (died + 1))
                    os.kill(os.getpid(), signal.SIGKILL)
            with trace.open("a") as file:
                file.write(f"{mixture.done} {json.dumps(weights.proportions)}\n")
            losses, tokens = model.train(mixture.batch(mixture.done))
            # Every rank has the whole model here, and reports its part of the batch.
            mixture.report(mixture.done + 1, losses, {name: count // world for name, count in tokens.items()})
            made += 1
            if mixture.done % 7 == 0:
                fresh = Path(folder(), f"rank-{rank}.new")
                fresh.write_text(json.dumps({"seen": model.seen, "mixture": mixture.state()}))
                os.replace(fresh, Path(folder(), f"rank-{rank}.{mixture.done}.json"))
        mixture.finish()


if __name__ == "__main__":
    main()
