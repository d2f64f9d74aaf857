"""Random tensors of a family of attention, and the example `attention_run` on them.

Needs torch and numpy. Tensors are `[tokens, heads, width]`, as the kernels take them.
"""

import os
import subprocess

import numpy
import torch

# The tensors that each family reads beside q, k and v.
BESIDE = {
    "linear": [],
    "linear-normalised": [],
    "lightning": ["slopes"],
    "scalar": ["g"],
    "gla": ["g_vector"],
    "liger": [],
    "deltanet": ["beta"],
    "gdn": ["beta", "g"],
    "kda": ["beta", "g_vector"],
    "gsa": ["s_slots", "g_slots"],
    "lightnet": [],
    "softmax": [],
    "window": [],
}
# As the example has them.
SLOTS, WINDOW = 16, 50


def draw(family, tokens, heads, key, value, seed=0):
    """Named tensors of a family, in the order in which it reads them. Gates are log σ(x) / 16, as layers begin with."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    positive = family == "linear-normalised"
    tensors = {"q": normal(tokens, heads, key), "k": normal(tokens, heads, key), "v": normal(tokens, heads, value)}
    if positive:
        tensors |= {name: tensors[name].abs() + 0.1 for name in "qk"}
    for name in BESIDE[family]:
        if name == "beta":
            tensors[name] = torch.sigmoid(normal(tokens, heads))
        elif name == "g":
            tensors[name] = torch.nn.functional.logsigmoid(normal(tokens, heads)) / 16
        elif name == "g_vector":
            tensors["g"] = torch.nn.functional.logsigmoid(normal(tokens, heads, key)) / 16
        elif name == "s_slots":
            tensors["s"] = 0.3 * normal(tokens, heads, SLOTS)
        elif name == "g_slots":
            tensors["g"] = torch.nn.functional.logsigmoid(normal(tokens, heads, SLOTS)) / 16
        else:
            tensors[name] = 2.0 ** (-8 * torch.arange(1, heads + 1) / heads)
    return tensors


def _run(program, family, tensors, options=(), threads=None):
    tokens, heads, key = tensors["q"].shape
    command = [program, family, *map(str, (tokens, heads, key, tensors["v"].shape[-1])), *map(str, options)]
    given = b"".join(tensor.contiguous().numpy().astype("<f4").tobytes() for tensor in tensors.values())
    environment = os.environ | ({"RAYON_NUM_THREADS": str(threads)} if threads else {})
    return subprocess.run(command, input=given, stdout=subprocess.PIPE, check=True, env=environment).stdout


def forward(program, family, tensors):
    """Outputs, and the states after the last token, a row for each head."""
    tokens, heads, _ = tensors["q"].shape
    value = tensors["v"].shape[-1]
    numbers = torch.from_numpy(numpy.frombuffer(_run(program, family, tensors), dtype="<f4").copy())
    out, state = numbers.split([tokens * heads * value, numbers.numel() - tokens * heads * value])
    return out.view(tokens, heads, value), state.view(heads, -1) if state.numel() else None


def seconds(program, family, tensors, rounds, threads):
    """Median seconds of forward and of backward."""
    return tuple(map(float, _run(program, family, tensors, ("--time", rounds), threads).split()))
