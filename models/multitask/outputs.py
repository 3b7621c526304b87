"""Runs a multi-task network on batches: the trunk once, and only the heads that are wanted."""

# pyright: reportMissingTypeStubs=false

import threading
from collections.abc import Mapping, Set
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.entries import Kind, LetterboxPreprocessing
from models.execution.executor import executor_for
from models.execution.external import NetworkExecutor
from models.multitask.network import MultitaskRcnn
from models.runtime import Runtime
from models.segmentation.mask_rcnn_regions import MaskRcnnRegions

PARTS: Final[tuple[Kind, ...]] = ("classification", "detection", "instance", "semantic")
"""The kinds of predictions of this network."""
_OF_REGIONS: Final = frozenset({"detection", "instance"})
"""Parts that need the pyramid and the RPN."""


class _Outputs(nn.Module):
    """From images to the outputs of some heads, in the order RPN, semantic, classification."""

    def __init__(self, network: MultitaskRcnn, wanted: Set[Kind]) -> None:
        super().__init__()
        self.network = network
        self.rpn_head: Any = cast(Any, network.rpn).head
        self.regions = not _OF_REGIONS.isdisjoint(wanted)
        self.semantic, self.counting = "semantic" in wanted, "classification" in wanted

    def extra_repr(self) -> str:
        """Names the heads: compiled networks are cached by the representation and the weights of a module."""
        return f"regions={self.regions}, semantic={self.semantic}, counting={self.counting}"

    def forward(self, images: Tensor) -> list[Tensor] | Tensor:
        tapped = self.network.tapped(images)
        levels = list(self.network.levels(tapped).values()) if self.regions or self.counting else []
        found: list[Tensor] = []
        if self.regions:
            objectness, deltas = self.rpn_head(levels)
            found += [*levels, *objectness, *deltas]
        if self.semantic:
            found.append(self.network.semantic(tapped))
        if self.counting:
            found.append(self.network.counting(levels))
        return found if len(found) > 1 else found[0]


class PartExecutor(NetworkExecutor):
    """The executor of one head with a single output, which is made when it is first needed.

    Args:
        network: The network.
        kind: `semantic` or `classification`.
    """

    def __init__(self, network: "MultitaskNetwork", kind: Kind) -> None:
        self._network = network
        self._kind = kind

    def run_all(self, pixels: NDArray[np.uint8]) -> tuple[Tensor, ...]:
        """See `models.execution.external.NetworkExecutor.run_all`."""
        return self._network.executor({self._kind}).run_all(pixels)


class MultitaskNetwork:
    """A multi-task network on its device. Several threads may run it at once.

    Args:
        network: A float32 network in evaluation mode; it is not changed.
        preprocessing: Of the model.
        runtime: A resolved runtime.

    Attributes:
        regions: The same network without its semantic and classification heads.
    """

    def __init__(self, network: MultitaskRcnn, preprocessing: LetterboxPreprocessing, runtime: Runtime) -> None:
        self.regions = MaskRcnnRegions(network, preprocessing, runtime, first_label=1)
        self._network = network
        self._preprocessing = preprocessing
        self._runtime = runtime
        self._executors: dict[tuple[bool, bool, bool], NetworkExecutor] = {}
        self._lock = threading.Lock()

    def executor(self, wanted: Set[Kind]) -> NetworkExecutor:
        """The executor of the trunk and of the heads that some parts need, made when it is first needed."""
        outputs = _Outputs(self._network, wanted)
        key = outputs.regions, outputs.semantic, outputs.counting
        with self._lock:
            if key not in self._executors:
                self._executors[key] = executor_for(outputs.eval(), self._preprocessing, self._runtime)
            return self._executors[key]

    @torch.inference_mode()
    def run(self, pixels: NDArray[np.uint8], wanted: Set[Kind]) -> list[Mapping[Kind, Any]]:
        """Runs the trunk once, and the heads that some parts need.

        Args:
            pixels: (N, H, W, 3) uint8 RGB, N at least 1, resized and padded as `models.imaging.letterbox` does.
            wanted: The parts.

        Returns:
            For each of the N images the raw output of each part, as `forward` of that part's adapter returns it.
        """
        outputs = list(self.executor(wanted).run_all(pixels))
        found: list[dict[Kind, Any]] = [{} for _ in pixels]
        if "classification" in wanted:
            for image, row in zip(found, outputs.pop().softmax(1).cpu().numpy(), strict=True):
                image["classification"] = row
        if "semantic" in wanted:
            for image, logits in zip(found, outputs.pop(), strict=True):
                image["semantic"] = logits
        if not _OF_REGIONS.isdisjoint(wanted):
            size = (pixels.shape[1], pixels.shape[2])
            for image, decoded in zip(found, self.regions.boxes.decoded(outputs, len(pixels), size), strict=True):
                image["detection"] = decoded[0]
                if "instance" in wanted:
                    image["instance"] = self.regions.masks_of(*decoded, size)
        return list(found)
