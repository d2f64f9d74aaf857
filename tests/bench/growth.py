#!/usr/bin/env python3
"""Shows how the cost of a merge grows with parameters and with experts, and draws it.

    growth.py --braid target/release/braid [--where DIR] [--runs 3] [--plot docs/merge-growth.svg] [--check]

Checkpoints (bf16, hidden size 1024) of about 1, 2 and 4 times 77 million parameters are merged with three experts, and the
smallest with 2, 4 and 8 experts: CPU time of whole processes, medians. A straight line is laid through each method's points by least
squares; the table has its slope and how far the farthest point is from it. `--check` exits with 1 where that is more than
15 %. Needs numpy, and matplotlib for the plot.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import measure
import merge

METHODS = ("linear", "ties", "dare_ties", "della", "sce", "model_stock")
LAYERS = (1, 8, 21)  # 77, 159 and 311 million parameters
EXPERTS = (2, 4, 8)
EXPERTS_OF_PARAMETERS = 3
FARTHEST = 0.15


def family(where, layers, experts):
    folder = where / f"growth-{layers}"
    command = [sys.executable, "-B", merge.HERE / "family.py", folder, "--layers", str(layers), "--experts", str(experts)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return [folder / "base", *(folder / f"ft{number}" for number in range(experts))]


def parameters(model):
    return sum(path.stat().st_size for path in measure.checkpoint_files([model])) / 2


def recipe(method, models):
    base, *experts = models
    document = {"parameters": merge.SHARED[method]} if method in merge.SHARED else {}
    if method == "linear":
        document["models"] = [merge.weighed(path, 1 / len(models)) for path in models]
        return merge.text(method, document)
    more = merge.EXPERTS.get(method, {})
    weigh = (lambda path: {"model": str(path)}) if method in merge.UNWEIGHTED else (lambda path: merge.weighed(path, 1 / len(experts), **more))
    return merge.text(method, {"base_model": str(base), **document, "models": [weigh(path) for path in experts]})


def cpu_seconds(braid, method, models, work, runs):
    path = work / "recipe.yml"
    path.write_text(recipe(method, models))
    measure.warm(measure.checkpoint_files(models))
    costs = []
    for _ in range(runs):
        measure.settle(work / "out")
        costs.append(measure.run([braid, "merge", path, work / "out", "--quiet"], work / "log").cpu)
    return measure.median(costs)


class Line:
    """The straight line through points that is nearest to them."""

    def __init__(self, xs, ys):
        import numpy

        self.slope, self.offset = numpy.polyfit(xs, ys, 1)
        self.farthest = max(abs(y / self.at(x) - 1) for x, y in zip(xs, ys))

    def at(self, x):
        return self.offset + self.slope * x


def draw(path, panels):
    import matplotlib

    matplotlib.use("Agg")
    # The same picture for the same figures, and letters as letters.
    matplotlib.rcParams.update({"svg.hashsalt": "braid", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(panels), figsize=(9, 3.6))
    for axis, (title, points) in zip(axes, panels):
        for method, (xs, ys) in points.items():
            line = Line(xs, ys)
            (dots,) = axis.plot(xs, ys, "o", markersize=4, label=method)
            axis.plot([0, max(xs)], [line.at(0), line.at(max(xs))], "-", linewidth=1, color=dots.get_color())
        axis.set(xlabel=title, ylabel="CPU seconds", xlim=(0, None), ylim=(0, None))
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--braid", default=merge.ROOT / "target" / "release" / "braid")
    parser.add_argument("--where", type=pathlib.Path, default=pathlib.Path(os.environ.get("BRAID_BENCH_DIR", tempfile.gettempdir())))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--plot", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    braid = measure.executable(arguments.braid, "braid", "build it: cargo build --release")
    where = arguments.where / "braid-bench"
    work = where / "growth-work"
    work.mkdir(parents=True, exist_ok=True)

    by_size, by_experts = {}, {}
    for method in arguments.methods:
        by_size[method], by_experts[method] = ([], []), ([], [])
    for layers in LAYERS:
        models = family(where, layers, EXPERTS_OF_PARAMETERS)
        for method, (xs, ys) in by_size.items():
            xs.append(parameters(models[0]) / 1e6)
            ys.append(cpu_seconds(braid, method, models, work, arguments.runs))
    for experts in EXPERTS:
        models = family(where, LAYERS[0], experts)
        for method, (xs, ys) in by_experts.items():
            xs.append(experts)
            ys.append(cpu_seconds(braid, method, models, work, arguments.runs))

    straight = True
    sizes = [f"{size:.0f} M" for size in next(iter(by_size.values()))[0]]
    print(f"{measure.machine()['processor']}; CPU seconds\n")
    print("| method |", " | ".join(sizes), "| s a billion | off the line |", " | ".join(f"{n} experts" for n in EXPERTS), "| s an expert | off the line |")
    print("|---" * (len(LAYERS) + len(EXPERTS) + 5) + "|")
    for method in arguments.methods:
        cells = [f"`{method}`"]
        for (xs, ys), unit in ((by_size[method], 1000), (by_experts[method], 1)):
            line = Line(xs, ys)
            straight &= line.farthest <= FARTHEST
            cells += [*(f"{y:.2f}" for y in ys), f"{line.slope * unit:.2f}", f"{line.farthest:.0%}"]
        print(f"| {' | '.join(cells)} |")
    if arguments.plot:
        draw(arguments.plot, [("million parameters, three experts", by_size), ("experts of 77 million parameters", by_experts)])
    sys.exit(1 if arguments.check and not straight else 0)


if __name__ == "__main__":
    main()
