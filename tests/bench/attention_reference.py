#!/usr/bin/env python3
"""Holds the forward passes of attention against the naive references of flash-linear-attention (PyPI fla-core), on the CPU.

    attention_reference.py --run target/release/examples/attention_run

The references are loaded file by file: the package itself wants Triton. Run it with an interpreter that has torch, numpy,
einops and fla-core. Exits with 1 when outputs or final states differ by more than 1e-5 of the largest.
"""

import argparse
import importlib.util
import pathlib
import sys

import attention_run
import torch
from torch.nn.functional import logsigmoid

TOLERANCE = 1e-5
# Tokens, heads, key and value channels: one token, a chunk and a bit, several chunks.
SHAPES = [(1, 2, 8, 4), (77, 3, 16, 24), (300, 2, 64, 32)]


def reference(operation):
    """The module `naive` of an operation of flash-linear-attention."""
    package = importlib.util.find_spec("fla")
    if package is None:
        sys.exit("attention_reference: fla-core is missing: pip install --no-deps fla-core")
    path = pathlib.Path(package.submodule_search_locations[0]) / "ops" / operation / "naive.py"
    spec = importlib.util.spec_from_file_location(f"fla_{operation}_naive", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def unit(x):
    """Of length 1, as its kernels normalise."""
    return x * torch.rsqrt((x * x).sum(-1, keepdim=True) + 1e-6)


def batch(tensors):
    return {name: tensor[None] for name, tensor in tensors.items() if tensor.dim() > 1}


def linear(tensors, normalize=False):
    t = batch(tensors)
    out, state = reference("linear_attn").naive_recurrent_linear_attn(**t, output_final_state=True, normalize=normalize)
    return out, torch.cat([state[0], state[1].transpose(1, 2).transpose(2, 3)], -1) if normalize else state


def simple(tensors, scale=None):
    return reference("simple_gla").naive_recurrent_simple_gla(**batch(tensors), scale=scale)


def gla(tensors, scale=None):
    q, k, v, g = (tensors[name][None] for name in "qkvg")
    # It divides by the root of the key channels, whatever the caller wants.
    q = q * (1 if scale is None else scale * q.shape[-1] ** 0.5)
    return reference("gla").naive_recurrent_gla(q, k, v, g, output_final_state=True)


def lightning(tensors):
    tokens, heads, _ = tensors["q"].shape
    t = {name: tensors[name] for name in "qkv"}
    return simple({**t, "g": -tensors["slopes"].expand(tokens, heads)}, scale=1.0)


def liger(tensors):
    q, k, v = (tensors[name] for name in "qkv")
    return gla({"q": q.softmax(-1), "k": k.softmax(-1), "v": v, "g": logsigmoid(k) / 16}, scale=1.0)


def deltanet(tensors):
    q, k, v, beta = (tensors[name][None].transpose(1, 2) for name in ("q", "k", "v", "beta"))
    out, state = reference("delta_rule").delta_rule_recurrence(unit(q), unit(k), v, beta)
    return out.transpose(1, 2), state


def gdn(tensors):
    t = batch(tensors) | {name: unit(tensors[name])[None] for name in "qk"}
    return reference("gated_delta_rule").naive_recurrent_gated_delta_rule(**t, output_final_state=True)


def kda(tensors):
    t = batch(tensors) | {name: unit(tensors[name])[None] for name in "qk"}
    return reference("kda").naive_recurrent_kda(**t, output_final_state=True)


def gsa(tensors):
    out, (keys, values) = reference("gsa").naive_recurrent_gsa(**batch(tensors), output_final_state=True)
    # Its memories are key × slots and slots × value; here slots have both side by side.
    return out, torch.cat([keys.transpose(2, 3), values], -1)


def lightnet(tensors):
    """As the package computes it: gated linear attention whose gates are steps of a running log-sum of keys."""
    q, k, v = (tensors[name].double() for name in "qkv")
    z = k.logcumsumexp(0)
    g = torch.cat([z[:1] * 0, z[:-1] - z[1:]])
    out, state = gla({"q": q, "k": (k - z).exp(), "v": v, "g": g}, scale=1.0)
    # A head's state is the log-sums and then the matrix.
    return out, torch.cat([z[-1].flatten(1), state[0].flatten(1)], -1)[None]


def softmax(tensors, window=None):
    return reference("attn").naive_parallel_attn(**batch(tensors), window_size=window)[0], None


REFERENCES = {
    "linear": linear,
    "linear-normalised": lambda tensors: linear(tensors, normalize=True),
    "lightning": lightning,
    "scalar": simple,
    "gla": gla,
    "liger": liger,
    "deltanet": deltanet,
    "gdn": gdn,
    "kda": kda,
    "gsa": gsa,
    "lightnet": lightnet,
    "softmax": softmax,
    "window": lambda tensors: softmax(tensors, window=attention_run.WINDOW),
}


def apart(actual, expected):
    return ((actual - expected).abs().max() / expected.abs().max()).item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--run", type=pathlib.Path, required=True, help="the example attention_run")
    program = parser.parse_args().run
    print("The largest difference, of the largest element:\n")
    print("| family | tokens | heads × key × value | outputs | states |\n|---|---:|---|---:|---:|")
    failed = False
    for family, expected in REFERENCES.items():
        for seed, shape in enumerate(SHAPES):
            tensors = attention_run.draw(family, *shape, seed=seed)
            out, state = attention_run.forward(program, family, tensors)
            their_out, their_state = expected(tensors)
            gaps = [apart(out, their_out[0])]
            gaps += [] if their_state is None else [apart(state, their_state[0].flatten(1))]
            failed |= not max(gaps) <= TOLERANCE
            cells = (gaps + [None])[:2]
            tokens, heads, key, value = shape
            cells = " | ".join("none" if gap is None else f"{gap:.1e}" for gap in cells)
            print(f"| {family} | {tokens} | {heads} × {key} × {value} | {cells} |")
    sys.exit(f"more than {TOLERANCE:.0e} apart" if failed else 0)


if __name__ == "__main__":
    main()
