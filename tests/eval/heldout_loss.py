#!/usr/bin/env python3
"""Held-out loss of checkpoints: nats per token on the texts in tests/data/eval.

    heldout_loss.py [CHECKPOINT ...]      prints a table, one row a checkpoint
    heldout_loss.py --check               the base and its experts, against tests/data/eval/losses.json

The measure is that of losses.json: of each text the first 64 windows of 128 tokens, the models' training length, each
window on its own, computed in f32 on the CPU. Needs torch and transformers.
"""

import argparse
import json
import os
import pathlib
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXTS = ROOT / "tests" / "data" / "eval"
EXPERTS = ROOT / "examples" / "experts"
DOMAINS = ("python", "german", "manual")
WINDOW, WINDOWS = 128, 64


def windows(tokenizer, domain):
    """The first windows of a text, one a row."""
    text = (TEXTS / f"{domain}.txt").read_text(encoding="utf-8")
    tokens = tokenizer(text, add_special_tokens=False).input_ids[: WINDOW * WINDOWS]
    return torch.tensor(tokens).reshape(WINDOWS, WINDOW)


def losses(checkpoint):
    """Nats per token by domain."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    result = {}
    with torch.no_grad():
        for domain in DOMAINS:
            tokens = windows(tokenizer, domain)
            logits = model(tokens).logits[:, :-1]
            targets = tokens[:, 1:]
            result[domain] = torch.nn.functional.cross_entropy(logits.flatten(0, 1).double(), targets.flatten()).item()
    return result


def check(tolerance=1e-3):
    """Whether the base and its experts have the losses that they were published with."""
    wrong = False
    for model, expected in json.loads((TEXTS / "losses.json").read_text()).items():
        measured = losses(EXPERTS / model)
        for domain in DOMAINS:
            apart = abs(measured[domain] - expected[domain])
            wrong |= not apart <= tolerance
            print(f"{model:8} {domain:8} {measured[domain]:.5f} published {expected[domain]:.5f} apart {apart:.5f}")
    return not wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoints", nargs="*", type=pathlib.Path)
    parser.add_argument("--check", action="store_true", help="compare the experts with losses.json")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if arguments.check:
        sys.exit(0 if check() else 1)
    if not arguments.checkpoints:
        parser.error("name a checkpoint, or --check")
    measured = {str(path): losses(path) for path in arguments.checkpoints}
    if arguments.json:
        print(json.dumps(measured))
        return
    print("| checkpoint | " + " | ".join(DOMAINS) + " | mean |")
    print("|---|" + "---|" * (len(DOMAINS) + 1))
    for path, row in measured.items():
        cells = [f"{row[domain]:.4f}" for domain in DOMAINS] + [f"{sum(row.values()) / len(row):.4f}"]
        print(f"| {path} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
