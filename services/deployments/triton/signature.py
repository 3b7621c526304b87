"""The inputs and outputs of a model at a Triton server, and the tensors that are sent to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferInput

CHANNELS = 3
_FLOATS = ("FP32", "FP16")


class ServerMismatch(Exception):
    """The model at the server is not the one that the configuration expects there."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model at the server takes and returns.

    Attributes:
        input_name: Name of its only input.
        takes_pixels: Whether that is (N, H, W, 3) uint8, as `tapetum export` writes it; else it is the normalised
            (N, 3, H, W) float32 that most exported networks take.
        output_names: In the order of the network's outputs.
        max_batch_size: The most images of a call; None where there is no limit.
    """

    input_name: str
    takes_pixels: bool
    output_names: tuple[str, ...]
    max_batch_size: int | None

    @classmethod
    def of(cls, metadata: Any, config: Any) -> Signature:
        """Reads the answers of ModelMetadata and ModelConfig.

        Raises:
            ServerMismatch: its inputs or outputs are not those of an image network.
        """
        inputs = [(tensor.name, tensor.datatype, tuple(tensor.shape)) for tensor in metadata.inputs]
        if len(inputs) != 1:
            raise ServerMismatch(f"it has {len(inputs)} inputs, not one")
        ((name, datatype, shape),) = inputs
        takes_pixels = datatype == "UINT8" and len(shape) == 4 and shape[3] in (CHANNELS, -1)
        takes_images = datatype == "FP32" and len(shape) == 4 and shape[1] in (CHANNELS, -1)
        if not (takes_pixels or takes_images):
            raise ServerMismatch(
                f"its input is {datatype} {list(shape)}, neither UINT8 (N, H, W, 3) nor FP32 (N, 3, H, W)"
            )
        for tensor in metadata.outputs:
            if tensor.datatype not in _FLOATS:
                raise ServerMismatch(f"its output {tensor.name} is {tensor.datatype}, not FP32 or FP16")
        outputs = tuple(tensor.name for tensor in metadata.outputs)
        return cls(name, takes_pixels, outputs, config.config.max_batch_size or None)

    def tensor(self, images: NDArray[Any]) -> InferInput:
        """A batch as the model's input, its bytes as raw contents."""
        tensor = InferInput(self.input_name, list(images.shape), "UINT8" if self.takes_pixels else "FP32")
        tensor.set_data_from_numpy(np.ascontiguousarray(images))
        return tensor
