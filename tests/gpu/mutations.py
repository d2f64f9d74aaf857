#!/usr/bin/env python3
"""Shows that gpu-check notices mistakes in the kernels: each line of MUTATIONS is made in a copy of kernels/cuda, which is compiled as a
driver's library on a processor, and gpu-check must fail on it.

tests/gpu/mutations.py GPU_CHECK [FILE…]: the program, and which .cu and .cuh files to go through (all).
"""

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SOURCES = pathlib.Path(__file__).resolve().parents[2] / "kernels" / "cuda"
FLAGS = ["-std=c++17", "-Wno-unknown-pragmas", "-ffp-contract=off", "-shared", "-fPIC"]
# Threads run in one of these orders: a barrier that is missing shows in some of them.
ORDERS = ["forward", "reverse", "random"]
# Of one run of gpu-check; one that takes longer does not end.
SECONDS = 300

# File, what stands there once, what is put in its place.
MUTATIONS = [
    ("element.cuh", "(0xfffu + ((size >> 13) & 1u))", "0x1000u"),
    ("element.cuh", "(0x7fffu + ((bits >> 16) & 1u))", "0x8000u"),
    ("element.cuh", "return (bits >> 16) | 0x40u", "return bits >> 16"),
    ("element.cuh", "atomicMin(bad, first + i)", "atomicMax(bad, first + i)"),
    ("philox.cuh", "round < 10", "round < 9"),
    ("philox.cuh", "* COUNTERS + place % COUNTERS, key0", "* COUNTERS + place / COUNTERS, key0"),
    ("keep.cuh", "magnitude(delta[i]) >= term.border", "magnitude(delta[i]) > term.border"),
    ("keep.cuh", "__syncthreads(); // the words of the last expert have been read", ""),
    ("keep.cuh", "words[skipped + i] < term.border || not_a_number(delta[i])", "words[skipped + i] < term.border"),
    ("linear.cu", "sum[i] /= divisor", "sum[i] *= 1.0f / divisor"),
    ("task_vectors.cu", "else if (!(part[i] >= 0.0f))", "else if (part[i] < 0.0f)"),
    ("task_vectors.cu", "total[i] >= 0.0f;", "total[i] > 0.0f;"),
    ("task_vectors.cu", "part[i] * scale * weight", "part[i] * (scale * weight)"),
    ("select.cu", "above += key[i] > bracket.high", "above += key[i] >= bracket.high"),
    ("select.cu", "inside = inside && !counted", "inside = inside"),
    ("select.cu", "u64 next = place[0] + before", "u64 next = before"),
    ("trim.cu", "rank < ties;", "rank <= ties;"),
    ("trim.cu", "counts[i] = before;", "counts[i] = before + own;"),
    ("trim.cu", "drop && not_a_number(delta[i])", "false"),
    ("ranks.cu", "others == 0 ? (low + high) / 2.0 : low", "low"),
    ("ranks.cu", "count > 0 ? count - 1 : 0", "count"),
    ("hash.cu", "at + here == length ? CHUNK_END", "at + 64 == BYTES ? CHUNK_END"),
    ("hash.cu", "v[13] = (u32)(counter >> 32)", "v[13] = 0"),
    ("hash.cu", "length - at < 64 ? length - at : 64", "64u"),
    ("hash.cu", "        count = (count + 1) / 2;\n        __syncthreads();", "        count = (count + 1) / 2;"),
    ("hash.cu", "} else if (pair < count) {", "} else if (false) {"),
    ("gated.cu", "sums[i][d] = sum;", "sums[i][d] = sum - (gates ? decode_one(gates, p.heads.kind, place) : -slopes[p.head]);"),
    ("gated.cu", "ds[d][c] = cut.fresh ? 0.0f : sum", "ds[d][c] = sum"),
    ("gated.cu", "if (cut.fresh) clear_state(p, s)", "if (false) clear_state(p, s)"),
    ("decay.cu", "        wait_for_groups();\n        __syncthreads();", "        wait_for_groups();"),
    ("decay.cu", "        wait_for_groups();\n", ""),
    ("decay.cu", "        __syncthreads();\n\n        // V^T", "\n        // V^T"),
    ("decay.cu", "            __syncthreads();\n            write_rows", "            write_rows"),
    ("decay.cu", "row - after - 1", "row - after"),
    ("decay.cu", "cut.length - 1 - token", "cut.length - token"),
    ("decay.cu", "if (cut.fresh) {", "if (false) {"),
    ("decay.cu", "row < cut.length && column < width", "row < cut.length"),
    ("delta.cu", "fmaf(-lower[i][j], x[j][c], sum)", "fmaf(lower[i][j], x[j][c], sum)"),
    ("delta.cu", "d_lower[i][t] * beta[i]", "d_lower[i][t] * beta[t]"),
    ("delta.cu", "ds[d][c] = cut.fresh ? 0.0f : sum", "ds[d][c] = sum"),
    ("softmax.cu", "log_sums[row] = top + logf(sum)", "log_sums[row] = logf(sum)"),
    ("softmax.cu", "visible ? expf(of_row[j] - top) / sum : 0.0f", "expf(of_row[j] - top) / sum"),
    ("softmax.cu", "probability * (d_probabilities[place] - mean)", "probability * d_probabilities[place]"),
]


def library(source, folder):
    """Compiles the shim of `source`, a copy of kernels/cuda, to libraries in `folder`."""
    for name, out in [("driver.cpp", "libcuda.so.1"), ("cublas.cpp", "libcublas.so.13")]:
        command = ["g++", *FLAGS, "-O1", *(["-fvisibility=hidden"] if name == "driver.cpp" else []), source / "shim" / name]
        done = subprocess.run([*command, "-o", folder / out], capture_output=True, text=True)
        if done.returncode != 0:
            return done.stderr
    return None


def failure(program, folder):
    """What fails of gpu-check with the libraries in `folder`; none if nothing does."""
    for order in ORDERS:
        environment = {**os.environ, "LD_LIBRARY_PATH": str(folder), "BRAID_FAKE_ORDER": order}
        try:
            done = subprocess.run([program], env=environment, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return f"it does not end ({order})"
        if done.returncode == 3:
            sys.exit(done.stdout + done.stderr)
        if done.returncode != 0:
            failed = re.search(r": ([^:\n]+): FAILED", done.stdout)
            return f"{failed[1] if failed else f'it ends with {done.returncode}'} ({order})"
    return None


def tried(program, mutation):
    with tempfile.TemporaryDirectory() as scratch:
        copy, folder = pathlib.Path(scratch) / "cuda", pathlib.Path(scratch) / "libraries"
        shutil.copytree(SOURCES, copy, ignore=shutil.ignore_patterns("built"))
        folder.mkdir()
        if mutation:
            file, old, new = mutation
            text = (copy / file).read_text()
            if text.count(old) != 1:
                sys.exit(f"{file}: {old!r} stands there {text.count(old)} times, not once")
            (copy / file).write_text(text.replace(old, new))
        problem = library(copy, folder)
        return f"it does not compile: {problem}" if problem else failure(program, folder)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    program, files = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2:]
    mutations = [mutation for mutation in MUTATIONS if not files or mutation[0] in files]
    whole = tried(program, None)
    if whole:
        sys.exit(f"gpu-check fails without a mutation: {whole}")
    survived = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for (file, old, new), found in zip(mutations, pool.map(lambda mutation: tried(program, mutation), mutations)):
            print(f"{file}: {old!r} → {new!r}: {found or 'NOT NOTICED'}", flush=True)
            survived += not found or found.startswith("it does not compile")
    print(f"{len(mutations) - survived} of {len(mutations)} mutations are noticed")
    sys.exit(1 if survived else 0)


if __name__ == "__main__":
    main()
