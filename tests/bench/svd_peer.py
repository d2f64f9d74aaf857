"""The two formulas that decompose matrices, in PyTorch: what `decompositions.py` compares braid with.

    svd_peer.py tsvm OUT BASE EXPERT...          task singular vectors, decorrelated (arXiv 2412.00081), weights of 1
    svd_peer.py lora OUT RANK BASE TUNED         the best factors of rank RANK of each matrix of the difference

Each tensor is read, decomposed in f32 and dropped before the next, as one would write it to stay inside memory.
Needs torch and safetensors.
"""

import pathlib
import sys

import torch
from safetensors import safe_open
from safetensors.torch import save_file

# As braid extracts, unless a recipe says otherwise.
OVERSAMPLE, ITERATIONS = 8, 4


class Checkpoint:
    """A folder of safetensors files, read tensor by tensor."""

    def __init__(self, folder):
        self.files = {}
        for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
            file = safe_open(path, "pt")
            self.files.update((name, file) for name in file.keys())

    def names(self):
        return sorted(self.files)

    def read(self, name):
        return self.files[name].get_tensor(name).to(torch.float32)


def polar(matrix):
    """The nearest matrix with orthonormal columns."""
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    return left @ right


def is_decomposed(name, tensor):
    return tensor.dim() == 2 and "embed" not in name and "lm_head" not in name


def task_singular_vectors(base, deltas):
    kept = max(1, min(base.shape) // len(deltas))
    lefts, values, rights = [], [], []
    for delta in deltas:
        left, value, right = torch.linalg.svd(delta, full_matrices=False)
        lefts.append(left[:, :kept])
        values.append(value[:kept])
        rights.append(right[:kept].T)
    left, right = polar(torch.cat(lefts, 1)), polar(torch.cat(rights, 1))
    return base + (left * torch.cat(values)) @ right.T


def tsvm(out, base, *experts):
    base, experts = Checkpoint(base), [Checkpoint(path) for path in experts]
    merged = {}
    for name in base.names():
        origin = base.read(name)
        deltas = [expert.read(name) - origin for expert in experts]
        if is_decomposed(name, origin):
            result = task_singular_vectors(origin, deltas)
        else:
            result = origin + sum(deltas) / len(deltas)
        merged[name] = result.to(torch.bfloat16).contiguous()
    save(out, merged)


def lora(out, rank, base, tuned):
    base, tuned, rank = Checkpoint(base), Checkpoint(tuned), int(rank)
    factors = {}
    for name in base.names():
        origin = base.read(name)
        if origin.dim() != 2:
            continue
        left, value, right = torch.svd_lowrank(tuned.read(name) - origin, q=rank + OVERSAMPLE, niter=ITERATIONS)
        root = value[:rank].sqrt()
        factors[name + ".lora_B"] = (left[:, :rank] * root).contiguous()
        factors[name + ".lora_A"] = (right[:, :rank] * root).T.contiguous()
    save(out, factors)


def save(out, tensors):
    pathlib.Path(out).mkdir()
    save_file(tensors, pathlib.Path(out) / "model.safetensors")


if __name__ == "__main__":
    {"tsvm": tsvm, "lora": lora}[sys.argv[1]](*sys.argv[2:])
