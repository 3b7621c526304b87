"""The state of torch's random number generators, saved in checkpoints: dropout draws from them."""

from collections.abc import Mapping

import torch
from torch import Tensor


def generator_state(device: torch.device) -> dict[str, Tensor]:
    """Gives the state of the processor's generator and, where the device is a GPU, of the GPU's."""
    state = {"cpu": torch.get_rng_state()}
    return {**state, "cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else state


def restore_generators(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Takes the generators back to where they were.

    Args:
        state: From `generator_state`; what is not in it stays as it is.
        device: Of the network.
    """
    if "cpu" in state:
        torch.set_rng_state(state["cpu"])
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
