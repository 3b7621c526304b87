"""The share of a GPU that a replica reserves, among the processes that reserve the others."""

import torch


def limit_memory(num_gpus: float) -> None:
    """Limits this process to its share of the memory of its GPU.

    Where it needs more, torch raises `OutOfMemoryError`, and the other processes keep theirs. What the driver itself
    allocates for each process is not counted.

    Args:
        num_gpus: GPUs that the process reserves; whole ones are not limited.
    """
    if 0 < num_gpus < 1:
        torch.cuda.set_per_process_memory_fraction(num_gpus, device=0)  # Ray shows the process this one alone
