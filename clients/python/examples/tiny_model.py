"""A byte-level language model with linear attention, whose sequences may be spread over the ranks of a group.

Causal linear attention needs of earlier ranks one state a sequence, S = Σ φ(k)ᵀ [v, 1]: each layer gathers them once
(LASP-2, arXiv 2502.07563), adds up those of the ranks before, and computes the rest by itself. No rank needs as many
tokens as another.
"""

from __future__ import annotations

from typing import List, Optional

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

BYTES, WIDTH, LAYERS = 256, 32, 2


class AllGather(torch.autograd.Function):
    """Every rank's tensor, stacked; backward, each rank gets the sum of all gradients of its own."""

    @staticmethod
    def forward(ctx, tensor: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size(group))]
        dist.all_gather(parts, tensor.contiguous(), group=group)
        return torch.stack(parts)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        gradient = gradient.contiguous()
        dist.all_reduce(gradient, group=ctx.group)
        return gradient[dist.get_rank(ctx.group)], None


def states_before(states: Tensor, group: Optional[dist.ProcessGroup]) -> Tensor:
    """The sum of the states of all earlier ranks; without a group there are none."""
    if group is None:
        return torch.zeros_like(states)
    return AllGather.apply(states, group)[: dist.get_rank(group)].sum(0)


class LinearAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, shards: List[Tensor], group: Optional[dist.ProcessGroup]) -> List[Tensor]:
        q, k, v = zip(*(self.qkv(self.norm(x)).chunk(3, dim=-1) for x in shards))
        q, k = [F.elu(x) + 1 for x in q], [F.elu(x) + 1 for x in k]
        v = [F.pad(x, (0, 1), value=1.0) for x in v]  # the last column sums the weights
        before = states_before(torch.stack([k.T @ v for k, v in zip(k, v)]), group)
        results = []
        for x, q, k, v, state in zip(shards, q, k, v, before):
            weighted = q @ state + torch.tril(q @ k.T) @ v
            results.append(x + self.out(weighted[:, :-1] / weighted[:, -1:]))
        return results


def mlp() -> nn.Module:
    return nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))


class TinyModel(nn.Module):
    """The same weights on every rank that makes it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(BYTES, WIDTH)
        self.attention = nn.ModuleList(LinearAttention() for _ in range(LAYERS))
        self.mlp = nn.ModuleList(mlp() for _ in range(LAYERS))
        self.head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, BYTES))

    def loss(self, sequences: List[Tensor], group: Optional[dist.ProcessGroup] = None) -> Tensor:
        """Nats over the tokens that this rank of the group has of each sequence, summed; without a group over all."""
        rank, ranks = (dist.get_rank(group), dist.get_world_size(group)) if group is not None else (0, 1)
        targets, shards = [], []
        for tokens in sequences:
            n = len(tokens) - 1
            start, end = n * rank // ranks, n * (rank + 1) // ranks
            shards.append(self.embed(tokens[start:end]))
            targets.append(tokens[start + 1 : end + 1])
        for attention, mlp in zip(self.attention, self.mlp):
            shards = [x + mlp(x) for x in attention(shards, group)]
        return F.cross_entropy(self.head(torch.cat(shards)), torch.cat(targets), reduction="sum")
