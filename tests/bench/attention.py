#!/usr/bin/env python3
"""Measures the attention kernels beside PyTorch on the CPU: the same formula in chunks, the same threads, the same inputs, one run.

    attention.py --run target/release/examples/attention_run [--threads 1 2] [--tokens 4096] [--rounds 7] [--check]

PyTorch's side is written as well as its operations allow: all that needs no state is one batched product over all chunks, and
only the states go chunk by chunk. Its backward is autograd's, and its time is that of forward and backward together less that
of forward. The two take turns, times are medians of the wall clock, and the outputs are compared first. Run it with an
interpreter that has torch and numpy. `--check` exits with 1 when forward is less than twice as fast.
"""

import argparse
import pathlib
import statistics
import sys
import time

import attention_run
import torch

CHUNK = 64
WANTED = 2.0


def chunks(x):
    """`[tokens, heads, …]` as `[heads, chunks, CHUNK, …]`."""
    return x.transpose(0, 1).reshape(x.shape[1], -1, CHUNK, *x.shape[2:])


def rows(x):
    """Back again."""
    heads, count, chunk, width = x.shape
    return x.reshape(heads, count * chunk, width).transpose(0, 1)


def states(total, added):
    """The state before each chunk: `S ← total ⊙ S + added`."""
    state, before = torch.zeros_like(added[:, 0]), []
    for at in range(added.shape[1]):
        before.append(state)
        state = total[:, at] * state + added[:, at]
    return torch.stack(before, 1)


def linear(t):
    q, k, v = (chunks(t[name]) for name in "qkv")
    q = q * q.shape[-1] ** -0.5
    written = k.mT @ v
    before = written.cumsum(1) - written
    return rows((q @ k.mT).tril() @ v + q @ before)


def scalar(t):
    q, k, v, g = (chunks(t[name]) for name in "qkvg")
    q, sums = q * q.shape[-1] ** -0.5, g.cumsum(-1)
    pairs = (sums[..., :, None] - sums[..., None, :]).tril().exp()
    end = sums[..., -1:]
    before = states(end[..., None].exp(), (k * (end - sums).exp()[..., None]).mT @ v)
    return rows(((q @ k.mT) * pairs).tril() @ v + (q * sums.exp()[..., None]) @ before)


def gla(t):
    q, k, v, g = (chunks(t[name]) for name in "qkvg")
    sums = g.cumsum(-2)
    end = sums[..., -1:, :]
    q = q * q.shape[-1] ** -0.5 * sums.exp()
    before = states(end.exp().mT, (k * (end - sums).exp()).mT @ v)
    return rows((q @ (k * (-sums).exp()).mT).tril() @ v + q @ before)


def unit(x):
    return x * torch.rsqrt((x * x).sum(-1, keepdim=True) + 1e-6)


def delta(t):
    q, k, v = (chunks(t[name]) for name in "qkv")
    beta = chunks(t["beta"])[..., None]
    q, k = unit(q) * q.shape[-1] ** -0.5, unit(k)
    if "g" in t:
        g = chunks(t["g"])
        sums = (g if g.dim() == 4 else g[..., None]).cumsum(-2)
    else:
        sums = torch.zeros_like(beta)
    end = sums[..., -1:, :]
    if sums.shape[-1] == 1:
        pairs = (sums - sums.mT).tril().exp()
        lower, scores = (beta * k @ k.mT * pairs).tril(-1), (q @ k.mT * pairs).tril()
    else:
        back = k * (-sums).exp()
        lower, scores = (beta * k * sums.exp() @ back.mT).tril(-1), ((q * sums.exp()) @ back.mT).tril()
    # The diagonal is not read: it is taken to be one.
    wanted = torch.cat([beta * k * sums.exp(), beta * v], -1)
    w, u = torch.linalg.solve_triangular(lower, wanted, upper=False, unitriangular=True).split([k.shape[-1], v.shape[-1]], -1)
    q, leave, total = q * sums.exp(), k * (end - sums).exp(), end.exp().mT
    state, out = torch.zeros_like(k[:, 0].mT @ v[:, 0]), []
    for at in range(q.shape[1]):
        written = u[:, at] - w[:, at] @ state
        out.append(q[:, at] @ state + scores[:, at] @ written)
        state = total[:, at] * state + leave[:, at].mT @ written
    return rows(torch.stack(out, 1))


FAMILIES = {"linear": linear, "scalar": scalar, "gla": gla, "deltanet": delta, "gdn": delta, "kda": delta}


def clock(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def torch_seconds(formula, tensors, rounds):
    """Median seconds of forward alone and of forward and backward."""
    trained = {name: tensor.clone().requires_grad_() for name, tensor in tensors.items()}

    @torch.no_grad()
    def forward():
        formula(tensors)

    def both():
        torch.autograd.backward(formula(trained).sum())

    forward(), both()
    return tuple(statistics.median(clock(work) for _ in range(rounds)) for work in (forward, both))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--run", type=pathlib.Path, required=True, help="the example attention_run")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--tokens", type=int, default=4096, help="a multiple of 64")
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--width", type=int, default=128, help="key and value channels of a head")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    print(f"{options.tokens} tokens, {options.heads} heads of {options.width} channels, f32, PyTorch {torch.__version__}.\n")
    print("| family | threads | forward ms | PyTorch | times | backward ms | PyTorch | times |\n|---|---:|---:|---:|---:|---:|---:|---:|")
    slow = []
    for family, formula in FAMILIES.items():
        tensors = attention_run.draw(family, options.tokens, options.heads, options.width, options.width)
        out, _ = attention_run.forward(options.run, family, tensors)
        gap = ((out - formula(tensors)).abs().max() / out.abs().max()).item()
        if not gap < 1e-4:
            sys.exit(f"{family}: the outputs are {gap:.1e} apart")
        for threads in options.threads:
            torch.set_num_threads(threads)
            turns = [
                (
                    *attention_run.seconds(options.run, family, tensors, options.rounds, threads),
                    *torch_seconds(formula, tensors, options.rounds),
                )
                for _ in range(2)
            ]
            forward, backward, their_forward, their_both = (1e3 * min(column) for column in zip(*turns))
            their_backward = their_both - their_forward
            times = their_forward / forward
            slow += [f"{family} on {threads}: {times:.2f}"] if times < WANTED else []
            print(
                f"| {family} | {threads} | {forward:.1f} | {their_forward:.1f} | {times:.2f} "
                f"| {backward:.1f} | {their_backward:.1f} | {their_backward / backward:.2f} |",
                flush=True,
            )
    if slow and options.check:
        sys.exit(f"less than {WANTED} times as fast: {'; '.join(slow)}")


if __name__ == "__main__":
    main()
