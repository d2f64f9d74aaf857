"""A gang of torch.distributed: checks an all_reduce, then trains a small network with DistributedDataParallel.

Nothing in here knows of Braid: the address of rank 0, the ranks and their number come in the variables that
torch.distributed reads (MASTER_ADDR, MASTER_PORT, RANK, WORLD_SIZE). Needs torch; CPUs are enough.
"""

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

STEPS = 60


def check(rank: int, world: int) -> None:
    """Everyone's number, added up, is the same everywhere."""
    number = torch.tensor([float(rank + 1)])
    dist.all_reduce(number)
    expected = world * (world + 1) / 2
    assert number.item() == expected, f"rank {rank}: the sum is {number.item()}, not {expected}"
    print(f"rank {rank} of {world}: all_reduce is right", flush=True)


def train(rank: int) -> None:
    """Fits a line with noise; each rank has data of its own, and all end with the same weights."""
    torch.manual_seed(0)
    model = DistributedDataParallel(torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    data = torch.Generator().manual_seed(1000 + rank)
    truth = torch.linspace(-1, 1, 8)
    first = last = None
    for _ in range(STEPS):
        inputs = torch.randn(64, 8, generator=data)
        wanted = (inputs @ truth).unsqueeze(1) + 0.01 * torch.randn(64, 1, generator=data)
        loss = torch.nn.functional.mse_loss(model(inputs), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        mean = loss.detach().clone()
        dist.all_reduce(mean)
        last = mean.item() / dist.get_world_size()
        first = last if first is None else first
    weights = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    everyones = [torch.empty_like(weights) for _ in range(dist.get_world_size())]
    dist.all_gather(everyones, weights)
    assert all(torch.equal(weights, others) for others in everyones), f"rank {rank}: weights differ between ranks"
    assert last < first / 4, f"rank {rank}: the loss went from {first:.4f} to {last:.4f} only"
    if rank == 0:
        print(f"trained {STEPS} steps on {dist.get_world_size()} ranks: loss {first:.4f} -> {last:.4f}", flush=True)


def main() -> None:
    dist.init_process_group("gloo")
    check(dist.get_rank(), dist.get_world_size())
    train(dist.get_rank())
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
