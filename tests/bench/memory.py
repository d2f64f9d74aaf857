#!/usr/bin/env python3
"""Checks that a merge stays inside `--memory`: a family of checkpoints ten times larger than the limit.

    memory.py --braid target/release/braid [--where DIR] [--memory-mib 256] [--slack-mib 64]

A base and three bf16 experts of together ten times the limit are made once in DIR. `braid merge` then runs linear (one
pass) and ties (a statistic of each tensor first) under the limit; its largest resident set, whole process, must not
exceed limit plus slack. Exits with 1 when it does. Needs numpy in the interpreter of --python, to make the checkpoints.
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

METHODS = ("linear", "ties")
# Bytes of the four checkpoints together: embedding, head and norm, and what each layer adds, in bf16.
OUTSIDE_LAYERS, PER_LAYER = 4 * 2 * 65_537_024, 4 * 2 * 11_667_456


def layers_for(total):
    """The least number of layers that makes the family this large."""
    return max(1, -(-(total - OUTSIDE_LAYERS) // PER_LAYER))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--braid", default=merge.ROOT / "target" / "release" / "braid")
    parser.add_argument("--python", default=sys.executable, help="an interpreter with numpy")
    parser.add_argument("--where", type=pathlib.Path, default=pathlib.Path(os.environ.get("BRAID_BENCH_DIR", tempfile.gettempdir())))
    parser.add_argument("--memory-mib", type=int, default=256)
    parser.add_argument("--slack-mib", type=int, default=64)
    arguments = parser.parse_args()
    braid = measure.executable(arguments.braid, "braid", "build it: cargo build --release")

    layers = layers_for(10 * arguments.memory_mib * 2**20)
    folder = arguments.where / "braid-bench"
    family = folder / f"family-of-{layers}-layers"
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([arguments.python, "-B", merge.HERE / "family.py", family, "--layers", str(layers)], check=True, stdout=subprocess.DEVNULL)
    models = [family / name for name in ("base", "ft0", "ft1", "ft2")]
    total = sum(path.stat().st_size for path in measure.checkpoint_files(models))
    limit = arguments.memory_mib + arguments.slack_mib
    print(f"family of {total / 2**20:.0f} MiB, --memory {arguments.memory_mib}MiB\n\n| method | peak | allowed | |\n|---|---|---|---|")
    inside = True
    for method in METHODS:
        work = folder / "work"
        measure.settle(work)
        work.mkdir()
        path = folder / f"memory-{method}.yml"
        path.write_text(merge.recipe(method, models)[0])
        command = [braid, "merge", path, work / "out", "--quiet", "--memory", f"{arguments.memory_mib}MiB"]
        peak = measure.run(command, path.with_suffix(".log")).resident / 2**20
        inside &= peak <= limit
        print(f"| {method} | {peak:.0f} MiB | {limit} MiB | {'pass' if peak <= limit else 'MISS'} |", flush=True)
        shutil.rmtree(work)
    sys.exit(0 if inside else 1)


if __name__ == "__main__":
    main()
