#!/usr/bin/env python3
"""Tokenizers trained on known mixtures, and what `braid mix infer` finds of them: the table in docs/mix-infer.md.

    infer.py --braid target/release/braid [--work DIR] [--seeds 3]

Text comes from Debian packages (apt-get download): manual pages in several languages, Python's standard library, Perl's
documentation. Each category is cut into blocks of about 2 kB of lines, which are shuffled; one half is for training, the other
for inference, so that no block is in both. With `--split pages` whole pages are dealt out instead, of which a few long ones
hold much of the text: then the halves differ, and the error shows it. Proportions are drawn anew for each seed. Needs the
package `tokenizers`.
"""

import argparse
import gzip
import json
import math
import pathlib
import random
import resource
import subprocess
import tempfile

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

MANUALS = {
    "en": ["manpages", "manpages-dev"],
    "de": ["manpages-de"],
    "fr": ["manpages-fr"],
    "pl": ["manpages-pl"],
    "ru": ["manpages-ru"],
    "es": ["manpages-es"],
}
OTHERS = {"python": ("libpython3.11-stdlib", "*.py"), "pod": ("perl-doc", "*.pod")}
CASES = [
    ("5 languages", ["en", "de", "fr", "pl", "ru"], 1000),
    ("5 languages", ["en", "de", "fr", "pl", "ru"], 3000),
    ("6 languages, code, documentation", ["en", "de", "fr", "pl", "ru", "es", "python", "pod"], 1000),
    ("6 languages, code, documentation", ["en", "de", "fr", "pl", "ru", "es", "python", "pod"], 3000),
]
# Bytes that a tokenizer is trained on, and of a block.
TRAINING, BLOCK = 6_000_000, 2_000


def pages(work, packages, pattern):
    """The texts of some packages, each once."""
    found = {}
    for package in packages:
        root = work / "packages" / package
        if not root.exists():
            root.mkdir(parents=True)
            subprocess.run(["apt-get", "download", "-qq", package], cwd=root, check=True)
            subprocess.run(["dpkg-deb", "-x", next(root.glob("*.deb")), root], check=True)
        for path in sorted(root.rglob(pattern)):
            if not path.is_file() or path.is_symlink():
                continue
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            try:
                found.setdefault(data.decode(), None)
            except UnicodeDecodeError:
                continue
    return list(found)


def blocks(texts):
    """Lines of all texts, about BLOCK bytes together."""
    block, size = [], 0
    for line in (line for text in texts for line in text.splitlines(keepends=True)):
        block.append(line)
        size += len(line.encode())
        if size >= BLOCK:
            yield "".join(block)
            block, size = [], 0


def halves(texts, split, seed):
    """Two halves of a category, without a piece in common."""
    pieces = list(blocks(texts) if split == "blocks" else texts)
    random.Random(seed).shuffle(pieces)
    return pieces[0::2], pieces[1::2]


def take(pieces, size):
    """The first pieces of about so many bytes."""
    taken, total = [], 0
    for piece in pieces:
        if total >= size:
            break
        taken.append(piece)
        total += len(piece.encode())
    return taken, total


def train(path, texts, merges):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=len(alphabet) + merges, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator((line for text in texts for line in text.splitlines(keepends=True)), trainer)
    tokenizer.save(str(path))


def trial(args, texts, names, merges, seed):
    """One tokenizer of a mixture drawn by chance."""
    rng = random.Random(f"{seed} {names}")
    drawn = [rng.gammavariate(2, 1) for _ in names]
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        folder = pathlib.Path(folder)
        training, truth, data = [], {}, []
        for name, weight in zip(names, drawn):
            ours, theirs = halves(texts[name], args.split, seed)
            taken, truth[name] = take(ours, TRAINING * weight / sum(drawn))
            training += taken
            (folder / name).write_text("".join(theirs), encoding="utf-8")
            data += ["--data", f"{name}={folder / name}"]
        train(folder / "tokenizer.json", training, merges)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = [args.braid, "mix", "infer", folder / "tokenizer.json", *data, "-o", "json"]
        answer = json.loads(subprocess.run(run, check=True, stdout=subprocess.PIPE).stdout)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = sum(truth.values())
    error = [answer["proportions"][name] - truth[name] / total for name in names]
    even = [1 / len(names) - truth[name] / total for name in names]
    mse = lambda errors: math.log10(sum(error * error for error in errors) / len(errors))
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return mse(error), mse(even), max(map(abs, error)), answer["rows"], cpu


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--braid", required=True, type=pathlib.Path)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "braid-infer")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--split", choices=["blocks", "pages"], default="blocks")
    parser.add_argument("--bound", type=float, help="fail when a case of 3000 merges has a mean log10 MSE above this")
    args = parser.parse_args()
    args.braid = args.braid.resolve()
    args.work.mkdir(parents=True, exist_ok=True)
    texts = {name: pages(args.work, packages, "*.gz") for name, packages in MANUALS.items()}
    texts |= {name: pages(args.work, [package], pattern) for name, (package, pattern) in OTHERS.items()}
    print("| categories | merges | log10 MSE, by seed | even shares | largest error | rows | CPU s |")
    print("|---|---|---|---|---|---|---|", flush=True)
    worst = -math.inf
    for label, names, merges in CASES:
        trials = [trial(args, texts, names, merges, seed) for seed in range(args.seeds)]
        mses, evens, errors, rows, cpu = zip(*trials)
        mean = lambda values: sum(values) / len(values)
        shown = ", ".join(f"{value:.2f}" for value in mses)
        print(
            f"| {label} | {merges} | {shown} | {mean(evens):.2f} | {100 * max(errors):.2f} % "
            f"| {mean(rows):.0f} | {mean(cpu):.1f} |",
            flush=True,
        )
        if merges >= 3000:
            worst = max(worst, mean(mses))
    if args.bound is not None and worst > args.bound:
        raise SystemExit(f"log10 MSE {worst:.2f} is above {args.bound}")


if __name__ == "__main__":
    main()
