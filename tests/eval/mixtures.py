#!/usr/bin/env python3
"""Mixture methods on real text: three mixtures of Debian's packages, paired seeds, an exact stratified control.

    ./x mix                      # all of it: hours; nightly
    ./x mix --seeds 3 --steps 300 --only A2

Downloads packages with apt-get, extracts their text, drops exact duplicates, runs `braid mix`, and prints the tables of docs/mix.md.
A claim is made only where the 95 % interval of the paired differences excludes zero.
"""

import argparse
import gzip
import hashlib
import html
import json
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import time

# Domain: packages (the first pattern that apt knows of each group is taken), which of their files, and how text is got out of them.
DOMAINS = {
    "man_en": ([["manpages"], ["manpages-dev"]], r"/man[1-8]/", "gz"),
    "man_de": ([["manpages-de"]], r"/man[1-8]/", "gz"),
    "rust": ([["rust-src"]], r"/library/.*\.rs$", "plain"),
    "python": ([["libpython3.13-stdlib", "libpython3.12-stdlib", "libpython3.11-stdlib"]], r"\.py$", "plain"),
    "anarchism": ([["anarchism"]], r"\.(md|txt)(\.gz)?$", "gz"),
    "fortunes_de": ([["fortunes-de"]], r"/fortunes/[^.]*$", "plain"),
    "fortunes_ru": ([["fortunes-ru"]], r"/fortunes/[^.]*$", "plain"),
    "pgdoc": ([["postgresql-doc-17", "postgresql-doc-16", "postgresql-doc-15"]], r"\.html$", "html"),
    "gcide": ([["dict-gcide"]], r"\.dict\.dz$", "gz"),
}

# Name: domains, tokens of each at most, which is where small domains repeat.
MIXTURES = {
    "A2": (["man_en", "rust"], None),
    "B3": (["anarchism", "python", "man_de"], None),
    "C7": (["anarchism", "fortunes_de", "fortunes_ru", "man_en", "rust", "pgdoc", "gcide"], 300_000),
}

# Read at most so much of a domain: a run sees a few million tokens.
MOST = 8_000_000


def run(*command, cwd=None):
    subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL)


def known(package):
    found = subprocess.run(["apt-cache", "show", package], capture_output=True, text=True)
    return found.returncode == 0 and "Filename:" in found.stdout


def text_of(path, how):
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    if how == "html":
        text = re.sub(rb"<(script|style)\b.*?</\1>|<[^>]*>", b" ", data, flags=re.S)
        data = re.sub(r"[ \t]+", " ", html.unescape(text.decode("utf-8", "replace"))).encode()
    return data


def fetch(name, folder):
    """The text of a domain, one document a file of a package; exact duplicates dropped."""
    target = folder / f"{name}.jsonl"
    if target.exists():
        return target
    groups, pattern, how = DOMAINS[name]
    documents, seen, size = [], set(), 0
    for group in groups:
        package = next((package for package in group if known(package)), None)
        if package is None:
            sys.exit(f"apt knows none of {', '.join(group)}")
        with tempfile.TemporaryDirectory() as work:
            run("apt-get", "download", package, cwd=work)
            for deb in pathlib.Path(work).glob("*.deb"):
                run("dpkg-deb", "-x", str(deb), work + "/out")
            for path in sorted((pathlib.Path(work) / "out").rglob("*")):
                if not path.is_file() or path.is_symlink() or not re.search(pattern, str(path)):
                    continue
                data = text_of(path, how)
                digest = hashlib.sha256(data).digest()
                if digest in seen or size >= MOST:
                    continue
                seen.add(digest)
                data = data[: MOST - size]
                documents.append(data.decode("utf-8", "replace"))
                size += len(data)
    if size < 100_000:
        sys.exit(f"{name}: only {size} bytes of text were found")
    part = target.with_suffix(".part")
    part.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
    part.rename(target)
    return target


def spec(names, cap, corpus, args):
    domains = {name: {"paths": [str(fetch(name, corpus))], **({"cap": cap} if cap else {})} for name in names}
    every = max(args.steps // 12, 3 * len(names))  # twelve rounds, if each holds all trials
    slots = max(args.batch, len(names))
    interval = max(every // (4 * len(names)), 2)
    methods = [
        "stratified",
        "proportional",
        {"method": "aioli", "round": every, "sweeps": 1, "interval": interval, "rate": 0.5},
        {"method": "aioli", "name": "aioli-released", "semantics": "released", "round": every, "sweeps": 1,
         "interval": interval, "rate": 0.2, "memory": 0.1},
        {"method": "skill-it", "every": every},
        {"method": "doremi"},
        {"method": "odm", "every": 5},
        {"method": "ado"},
    ]
    if args.methods:
        kept = args.methods.split(",")
        methods = [method for method in methods if (method if isinstance(method, str) else method.get("name", method["method"])) in kept]
    return {
        "domains": domains,
        "split": {"block": 4096 if cap else 32768, "validation": 0.05, "test": 0.05},
        "context": 32,
        "batch": slots,
        "steps": args.steps,
        "evaluate": 128,
        "trainer": {
            "builtin": {
                "model": {"width": 32, "heads": 2, "head_dim": 16, "mlp_width": 96, "layers": ["gla"]},
                "optimizer": {"lr": 3e-3, "warmup": args.steps // 10, "final_lr": 1e-4},
            }
        },
        "methods": methods,
        "seeds": list(range(1, args.seeds + 1)),
        "checkpoint_every": max(args.steps // 4, 1),
    }


def table(name, report, seconds):
    print(f"\n### {name}\n\n| method | perplexity | difference | 95 % interval | lower in | sure | steps a run | validations a run |")
    print("|---|---|---|---|---|---|---|---|")
    for method in report["methods"]:
        runs, paired = method["runs"], method["difference"]
        steps = sum(run["cost"]["steps"] + run["cost"]["probe_steps"] for run in runs) / len(runs)
        validations = sum(run["cost"]["validations"] for run in runs) / len(runs)
        if paired:
            low, high = paired["low"], paired["high"]
            sure = "yes" if low is not None and (low > 0 or high < 0) else "no"
            interval = "" if low is None else f"{low:+.3f} … {high:+.3f}"
            rest = f"{paired['mean']:+.3f} | {interval} | {paired['below']} of {paired['pairs']} | {sure}"
        else:
            rest = "control | | | "
        print(f"| {method['name']} | {method['perplexity']:.3f} | {rest} | {steps:.0f} | {validations:.0f} |")
    print(f"\n{seconds:.0f} s of wall time.", flush=True)


def proxies(name, args, corpus, out):
    """Merged experts beside real runs on one seed: how well they predict, and what they cost."""
    names, cap = MIXTURES[name]
    merged = {"method": "merged-proxies", "prefix": args.steps // 2, "steps": args.steps // 10, "merges": 20, "held_out": 12}
    merged["law"] = {"repetitions": 1000}
    made = {**spec(names, cap, corpus, args), "methods": [merged], "seeds": [1]}
    run_spec(args, made, out / f"{name}-proxies.yml", out / f"{name}-proxies")
    folder = out / f"{name}-proxies" / "runs" / "merged-proxies" / "seed-1"
    fit = json.loads((folder / "fit.json").read_text())

    def figure(agreement):
        return "" if not agreement else f"{agreement['spearman'] or 0:.3f} ({agreement['explained'] or 0:.2f})"

    print(f"\n### {name}: merged proxies\n\n| domain | merges to real runs | law on held-out runs | real ≈ | warning |\n|---|---|---|---|---|")
    for domain in fit["domains"]:
        fitted = domain["calibration"]
        print(
            f"| {domain['domain']} | {figure(fitted['agreement'])} | {figure(domain['held_out'])} "
            f"| {fitted['offset']:.2f} + {fitted['slope']:.2f} · merge | {domain['warning'] or ''} |"
        )
    count, fresh = fit["mean_of"]
    print(f"| mean of domains | | {figure(fit['mean'])} over {count} {'held-out ' if fresh else ''}runs | | |")
    # Files appear when their stage ends.
    forks = [path for pattern in ("expert-*", "real-*") for path in folder.glob(f"{pattern}/result.json")]
    begun, ended = (folder / "prefix/result.json").stat().st_mtime, max(path.stat().st_mtime for path in forks)
    merged_at = max(path.stat().st_mtime for path in folder.glob("merges-*.json"))
    points = len(fit["points"])
    print(
        f"\n{len(forks)} runs of {args.steps // 10} steps took {ended - begun:.1f} s, {(ended - begun) / len(forks):.2f} s each; "
        f"{points} merges on all domains {merged_at - ended:.1f} s, {(merged_at - ended) / points:.2f} s each.",
        flush=True,
    )


def overhead(args, corpus, out):
    """Processor time of a round beside its training: one run in two rounds, and in a hundred."""
    names, cap = MIXTURES["A2"]
    made = {**spec(names, cap, corpus, args), "methods": ["stratified"], "seeds": [1], "evaluate": 16, "steps": 1000}
    spent = {}
    for rounds in (2, 100, 2, 100):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        folder = out / f"overhead-{rounds}-{len(spent)}-{time.monotonic_ns()}"
        run_spec(args, {**made, "checkpoint_every": 1000 // rounds}, out / "overhead.yml", folder)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        spent[rounds] = min(seconds, spent.get(rounds, seconds))
    each = (spent[100] - spent[2]) / 98
    print(f"1000 steps: {spent[2]:.2f} s of processor time in 2 rounds, {spent[100]:.2f} s in 100: {each * 1e3:.1f} ms a round")


def run_spec(args, made, written, out):
    written.write_text(json.dumps(made, indent=1))  # JSON is YAML
    subprocess.run([args.braid, "-q", "mix", written, out, "--threads", args.threads], check=True, stdout=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--braid", required=True, help="the program")
    parser.add_argument("--corpus", type=pathlib.Path, required=True, help="a folder for the text, which is kept")
    parser.add_argument("--out", type=pathlib.Path, help="a folder for the results, which are gone on from")
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", default="2")
    parser.add_argument("--methods", help="only these, by name, separated by commas")
    parser.add_argument("--overhead", action="store_true", help="what a round costs beside its training, instead")
    parser.add_argument("--proxies", action="store_true", help="merged proxies beside real runs, instead")
    parser.add_argument("--only", choices=MIXTURES, action="append")
    args = parser.parse_args()
    args.corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        out = args.out or pathlib.Path(temporary)
        out.mkdir(parents=True, exist_ok=True)
        if args.overhead:
            return overhead(args, args.corpus.resolve(), out)
        for name in args.only or MIXTURES:
            names, cap = MIXTURES[name]
            corpus, start = args.corpus.resolve(), time.monotonic()
            if args.proxies:
                proxies(name, args, corpus, out)
                continue
            run_spec(args, spec(names, cap, corpus, args), out / f"{name}.yml", out / name)
            table(name, json.loads((out / name / "report.json").read_text()), time.monotonic() - start)


if __name__ == "__main__":
    main()
