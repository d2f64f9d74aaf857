#!/usr/bin/env python3
"""Times what decomposes matrices (`tsvm`, `braid lora extract`) against the same formula in PyTorch, on the same cores.

    decompositions.py --braid target/release/braid [--where DIR] [--layers 2] [--runs 3] [--check]

A base and three bf16 experts (hidden size 1024) are made in DIR; then both run in turn, whole processes, on all cores of this one.
What both made is compared: the largest difference of an element of tsvm's result, and of the factors' products the error that is
left of the difference. Prints a Markdown table of medians. `--check` exits with 1 where braid takes more CPU time, or a result is
not that of PyTorch. Needs torch, safetensors and numpy.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import measure
import merge
import svd_peer

RANK = 32
# tsvm rounds to bf16 at the end: elements of 0.02 are up to 6e-5 apart there, those near 0.1 twice to four times as far.
APART = 1e-3
# How much larger than PyTorch's the error of extracted factors may be.
WORSE = 1.01


class Contest:
    """One formula, computed by both."""

    def __init__(self, name, braid, peer):
        self.name, self.commands = name, {"braid": braid, "torch": peer}
        self.costs = {"braid": [], "torch": []}

    def run(self, work):
        for who, command in self.commands.items():
            shutil.rmtree(work / who, ignore_errors=True)
            self.costs[who].append(measure.run(command(work / who), work / f"{who}.log"))

    def median(self, who, figure):
        return measure.median([getattr(cost, figure) for cost in self.costs[who]])

    def row(self, verdict):
        cells = [f"`{self.name}`"]
        for who in ("torch", "braid"):
            wall, cpu, peak = self.median(who, "wall"), self.median(who, "cpu"), self.median(who, "resident")
            cells.append(f"{wall:.1f} s, {cpu:.1f} s, {peak / 2**20:.0f} MiB")
        cells.append(f"{self.median('torch', 'cpu') / self.median('braid', 'cpu'):.2f}×")
        return f"| {' | '.join([*cells, verdict])} |"

    def is_slower(self):
        return self.median("braid", "cpu") > self.median("torch", "cpu")


def apart(ours, theirs):
    """The largest difference of two checkpoints."""
    ours, theirs = svd_peer.Checkpoint(ours), svd_peer.Checkpoint(theirs)
    assert ours.names() == theirs.names()
    return max(float((ours.read(name) - theirs.read(name)).abs().max()) for name in ours.names())


def extraction_error(factors, base, tuned):
    """‖Δ − BA‖ / ‖Δ‖ over the modules that both extract, from pairs of factors by the tensor's name."""
    wrong = whole = 0.0
    base, tuned = svd_peer.Checkpoint(base), svd_peer.Checkpoint(tuned)
    for name in base.names():
        if pair := factors(name):
            delta = tuned.read(name) - base.read(name)
            wrong += float((delta - pair[0] @ pair[1]).square().sum())
            whole += float(delta.square().sum())
    return (wrong / whole) ** 0.5


def factors_of_peer(out):
    checkpoint = svd_peer.Checkpoint(out)
    return lambda name: name + ".lora_A" in checkpoint.files and [checkpoint.read(name + part) for part in (".lora_B", ".lora_A")]


def factors_of_braid(out):
    checkpoint = svd_peer.Checkpoint(out)

    def pair(name):
        module = "base_model.model." + name.removesuffix(".weight")
        if "embed" in name:
            return module + ".lora_embedding_A" in checkpoint.files and [
                checkpoint.read(module + ".lora_embedding_B"), checkpoint.read(module + ".lora_embedding_A")
            ]
        return module + ".lora_A.weight" in checkpoint.files and [
            checkpoint.read(module + part) for part in (".lora_B.weight", ".lora_A.weight")
        ]

    return lambda name: transposed_where_embedding(name, pair(name))


def transposed_where_embedding(name, pair):
    """PEFT keeps the factors of an embedding as those of its transpose."""
    return pair and ([pair[1].T, pair[0].T] if "embed" in name else pair)


def contests(braid, models, recipe):
    base, *experts = models
    python, peer = sys.executable, merge.HERE / "svd_peer.py"
    yield Contest(
        "tsvm",
        lambda out: [braid, "merge", recipe, out, "--quiet"],
        lambda out: [python, peer, "tsvm", out, base, *experts],
    )
    yield Contest(
        "lora_extract",
        lambda out: [braid, "lora", "extract", base, experts[0], out, "--rank", str(RANK), "--matrices-only", "--dtype", "float32", "--quiet"],
        lambda out: [python, peer, "lora", out, str(RANK), base, experts[0]],
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--braid", default=merge.ROOT / "target" / "release" / "braid")
    parser.add_argument("--where", type=pathlib.Path, default=pathlib.Path(os.environ.get("BRAID_BENCH_DIR", tempfile.gettempdir())))
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    braid = measure.executable(arguments.braid, "braid", "build it: cargo build --release")
    work = arguments.where / "braid-bench" / "decompositions"
    work.mkdir(parents=True, exist_ok=True)
    family = [sys.executable, "-B", merge.HERE / "family.py", work / "family", "--layers", str(arguments.layers)]
    subprocess.run(family, check=True, stdout=subprocess.DEVNULL)
    models = [work / "family" / name for name in ("base", "ft0", "ft1", "ft2")]
    experts = [{"model": str(path), "parameters": {"weight": 1}} for path in models[1:]]
    recipe = work / "tsvm.yml"
    recipe.write_text(merge.text("tsvm", {"base_model": str(models[0]), "models": experts}))
    measure.warm(measure.checkpoint_files(models))

    machine, met = measure.machine(), True
    print(f"{machine['processor']}, {machine['cores']} cores; {arguments.layers} layers of hidden size 1024, base and three experts\n")
    print("| formula | PyTorch: wall, CPU, peak | Braid: wall, CPU, peak | CPU ratio | results |\n|---|---|---|---|---|")
    for contest in contests(braid, models, recipe):
        for _ in range(arguments.runs):
            contest.run(work)
        ours, theirs = work / "braid", work / "torch"
        if contest.name == "tsvm":
            difference = apart(ours, theirs)
            same, verdict = difference < APART, f"at most {difference:.1e} apart"
        else:
            errors = [extraction_error(factors, *models[:2]) for factors in (factors_of_braid(ours), factors_of_peer(theirs))]
            same, verdict = errors[0] < WORSE * errors[1], f"left of Δ: {errors[0]:.4f}, PyTorch {errors[1]:.4f}"
        met &= same and not contest.is_slower()
        print(contest.row(verdict), flush=True)
    sys.exit(1 if arguments.check and not met else 0)


if __name__ == "__main__":
    main()
