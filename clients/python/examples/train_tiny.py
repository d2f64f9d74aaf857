#!/usr/bin/env python3
"""Trains a tiny model on four CPU processes, each step as Braid plans it.

    braid coordinator --listen 127.0.0.1:7117 --data-dir D --insecure &
    train_tiny.py --coordinator 127.0.0.1:7117 TEXT ... [--steps 12]

The sequences are the sections of the given texts, cut by heading, of very unequal length. Rank 0 asks for plans ahead of the
steps and shares them; in each micro-batch a rank works in the group that the plan gives it; gradients are summed over all
ranks and divided by the tokens of the step. At the end it is checked that the loss fell, and that the first steps have the
losses of one process that computes the same batches alone: the first shows the forward pass, the second the gradients.
"""

from __future__ import annotations

import argparse
import random
import re
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Iterator, List

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from tiny_model import TinyModel

from braid import MicroBatch, Plan, PlanClient
from braid.torch import ProcessGroups, shared_plans

HERE = Path(__file__).resolve().parent
WORLD, BATCH, LONGEST, RATE = 4, 16, 6000, 1e-2


def sections(paths: List[str]) -> List[torch.Tensor]:
    """The sections of all texts, as bytes."""
    texts = [part for path in paths for part in re.split(r"(?m)^(?=#)", Path(path).read_text(encoding="utf-8"))]
    return [torch.tensor(list(text.encode()[:LONGEST])) for text in texts if len(text) > 64]


def batches(documents: List[torch.Tensor], steps: int) -> List[List[torch.Tensor]]:
    """The same on every rank."""
    draw = random.Random(0)
    return [draw.choices(documents, k=BATCH) for _ in range(steps)]


def plans(coordinator: str, steps: List[List[torch.Tensor]]) -> Iterator[Plan]:
    lengths = [[len(tokens) - 1 for tokens in batch] for batch in steps]
    with PlanClient(coordinator, insecure=True) as client:
        yield from client.plans(lengths, HERE / "four_ranks.yml", HERE / "tiny_model.yml")


def shape(micro_batch: MicroBatch) -> str:
    """Such as `2×3 1×5 1×8`: two ranks share three sequences, …"""
    return " ".join(f"{group.degree}×{len(group.sequences)}" for group in micro_batch.groups)


def count(batch: List[torch.Tensor]) -> int:
    """Every byte but the first of a sequence is predicted."""
    return sum(len(sequence) - 1 for sequence in batch)


def losses_alone(steps: List[List[torch.Tensor]]) -> List[float]:
    """What one process computes."""
    model, losses = TinyModel(), []
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    for batch in steps:
        optimizer.zero_grad()
        loss = model.loss(batch) / count(batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def train(rank: int, store: str, options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=WORLD, timeout=timedelta(minutes=2))
    steps = batches(sections(options.texts), options.steps)
    alone = losses_alone(steps[:2]) if rank == 0 else []
    model, groups = TinyModel(), ProcessGroups()
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    losses: List[float] = []
    for batch, plan in zip(steps, shared_plans(plans(options.coordinator, steps) if rank == 0 else None)):
        tokens = count(batch)
        optimizer.zero_grad()
        total = torch.zeros(())
        for index in range(len(plan.micro_batches)):
            mine = groups.my_group(plan, index)
            if mine is None:
                continue
            loss = model.loss([batch[i] for i in mine.group.sequences], mine.process_group)
            loss.backward()
            total += loss.detach()
        for parameter in model.parameters():
            if parameter.grad is None:  # a rank that had nothing to do all step
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)
            parameter.grad /= tokens
        dist.all_reduce(total)
        optimizer.step()
        losses.append(total.item() / tokens)
        if rank == 0:
            shapes = " | ".join(map(shape, plan.micro_batches))
            print(f"step {len(losses):2}  loss {losses[-1]:.4f}  {tokens:6} tokens  {shapes}", flush=True)
    if rank == 0:
        print(f"first steps: {losses[0]:.7f} {losses[1]:.7f} on {WORLD} ranks, {alone[0]:.7f} {alone[1]:.7f} on one")
        assert abs(losses[0] - alone[0]) <= 1e-5, "the ranks compute another loss than one process"
        assert abs(losses[1] - alone[1]) <= 1e-4, "the ranks compute other gradients than one process"
        assert losses[-1] < losses[0] - 0.5, "the loss did not fall"
    dist.barrier()
    groups.close()
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coordinator", required=True, metavar="HOST:PORT")
    parser.add_argument("--steps", type=int, default=12, help="two or more (12)")
    parser.add_argument("texts", nargs="+", metavar="TEXT")
    options = parser.parse_args()
    if options.steps < 2:
        parser.error("--steps: two or more, for both checks")
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(train, args=(f"file://{folder}/store", options), nprocs=WORLD)


if __name__ == "__main__":
    main()
