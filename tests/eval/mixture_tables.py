"""What the reports of `braid mix` say, as the tables of docs/mix.md. Runs nothing."""

import dataclasses
import json
import pathlib


def sure(paired):
    """Whether the interval of a paired difference excludes zero."""
    return paired["low"] is not None and (paired["low"] > 0 or paired["high"] < 0)


def methods(name, report):
    """One line a method: its differences to the control, and what it costs."""
    domains = ", ".join(report["domains"])
    lines = [
        f"**{name}**: {domains}.\n",
        "| method | perplexity | difference | 95 % interval | lower in | sure | steps a run | validations a run | learnt proportions |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for method in report["methods"]:
        runs, paired = method["runs"], method["difference"]
        steps = sum(run["cost"]["steps"] + run["cost"]["probe_steps"] for run in runs) / len(runs)
        validations = sum(run["cost"]["validations"] for run in runs) / len(runs)
        learnt = " ".join(f"{sum(shares) / len(runs):.2f}" for shares in zip(*(run["learnt"] for run in runs)))
        if paired:
            low, high = paired["low"], paired["high"]
            interval = "" if low is None else f"{low:+.3f} … {high:+.3f}"
            rest = f"{paired['mean']:+.3f} | {interval} | {paired['below']} of {paired['pairs']} | {'yes' if sure(paired) else 'no'}"
        else:
            rest = "control | | | "
        lines.append(f"| {method['name']} | {method['perplexity']:.3f} | {rest} | {steps:.0f} | {validations:.0f} | {learnt} |")
    return "\n".join(lines) + "\n"


def conclusions(names, reports):
    """What may be claimed, method by method: only where the interval excludes zero."""
    lines = []
    for index, method in enumerate(reports[0]["methods"]):
        found = {"better": [], "worse": [], "not surely different": []}
        for name, report in zip(names, reports):
            paired = report["methods"][index]["difference"]
            if paired:
                word = ("better" if paired["high"] < 0 else "worse") if sure(paired) else "not surely different"
                found[word].append(name)
        said = "; ".join(f"{word} on {', '.join(on)}" for word, on in found.items() if on)
        if said:
            lines.append(f"- {method['name']}: {said}.")
    intervals = sum(bool(method["difference"]) for report in reports for method in report["methods"])
    control = reports[0]["control"]
    return (
        f"Against {control}, whose batches are exact as those of all others are but of `aioli-released`, each method is\n\n"
        + "\n".join(lines)
        + f"\n\nOf {intervals} intervals of 95 %, about {intervals * 0.05:.0f} exclude zero by chance where there is no difference at all.\n"
    )


@dataclasses.dataclass
class Proxies:
    """One seed of merged proxies: what was fitted, and what it took."""

    fit: dict
    runs: int
    seconds_of_runs: float
    seconds_of_merges: float

    @classmethod
    def read(cls, folder: pathlib.Path):
        # Files appear when their stage ends.
        forks = [path for pattern in ("expert-*", "real-*") for path in folder.glob(f"{pattern}/result.json")]
        begun, ended = (folder / "prefix/result.json").stat().st_mtime, max(path.stat().st_mtime for path in forks)
        merged = max(path.stat().st_mtime for path in folder.glob("merges-*.json"))
        return cls(json.loads((folder / "fit.json").read_text()), len(forks), ended - begun, merged - ended)


def proxies(name, settings, seeds):
    """How well merges and laws predict, domain by domain and seed by seed; and what a merge costs beside a run."""

    def figure(agreement):
        return "" if not agreement else f"{agreement['spearman'] or 0:.3f} ({agreement['explained'] or 0:.2f})"

    lines = [
        f"**{name}**, merged proxies: rank correlation (and R²), by seed.\n",
        "| seed | domain | merges to real runs | law on held-out runs | real ≈ | warning |",
        "|---|---|---|---|---|---|",
    ]
    for number, seed in enumerate(seeds, 1):
        for domain in seed.fit["domains"]:
            fitted = domain["calibration"]
            real = f"{fitted['offset']:.2f} + {fitted['slope']:.2f} · merge"
            warning = domain["warning"] or ""
            lines.append(
                f"| {number} | {domain['domain']} | {figure(fitted['agreement'])} | {figure(domain['held_out'])} | {real} | {warning} |"
            )
        count, fresh = seed.fit["mean_of"]
        lines.append(f"| {number} | mean loss | | {figure(seed.fit['mean'])} over {count} {'held-out ' if fresh else ''}runs | | |")
    runs = [seed.seconds_of_runs / seed.runs for seed in seeds]
    merges = [seed.seconds_of_merges / len(seed.fit["points"]) for seed in seeds]
    mean = lambda values: sum(values) / len(values)
    points = len(seeds[0].fit["points"])
    lines.append(
        f"\nA run of {settings['steps']} steps on one mixture took {mean(runs):.2f} s (mean of {seeds[0].runs} runs a seed), and a merge, "
        f"evaluated on all domains, {mean(merges):.3f} s (mean of {points} a seed): {mean(runs) / mean(merges):.0f} times less."
    )
    return "\n".join(lines) + "\n"


def replace(document, block, command, text):
    """Puts tables into a document, between the marks of their block, with the command that makes them."""
    begin, end = f"<!-- {block} -->", f"<!-- end of {block} -->"
    found = document.read_text(encoding="utf-8")
    if begin not in found or end not in found:
        raise SystemExit(f"{document} has no marks of {block}")
    before, rest = found.split(begin, 1)
    after = rest.split(end, 1)[1]
    document.write_text(f"{before}{begin}\n\nBy `{command}`:\n\n{text}\n{end}{after}", encoding="utf-8")
