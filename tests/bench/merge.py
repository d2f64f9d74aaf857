#!/usr/bin/env python3
"""Times `braid merge` against `mergekit-yaml --lazy-unpickle` and against a plain copy of the same bytes.

    merge.py --braid target/release/braid --mergekit VENV/bin/mergekit-yaml [--where DIR ...] [--json FILE]

A base and three bf16 experts of 252 million parameters are made once in each DIR and kept (but not in /dev/shm). All
programs then run in turn in this one run: the whole process, with the inputs in the page cache and nothing left for the
disk to write. Prints a Markdown table of medians for each DIR; `--json` keeps every single run. The copy is that of
ceiling.py.

The thresholds are the project's own. `--check` exits with 1 when one is missed.
Needs numpy in the interpreter of --python, and only to make the checkpoints.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import measure

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]

# How many times faster than mergekit a method must be, in wall time, and which share of a copy's speed it must reach.
FASTER = {"ties": 20, "dare_ties": 12, "linear": 8, "slerp": 8}
SHARE_OF_COPY = {"linear": 0.70}
# The same in CPU time: for methods for which mergekit sorts, and for all others.
SORTING = ("ties", "breadcrumbs", "breadcrumbs_ties", "della", "della_linear", "sce")
FASTER_CPU = dict.fromkeys(SORTING, 20)
LEAST_FASTER_CPU = 5
MEMORY = pathlib.Path("/dev/shm")

# What a recipe of each method says of its experts and of the whole; those of a pair take one expert, "no base" those that take none.
EXPERTS = {
    "task_arithmetic": {},
    "ties": {"density": 0.5},
    "dare_ties": {"density": 0.5},
    "dare_linear": {"density": 0.5},
    "breadcrumbs": {"density": 0.5, "gamma": 0.01},
    "breadcrumbs_ties": {"density": 0.5, "gamma": 0.01},
    "della": {"density": 0.5, "epsilon": 0.15},
    "della_linear": {"density": 0.5, "epsilon": 0.15},
    "multislerp": {},
}
SHARED = {"sce": {"select_topk": 0.5}, "slerp": {"t": 0.5}, "nearswap": {"t": 0.0005}}
UNWEIGHTED = ("sce", "model_stock", "ram", "ramplus_tl", "karcher")
PAIRS = ("slerp", "nearswap", "arcee_fusion")
WITHOUT_BASE = ("karcher", "multislerp", "nuslerp")
METHODS = ("ties", "dare_ties", "linear", "slerp", *(m for m in EXPERTS if m not in ("ties", "dare_ties")), *UNWEIGHTED, "nearswap", "arcee_fusion", "nuslerp")


def recipe(method, models):
    """The recipe's text (JSON is YAML) and the checkpoints that it reads."""
    base, *experts = models
    document = {"parameters": SHARED[method]} if method in SHARED else {}
    if method == "linear":
        used = models
        document["models"] = [weighed(path, share) for path, share in zip(models, (0.4, 0.3, 0.2, 0.1))]
        return text(method, document), used
    experts = experts[: 1 if method in PAIRS else 2 if method == "nuslerp" else None]
    if method in UNWEIGHTED or method in PAIRS:
        document["models"] = [{"model": str(path)} for path in experts]
    else:
        more = EXPERTS.get(method, {})
        document["models"] = [weighed(path, weight, **more) for path, weight in zip(experts, (0.5, 0.3, 0.2))]
    if method in WITHOUT_BASE:
        return text(method, document), experts
    return text(method, {"base_model": str(base), **document}), [base, *experts]


def weighed(path, weight, **more):
    return {"model": str(path), "parameters": {"weight": weight, **more}}


def text(method, document):
    return json.dumps({"merge_method": method, **document, "dtype": "bfloat16"}, indent=1)


class Contest:
    """One method in one folder: how to start each program, and what each took so far."""

    def __init__(self, method, folder, models, arguments):
        text, used = recipe(method, models)
        self.method, self.arguments = method, arguments
        self.work = folder / "work"
        self.output = self.work / "out"
        self.recipe = folder / f"{method}.yml"
        self.recipe.write_text(text)
        self.inputs = measure.checkpoint_files(used)
        self.runs = {"braid": [], "mergekit": [], "copy": []}
        self.output_bytes = None

    def fresh(self):
        measure.settle(self.work)
        self.work.mkdir()

    def merge(self, program, command, environment=None, keep=True):
        self.fresh()
        cost = measure.run(command, self.recipe.with_suffix(".log"), environment)
        self.output_bytes = sum(path.stat().st_size for path in self.output.glob("*.safetensors"))
        if not self.output_bytes:
            sys.exit(f"{program} {self.method}: no safetensors in {self.output}")
        if keep:
            self.runs[program].append(cost.as_json())

    def braid(self, keep=True):
        command = [self.arguments.braid, "merge", self.recipe, self.output, "--quiet"]
        if self.arguments.threads:
            command += ["--threads", str(self.arguments.threads)]
        self.merge("braid", command, keep=keep)

    def mergekit(self):
        command = [self.arguments.mergekit, self.recipe, self.output, "--lazy-unpickle", "--quiet"]
        self.merge("mergekit", command, {"HF_HUB_OFFLINE": "1"})

    def copy(self):
        """After a merge: copies what that merge read, and as much as it wrote."""
        size = self.output_bytes
        self.fresh()
        command = [sys.executable, HERE / "ceiling.py", self.work / "copy", str(size), *self.inputs]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        self.runs["copy"].append({**json.loads(done.stdout), "load_1m": os.getloadavg()[0]})

    def median(self, program, figure):
        values = [run[figure] for run in self.runs[program]]
        return measure.median(values) if values else None


def make_family(folder, python, first):
    """The checkpoints in `folder`: made there, or copied from the folder in which they were made first."""
    names = ["base", "ft0", "ft1", "ft2"]
    if first is not None and not (folder / "ft2").exists():
        for name in names:
            shutil.copytree(first / name, folder / name, dirs_exist_ok=True)
    subprocess.run([python, "-B", HERE / "family.py", folder], check=True, stdout=subprocess.DEVNULL)
    return [folder / name for name in names]


def contests_in(where, arguments, first):
    folder = where / "braid-bench"
    folder.mkdir(parents=True, exist_ok=True)
    models = make_family(folder / "family", arguments.python, first)
    contests = [Contest(method, folder, models, arguments) for method in arguments.methods]
    measure.warm(measure.checkpoint_files(models))
    for contest in contests:
        contest.braid(keep=False)
    for repetition in range(max(arguments.runs, arguments.mergekit_runs)):
        for contest in contests:
            if repetition < arguments.runs:
                contest.braid()
                contest.copy()
            if arguments.mergekit and repetition < arguments.mergekit_runs:
                contest.mergekit()
    shutil.rmtree(folder / "work", ignore_errors=True)
    return contests


def verdicts(contest):
    """The thresholds that apply to a method: name, reached, needed."""
    braid = contest.median("braid", "wall_s")
    mergekit = contest.median("mergekit", "wall_s")
    if mergekit and contest.method in FASTER:
        yield "times as fast as mergekit", mergekit / braid, FASTER[contest.method]
    if mergekit:
        least = FASTER_CPU.get(contest.method, LEAST_FASTER_CPU)
        yield "times less CPU time than mergekit", contest.median("mergekit", "cpu_s") / contest.median("braid", "cpu_s"), least
    if contest.method in SHARE_OF_COPY:
        yield "of the speed of a durable copy", contest.median("copy", "durable_s") / braid, SHARE_OF_COPY[contest.method]


def table(contests):
    yield "| method | read, written | mergekit: wall, CPU, peak | braid: wall (range), CPU, peak | wall ratio | CPU ratio | copy: fsynced, not | share of copy: fsynced, not |"
    yield "|---|---|---|---|---|---|---|---|"
    for contest in contests:
        read = sum(path.stat().st_size for path in contest.inputs)
        cells = [contest.method, f"{read / 1e9:.2f} GB, {contest.output_bytes / 1e9:.2f} GB"]
        wall, cpu = contest.median("braid", "wall_s"), contest.median("braid", "cpu_s")
        peak = max(run["peak_rss_bytes"] for run in contest.runs["braid"])
        every = [run["wall_s"] for run in contest.runs["braid"]]
        ours = f"{wall:.2f} s ({min(every):.2f}–{max(every):.2f}), {cpu:.2f} s, {peak / 2**20:.0f} MiB"
        if contest.runs["mergekit"]:
            theirs, their_cpu = contest.median("mergekit", "wall_s"), contest.median("mergekit", "cpu_s")
            their_peak = max(run["peak_rss_bytes"] for run in contest.runs["mergekit"])
            cells += [f"{theirs:.1f} s, {their_cpu:.1f} s, {their_peak / 2**20:.0f} MiB", ours]
            cells += [f"{theirs / wall:.1f}×", f"{their_cpu / cpu:.1f}×"]
        else:
            cells += ["not run", ours, "", ""]
        durable, copied = contest.median("copy", "durable_s"), contest.median("copy", "copied_s")
        cells += [f"{durable:.2f} s, {copied:.2f} s", f"{durable / wall:.0%}, {copied / wall:.0%}"]
        yield "| " + " | ".join(cells) + " |"


def report(where, contests):
    """Prints one folder's figures; whether every threshold is met."""
    machine = measure.machine()
    print(f"\n## {where}\n\n{machine['processor']}, {machine['cores']} cores, load average at the end {machine['load_1m']:.1f}\n")
    print("\n".join(table(contests)))
    print("\n| threshold | reached | needed | |\n|---|---|---|---|")
    met = True
    for contest in contests:
        for what, reached, needed in verdicts(contest):
            met &= reached >= needed
            print(f"| {contest.method}: {what} | {reached:.2f} | {needed:.2f} | {'pass' if reached >= needed else 'MISS'} |")
    sys.stdout.flush()
    return met


def room_in_memory():
    """The file system in memory, where there is one with room enough."""
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 4e9:
        yield MEMORY


def arguments_of(parser):
    default = os.environ.get("BRAID_BENCH_DIR", tempfile.gettempdir())
    parser.add_argument("--braid", default=ROOT / "target" / "release" / "braid")
    parser.add_argument("--mergekit", default=None, help="mergekit-yaml; without it only braid and the copy run")
    parser.add_argument("--python", default=sys.executable, help="an interpreter with numpy, to make the checkpoints")
    parser.add_argument("--where", action="append", type=pathlib.Path, help=f"a folder to work in, several times for several file systems; default {default} (or BRAID_BENCH_DIR) and /dev/shm; each takes 3 GB")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--runs", type=int, default=5, help="of braid and of the copy")
    parser.add_argument("--mergekit-runs", type=int, default=1)
    parser.add_argument("--threads", type=int, help="given to braid; default: what braid takes")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--check", action="store_true", help="exit with 1 when a threshold is missed")
    arguments = parser.parse_args()
    arguments.where = arguments.where or [pathlib.Path(default), *room_in_memory()]
    arguments.braid = measure.executable(arguments.braid, "braid", "build it: cargo build --release")
    if arguments.mergekit:
        arguments.mergekit = measure.executable(arguments.mergekit, "mergekit", "pip install mergekit")
    return arguments


def main():
    arguments = arguments_of(argparse.ArgumentParser(description=__doc__.splitlines()[0]))
    if arguments.mergekit:
        # Brings torch into the page cache: the first import would count as merging.
        measure.run([arguments.mergekit, "--help"], os.devnull)
    met, result, first = True, {"machine": measure.machine(), "folders": {}}, None
    for where in arguments.where:
        contests = contests_in(where, arguments, first)
        first = first or where / "braid-bench" / "family"
        met &= report(where, contests)
        if where == MEMORY:
            # What lies there is memory that others want.
            shutil.rmtree(where / "braid-bench")
        result["folders"][str(where)] = {contest.method: contest.runs for contest in contests}
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    if arguments.check and not met:
        sys.exit(1)


if __name__ == "__main__":
    main()
