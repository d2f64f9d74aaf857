#!/usr/bin/env python3
"""Merges every recipe in examples/ by braid and by mergekit and compares the held-out losses of the two results.

Where nothing is random the losses must agree to three decimals on each text: mergekit adds task vectors in bf16 and braid
in f32, which alone moves a loss by up to 3e-4. The dare and della methods draw masks, and the two programs draw different ones:
there both merge with several seeds, and the two means may lie apart by what single seeds of mergekit do (three standard
deviations over its seeds, or 5e-4 where that is less). Exits with 1 when a recipe does not agree.

Run it from the interpreter of a venv that holds mergekit, torch and transformers; `./x eval` makes one.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import heldout_loss
import transformers

ROOT = heldout_loss.ROOT
TOLERANCE = 5e-4


def run(command):
    """Runs a merge in the repository's root, as a user does."""
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stderr.strip()}")


def is_random(recipe):
    return any(f"merge_method: {family}" in recipe.read_text() for family in ("dare", "della"))


def losses_of(command, folder, seeds):
    """The losses of what `command` merges, with each of so many seeds. It is told where the output goes as OUT."""
    result = []
    for seed in range(1, seeds + 1):
        out = folder / f"seed-{seed}"
        run([out if part == "OUT" else part for part in [*command, "--quiet", "--random-seed", seed]])
        result.append(heldout_loss.losses(out))
    return result


def compare(recipe, braid, mergekit, folder, seeds):
    """One row a text: what each reached, how far apart they may be, and whether they are not."""
    seeds, path = seeds if is_random(recipe) else 1, recipe.relative_to(ROOT)
    ours = losses_of([braid, "merge", path, "OUT"], folder / "braid" / recipe.stem, seeds)
    theirs = [mergekit, path, "OUT"]
    if "\n---\n" in recipe.read_text():  # several recipes that use each other
        theirs = [mergekit.replace("-yaml", "-multi"), path, "--intermediate-dir", folder / "stages" / recipe.stem, "--out-path", "OUT"]
    theirs = losses_of(theirs, folder / "mergekit" / recipe.stem, seeds)
    for domain in heldout_loss.DOMAINS:
        samples = [row[domain] for row in theirs]
        spread = statistics.stdev(samples) if len(samples) > 1 else 0.0
        allowed = max(TOLERANCE, 3 * spread)
        mean, own = statistics.fmean(samples), statistics.fmean(row[domain] for row in ours)
        yield {
            "recipe": recipe.stem,
            "text": domain,
            "braid": own,
            "mergekit": mean,
            "seeds": len(samples),
            "allowed": allowed,
            "agree": abs(own - mean) <= allowed,
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", type=pathlib.Path, help="default: examples/*.yml")
    parser.add_argument("--braid", default=ROOT / "target" / "release" / "braid")
    parser.add_argument("--mergekit", default=pathlib.Path(sys.executable).with_name("mergekit-yaml"))
    parser.add_argument("--seeds", type=int, default=4, help="runs of each program for a random method, at least 2")
    parser.add_argument("--json", type=pathlib.Path, help="write the rows there too")
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error("--seeds: a spread needs at least 2")
    os.environ["HF_HUB_OFFLINE"] = "1"
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()

    recipes = [path.resolve() for path in arguments.recipes] or sorted(
        path for path in (ROOT / "examples").glob("*.yml") if "merge_method" in path.read_text()
    )
    base = heldout_loss.losses(heldout_loss.EXPERTS / "base")
    rows = []
    print("| recipe | text | base | mergekit | braid | apart | allowed | |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="braid-eval-") as folder:
        for path in recipes:
            for row in compare(path, os.path.abspath(arguments.braid), os.path.abspath(arguments.mergekit), pathlib.Path(folder), arguments.seeds):
                rows.append(row)
                recipe = f"{row['recipe']}, {row['seeds']} seeds" if row["seeds"] > 1 else row["recipe"]
                print(
                    f"| {recipe} | {row['text']} | {base[row['text']]:.4f} | {row['mergekit']:.4f} | {row['braid']:.4f}"
                    f" | {abs(row['braid'] - row['mergekit']):.4f} | {row['allowed']:.4f} | {'agree' if row['agree'] else 'DIFFER'} |",
                    flush=True,
                )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    sys.exit(0 if all(row["agree"] for row in rows) else 1)


if __name__ == "__main__":
    main()
