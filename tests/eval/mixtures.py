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
import subprocess
import sys
import tempfile

import mixture_overhead
import mixture_tables

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
    """A job over so many seeds, every method on the same sequences."""
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
        {"method": "skill-it", "every": every, "graph_steps": max(args.steps // 4, 1)},
        # As in the comparison of Aioli's authors; its weights are played, so that the run itself can be judged.
        {"method": "doremi", "play": "sampling", "rate": 0.01, "smoothing": 1e-3},
        {"method": "odm", "every": 5},
        {"method": "ado", "skip": args.steps // 6, "first_fit": args.steps // 3, "refit": args.steps // 3},
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
        "evaluate": args.evaluate,
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


def compare(name, args, corpus, out):
    """The methods on a mixture; the table of what they came to."""
    run_spec(args, spec(*MIXTURES[name], corpus, args), out / f"{name}.yml", out / name)
    return mixture_tables.methods(name, json.loads((out / name / "report.json").read_text()))


def proxies(name, args, corpus, out):
    """Merged experts beside real runs: how well they predict, and what they cost. Seeds one after the other, each measured alone."""
    merged = {"method": "merged-proxies", "prefix": args.steps // 2, "steps": args.steps // 10, "merges": 20, "held_out": 12}
    merged["law"] = {"repetitions": 1000}
    seeds = []
    for seed in range(1, args.proxy_seeds + 1):
        made = {**spec(*MIXTURES[name], corpus, args), "methods": [merged], "seeds": [seed]}
        folder = out / f"{name}-proxies-{seed}"
        run_spec(args, made, out / f"{name}-proxies.yml", folder)
        seeds.append(mixture_tables.Proxies.read(folder / f"runs/merged-proxies/seed-{seed}"))
    return mixture_tables.proxies(name, merged, seeds)


def overhead(args, corpus, out):
    """What orchestration costs."""
    print(mixture_overhead.of_a_fleet(args.braid, (out / "fleet").resolve(), args.rounds, 10), flush=True)
    made = {**spec(*MIXTURES["A2"], corpus, args), "methods": ["stratified"], "seeds": [1], "evaluate": 16}
    print(mixture_overhead.of_rounds(lambda *run: run_spec(args, *run), made, out))


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
    parser.add_argument("--evaluate", type=int, default=128, help="held-out sequences of a domain that a loss is measured on")
    parser.add_argument("--threads", default="2")
    parser.add_argument("--methods", help="only these, by name, separated by commas")
    parser.add_argument("--overhead", action="store_true", help="what a round costs beside its training, instead")
    parser.add_argument("--rounds", type=int, default=12, help="rounds of --overhead, of ten seconds each")
    parser.add_argument("--proxies", action="store_true", help="merged proxies beside real runs, instead")
    parser.add_argument("--proxy-seeds", type=int, default=3, help="seeds of --proxies")
    parser.add_argument("--only", choices=MIXTURES, action="append")
    parser.add_argument("--write", type=pathlib.Path, help="put the tables into this document too, in place of those that it has")
    args = parser.parse_args()
    args.corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        out, corpus = args.out or pathlib.Path(temporary), args.corpus.resolve()
        out.mkdir(parents=True, exist_ok=True)
        if args.overhead:
            return overhead(args, corpus, out)
        tables = []
        for name in args.only or MIXTURES:
            tables.append((proxies if args.proxies else compare)(name, args, corpus, out))
            print(tables[-1], flush=True)
        text = "\n".join(tables)
        if not args.proxies:
            reports = [json.loads((out / name / "report.json").read_text()) for name in args.only or MIXTURES]
            said = mixture_tables.conclusions(args.only or list(MIXTURES), reports)
            print(said)
            text += "\n" + said
        if args.write:
            mixture_tables.replace(args.write, "proxies" if args.proxies else "methods", setting(args), text)


def setting(args):
    """The command that makes these tables again."""
    words = [f"--steps {args.steps}"] + ([f"--proxies --proxy-seeds {args.proxy_seeds}"] if args.proxies else [f"--seeds {args.seeds}"])
    words += [f"--evaluate {args.evaluate}"] if args.evaluate != 128 else []
    words += [f"--methods {args.methods}"] if args.methods else []
    return " ".join(["./x mix", *words, *(f"--only {name}" for name in args.only or ())])


if __name__ == "__main__":
    main()
