#!/usr/bin/env python3
"""Plans the same step with `braid plan`, and with SCIP and HiGHS on the MILP of the FlexSP paper.

    planning.py --braid target/release/braid [--seconds 10] [--data github commoncrawl wikipedia] [--json FILE]

For each data set one batch of 512 sequences (gpt-7b, a context of 384 000, 64 A100) is drawn and planned by `braid plan`. Each of its
micro-batches is then a problem for the two solvers, as the paper states it (arXiv 2412.01523, equations 17 to 22): sequences in 16
buckets by the paper's dynamic programme, a binary for each of the 127 virtual groups, a count for each bucket and group. A solver has
one thread and so many seconds for a micro-batch; the two run side by side. What a solver found is timed with the true lengths, not
with those of the buckets. Prints Markdown.

Needs the packages of tests/planning-requirements.txt.
"""

import argparse
import concurrent.futures
import json
import math
import os
import pathlib
import random
import subprocess
import sys
import time

import measure
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROFILES = ROOT / "workloads/sequence/profiles"
CONTEXT, SEQUENCES, BUCKETS = 384_000, 512, 16

# Share of Wikipedia's articles that are no longer, and the length; between, log-linear in the share that is longer.
WIKIPEDIA = [
    (0.01, 39), (0.05, 67), (0.10, 87), (0.25, 146), (0.50, 347), (0.75, 862), (0.90, 2112), (0.95, 3721), (0.97, 5391),
    (0.98, 7088), (0.99, 10921), (0.995, 15987), (0.998, 26515), (0.999, 37367), (0.9995, 51517), (0.9998, 75451),
    (0.9999, 102060), (0.99999, 235328),
]


def draw(data, rng):
    if data == "github":
        return rng.lognormvariate(6.8, 1.8)
    if data == "commoncrawl":
        return rng.lognormvariate(7.0, 1.6)
    share = rng.random()
    for (low, short), (high, long) in zip(WIKIPEDIA, WIKIPEDIA[1:]):
        if share <= high:
            depth = (math.log1p(-share) - math.log1p(-low)) / (math.log1p(-high) - math.log1p(-low))
            return math.exp(math.log(short) + max(depth, 0) * (math.log(long) - math.log(short)))
    return WIKIPEDIA[-1][1]


def batch(data, world):
    rng, lengths = random.Random(20), []
    while len(lengths) < SEQUENCES:
        length = max(1, round(draw(data, rng)))
        if length <= CONTEXT - 2 * world:
            lengths.append(length)
    return lengths


class Machine:
    """What a group of each degree holds, and how long it takes, in milliseconds: the paper's cost model."""

    def __init__(self):
        cluster = yaml.safe_load((PROFILES / "a100x64.yml").read_text())
        model = yaml.safe_load((PROFILES / "gpt-7b.yml").read_text())
        pool, speed = cluster["pools"][0], model["classes"]["a100-40g"]
        self.world = pool["nodes"] * pool["gpus_per_node"]
        self.alpha1, self.alpha2, self.beta1 = speed["alpha1_ms"], speed["alpha2_ms"], speed["beta1_ms"]
        parameters = next(count["gi"] for count in model["parameters"] if count["context"] == CONTEXT)
        states = parameters * 2**30 * 16 / 2**20 / self.world
        self.capacity = math.floor((pool["memory_gib"] * 1024 - states) / model["activation_mib_per_token"])
        self.bytes = 16 * model["layers"] * model["hidden"] / 2**20
        self.bandwidth = cluster["all_to_all"]["gb_per_s"]
        self.degrees = [2**power for power in range(self.world.bit_length())]

    def work(self, length, degree):
        exchange = self.bytes / self.bandwidth[degree] if degree > 1 else 0.0
        return (self.alpha1 * length**2 + (self.alpha2 + exchange) * length) / degree

    def time(self, lengths, degree):
        return self.beta1 + sum(self.work(length, degree) for length in lengths)


def buckets(lengths):
    """Upper length and members of each bucket, so that the sum of what is rounded up is least (equations 15 and 16)."""
    lengths = sorted(lengths)
    prefix = [0]
    for length in lengths:
        prefix.append(prefix[-1] + length)
    count, most = len(lengths), min(BUCKETS, len(lengths))
    best = [0.0] + [math.inf] * count
    cuts = []
    for _ in range(most):
        row, cut = [math.inf] * (count + 1), [0] * (count + 1)
        for end in range(1, count + 1):
            top = lengths[end - 1]
            row[end], cut[end] = min((best[start] + top * (end - start) - prefix[end] + prefix[start], start) for start in range(end))
        best = row
        cuts.append(cut)
    parts, end = [], count
    for cut in reversed(cuts):
        parts.append(lengths[cut[end]:end])
        end = cut[end]
    return [(part[-1], part) for part in reversed(parts)]


class Problem:
    """The paper's MILP of one micro-batch, without a solver."""

    def __init__(self, machine, lengths):
        self.machine, self.parts = machine, buckets(lengths)
        self.groups = [degree for degree in machine.degrees for _ in range(machine.world // degree)]

    def true_time(self, counts):
        """The slowest group, when buckets are dealt out as `counts[bucket][group]` says."""
        left = [list(part) for _, part in self.parts]
        times = []
        for group, degree in enumerate(self.groups):
            held = []
            for bucket, members in enumerate(left):
                held += [members.pop() for _ in range(round(counts[bucket][group]))]
            if held:
                times.append(self.machine.time(held, degree))
        return max(times)


def scip(problem, seconds):
    from pyscipopt import Model, quicksum

    machine, parts, groups = problem.machine, problem.parts, problem.groups
    model = Model()
    model.hideOutput()
    model.setParam("limits/time", seconds)
    makespan = model.addVar(lb=0)
    used = [model.addVar(vtype="B") for _ in groups]
    counts = [[model.addVar(vtype="I", lb=0, ub=len(part)) for _ in groups] for _, part in parts]
    for group, degree in enumerate(groups):
        held = [(row[group], upper) for row, (upper, _) in zip(counts, parts)]
        model.addCons(quicksum(machine.work(upper, degree) * count for count, upper in held) + machine.beta1 <= makespan)
        model.addCons(quicksum(upper * count for count, upper in held) <= machine.capacity * degree)
        model.addCons(quicksum(count for count, _ in held) <= sum(len(part) for _, part in parts) * used[group])
    model.addCons(quicksum(degree * on for degree, on in zip(groups, used)) <= machine.world)
    for row, (_, part) in zip(counts, parts):
        model.addCons(quicksum(row) == len(part))
    model.setObjective(makespan)
    began = time.perf_counter()
    model.optimize()
    took = time.perf_counter() - began
    found = None
    if model.getNSols():
        found = problem.true_time([[model.getVal(count) for count in row] for row in counts])
    return {"found_ms": found, "bound_ms": max(model.getDualbound(), 0.0), "seconds": took, "optimal": model.getStatus() == "optimal"}


def highs(problem, seconds):
    import highspy

    machine, parts, groups = problem.machine, problem.parts, problem.groups
    model = highspy.Highs()
    model.silent()
    for name, value in (("time_limit", float(seconds)), ("threads", 1), ("mip_rel_gap", 0.0)):
        model.setOptionValue(name, value)
    integer = highspy.HighsVarType.kInteger
    makespan = model.addVariable(lb=0)
    used = [model.addVariable(lb=0, ub=1, type=integer) for _ in groups]
    counts = [[model.addVariable(lb=0, ub=len(part), type=integer) for _ in groups] for _, part in parts]
    total = highspy.Highs.qsum
    for group, degree in enumerate(groups):
        held = [(row[group], upper) for row, (upper, _) in zip(counts, parts)]
        model.addConstr(total(machine.work(upper, degree) * count for count, upper in held) + machine.beta1 <= makespan)
        model.addConstr(total(upper * count for count, upper in held) <= machine.capacity * degree)
        model.addConstr(total(count for count, _ in held) <= sum(len(part) for _, part in parts) * used[group])
    model.addConstr(total(degree * on for degree, on in zip(groups, used)) <= machine.world)
    for row, (_, part) in zip(counts, parts):
        model.addConstr(total(row) == len(part))
    began = time.perf_counter()
    model.minimize(makespan)
    took = time.perf_counter() - began
    info, found = model.getInfo(), None
    if info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible:
        values = model.getSolution().col_value
        found = problem.true_time([[values[count.index] for count in row] for row in counts])
    optimal = model.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return {"found_ms": found, "bound_ms": max(info.mip_dual_bound, 0.0), "seconds": took, "optimal": optimal}


def plan(braid, lengths, effort):
    """`braid plan`, and what the whole process took."""
    command = [braid, "plan", "-", "--cluster", "a100x64", "--model", "gpt-7b", "--context", str(CONTEXT), "--effort", effort]
    began = time.perf_counter()
    done = subprocess.run([*command, "-o", "json"], input="\n".join(map(str, lengths)), capture_output=True, text=True, check=True)
    return {**json.loads(done.stdout), "process_ms": 1e3 * (time.perf_counter() - began)}


def contest(data, arguments, machine):
    lengths = batch(data, machine.world)
    plans = {effort: plan(arguments.braid, lengths, effort) for effort in ("fast", "thorough")}
    unit = 2 * machine.world
    rows = []
    for part in plans["thorough"]["micro_batches"]:
        members = [index for group in part["groups"] for index in group["sequences"]]
        problem = Problem(machine, [math.ceil(lengths[index] / unit) * unit for index in members])
        # What a solver prints is no part of the report.
        with concurrent.futures.ProcessPoolExecutor(2, initializer=os.dup2, initargs=(2, 1)) as pool:
            tasks = {solver.__name__: pool.submit(solver, problem, arguments.seconds) for solver in (scip, highs)}
            answers = {name: task.result() for name, task in tasks.items()}
        rows.append({"sequences": len(members), "braid_ms": 1e3 * part["predicted_s"], "bound_ms": 1e3 * part["bound_s"], **answers})
        print(f"{data}: micro-batch of {len(members)} done", file=sys.stderr)
    return {"data": data, "plans": plans, "rows": rows}


def seconds(milliseconds):
    return "none" if milliseconds is None else f"{milliseconds / 1e3:.3f}"


def solver_cells(answer, bound):
    found = answer["found_ms"]
    above = "" if found is None else f", {100 * (found / bound - 1):.1f} %"
    took = f"{answer['seconds']:.1f} s"
    return f"{seconds(found)}{above} | {seconds(answer['bound_ms'])} | {took}{', optimal' if answer['optimal'] else ''}"


def report(results, arguments):
    machine = measure.machine()
    print(f"{machine['processor']}, {machine['cores']} cores, load {machine['load_1m']:.1f}; {arguments.seconds:g} s for each micro-batch.\n")
    print("| data | sequences | Braid's bound, s | Braid, above it | SCIP, above Braid's bound | its bound | in | HiGHS, above | its bound | in |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for result in results:
        for row in result["rows"]:
            bound = row["bound_ms"]
            own = f"{seconds(row['braid_ms'])}, {100 * (row['braid_ms'] / bound - 1):.1f} %"
            cells = " | ".join(solver_cells(row[name], bound) for name in ("scip", "highs"))
            print(f"| {result['data']} | {row['sequences']} | {seconds(bound)} | {own} | {cells} |")
    print("\n| data | Braid, fast: step, gap, planned in | thorough | SCIP: step, in | HiGHS: step, in |")
    print("|---|---|---|---|---|")
    for result in results:
        own = [result["plans"][effort] for effort in ("fast", "thorough")]
        cells = [f"{p['predicted_s']:.2f} s, {100 * p['gap']:.2f} %, {p['solve_ms']:.0f} ms" for p in own]
        for name in ("scip", "highs"):
            found = [row[name]["found_ms"] for row in result["rows"]]
            step = "not all planned" if None in found else f"{sum(found) / 1e3:.2f} s"
            cells.append(f"{step}, {sum(row[name]['seconds'] for row in result['rows']):.1f} s")
        print(f"| {result['data']} | {' | '.join(cells)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--braid", default=ROOT / "target/release/braid", type=pathlib.Path)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--data", nargs="+", choices=("github", "commoncrawl", "wikipedia"), default=["github", "commoncrawl", "wikipedia"])
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    arguments.braid = measure.executable(arguments.braid, "braid", "cargo build --release --bin braid")
    machine = Machine()
    results = [contest(data, arguments, machine) for data in arguments.data]
    report(results, arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
