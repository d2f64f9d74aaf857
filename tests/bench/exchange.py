#!/usr/bin/env python3
"""Measures the exchange over TCP beside Gloo (torch.distributed) and beside plain sockets, between processes on the loopback.

    exchange.py --bench target/release/examples/exchange_bench [--ranks 2 4] [--turns 3] [--json FILE] [--check]

The two take turns in this one run; a figure is the median over turns of the median over rounds. Bandwidth is bytes that a rank
receives over the time of the slowest rank, each rank bringing 64 MiB; plain sockets carry as much over as many connections
and directions (see exchange_bench.rs). Both sides call one after the other for the latency of 4 KiB, and reduce f32.

Run it with an interpreter that has torch (tests/peer-requirements.txt). `--check` exits with 1 when a threshold of the
project is missed.
"""

import argparse
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import time

MIB = 1 << 20
LONG = 64 * MIB
SHORT = 4096
ROUNDS = 7
LATENCY_ROUNDS = 3000

# What the project holds itself to: the share of plain sockets' bandwidth, and microseconds for 4 KiB on 4 ranks.
SHARE = 0.70
LATENCY_US = {4: 200}


def member(rank, size, port):
    """One rank of Gloo; rank 0 prints what it measured."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=size)

    def slowest(call):
        dist.barrier()
        began = time.perf_counter()
        call()
        seconds = torch.tensor([time.perf_counter() - began], dtype=torch.float64)
        dist.all_reduce(seconds, op=dist.ReduceOp.MAX)
        return seconds.item()

    mine = torch.full((LONG,), rank + 1, dtype=torch.uint8)
    out = torch.zeros(LONG * size, dtype=torch.uint8)
    values = torch.ones(LONG // 4)
    gather = [slowest(lambda: dist.all_gather_into_tensor(out, mine)) for _ in range(ROUNDS + 1)][1:]
    assert all(bool((part == at + 1).all()) for at, part in enumerate(out.chunk(size))), "the gather is wrong"
    reduce = [slowest(lambda: dist.all_reduce(values)) for _ in range(ROUNDS + 1)][1:]

    mine, out, times = torch.ones(SHORT, dtype=torch.uint8), torch.zeros(SHORT * size, dtype=torch.uint8), []
    for _ in range(LATENCY_ROUNDS + LATENCY_ROUNDS // 10):
        began = time.perf_counter()
        dist.all_gather_into_tensor(out, mine)
        times.append((time.perf_counter() - began) * 1e6)
    times = sorted(times[LATENCY_ROUNDS // 10 :])
    if rank == 0:
        figures = {
            "all_gather_gb_s": LONG * (size - 1) / statistics.median(gather) / 1e9,
            "all_reduce_ms": statistics.median(reduce) * 1e3,
            "p50_us": times[len(times) // 2],
            "p99_us": times[len(times) * 99 // 100],
        }
        print(json.dumps(figures), flush=True)
    dist.barrier()
    dist.destroy_process_group()


def gloo(size):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--member"]
    ranks = [
        subprocess.Popen([*command, str(rank), str(size), str(port)], stdout=subprocess.PIPE, env=environment, text=True)
        for rank in range(size)
    ]
    printed = [rank.communicate()[0] for rank in ranks]
    if any(rank.returncode for rank in ranks):
        sys.exit("a rank of Gloo failed")
    return json.loads(printed[0])


def braid(bench, size):
    command = [bench, "--json", "--ranks", str(size), "--megabytes", str(LONG // MIB)]
    (figures,) = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    bandwidth, latency = figures["bandwidth"], figures["latency_us"]
    return {
        "all_gather_gb_s": bandwidth["all_gather_gb_s"],
        "plain_gb_s": bandwidth["plain_gb_s"],
        "share": bandwidth["share"],
        "all_reduce_ms": figures["all_reduce_s"] * 1e3,
        "p50_us": latency["p50"],
        "p99_us": latency["p99"],
    }


def median(turns):
    return {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=pathlib.Path)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 4], choices=[2, 3, 4])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=pathlib.Path, help="keep every turn here")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--member", type=int, nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.member:
        return member(*arguments.member)
    if not arguments.bench:
        parser.error("--bench is missing")

    turns, missed = [], []
    print("| ranks | | all_gather 64 MiB | of plain sockets | all_reduce 64 MiB | all_gather 4 KiB p50 | p99 |")
    print("|---|---|---|---|---|---|---|")
    for size in arguments.ranks:
        both = [(braid(arguments.bench.resolve(), size), gloo(size)) for _ in range(arguments.turns)]
        turns += [{"ranks": size, "braid": ours, "gloo": theirs} for ours, theirs in both]
        ours, theirs = (median(side) for side in zip(*both))
        plain = ours["plain_gb_s"]
        for name, side in (("braid", ours), ("gloo", theirs)):
            share = side.get("share", side["all_gather_gb_s"] / plain)
            print(
                f"| {size} | {name} | {side['all_gather_gb_s']:.2f} GB/s | {share:.0%} | {side['all_reduce_ms']:.0f} ms"
                f" | {side['p50_us']:.0f} µs | {side['p99_us']:.0f} µs |"
            )
        if ours["share"] < SHARE:
            missed.append(f"{size} ranks: {ours['share']:.0%} of plain sockets, less than {SHARE:.0%}")
        if ours["p50_us"] > LATENCY_US.get(size, float("inf")):
            missed.append(f"{size} ranks: {ours['p50_us']:.0f} µs for 4 KiB, more than {LATENCY_US[size]}")
    if arguments.json:
        arguments.json.write_text(json.dumps(turns, indent=1) + "\n")
    if arguments.check and missed:
        sys.exit("\n".join(missed))


if __name__ == "__main__":
    main()
