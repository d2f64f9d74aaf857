#!/usr/bin/env python3
"""What it costs to count the pairs of a text before each of many merges.

    infer_counting.py --count target/release/examples/count_pairs [--work DIR] [--merges 30000] [--megabytes 60] [--bound 3]

The text is Go's own source from the Debian package golang-1.19-src; a tokenizer of so many merges is trained on it with the
package `tokenizers`. What is printed is processor time of the whole program, reading and cutting into words included, on one
thread. Fails above the bound, in seconds.
"""

import argparse
import pathlib
import resource
import subprocess
import tempfile

from infer import pages, take, train

PACKAGE, PATTERN = "golang-1.19-src", "*.go"


def cpu(command):
    """Seconds of processor time that a command takes, and what it says."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, said


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", required=True, type=pathlib.Path)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "braid-infer")
    parser.add_argument("--merges", type=int, default=30_000)
    parser.add_argument("--megabytes", type=int, default=60)
    parser.add_argument("--bound", type=float, help="fail when the fastest of three runs takes more seconds")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    texts, size = take(pages(args.work, [PACKAGE], PATTERN), args.megabytes * 1_000_000)
    text = args.work / f"go-{size}.txt"
    text.write_text("".join(texts), encoding="utf-8")
    tokenizer = args.work / f"go-{size}-{args.merges}.json"
    if not tokenizer.exists():
        train(tokenizer, texts, args.merges)
    runs = [cpu([args.count.resolve(), tokenizer, text]) for _ in range(3)]
    for seconds, said in runs:
        print(f"{seconds:.2f} CPU s: {said}")
    fastest = min(seconds for seconds, _ in runs)
    if args.bound is not None and fastest > args.bound:
        raise SystemExit(f"{fastest:.2f} CPU s are above {args.bound}")


if __name__ == "__main__":
    main()
