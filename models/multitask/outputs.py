"""Runs a multi-task network on batches: the trunk once, and only the heads that are wanted."""

# pyright: reportMissingTypeStubs=false

import copy
import threading
from collections.abc import Mapping, Sequence, Set
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.detection.candidates import Candidates
from models.detection.selection import select
from models.entries import Kind, LetterboxPreprocessing
from models.execution.executor import executor_for
from models.execution.external import NetworkExecutor
from models.execution.finite import require_finite
from models.multitask.network import COUNTED, MultitaskRcnn, best_scores, summary
from models.parameters import DetectionParameters
from models.runtime import Runtime
from models.segmentation.mask_rcnn_regions import OVERLAP, SCORE_FLOOR, MaskRcnnRegions

PARTS: Final[tuple[Kind, ...]] = ("classification", "detection", "instance", "semantic")
"""The kinds of predictions of this network."""
_OF_REGIONS: Final = frozenset({"classification", "detection", "instance"})
"""Parts that need the pyramid, the RPN and the box head."""


class _Outputs(nn.Module):
    """From images to the outputs of some heads, in the order pyramid and RPN, semantic, summary of the pyramid."""

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
        levels = list(self.network.levels(tapped).values()) if self.regions else []
        found: list[Tensor] = []
        if self.regions:
            objectness, deltas = self.rpn_head(levels)
            found += [*levels, *objectness, *deltas]
        if self.semantic:
            found.append(self.network.semantic(tapped))
        if self.counting:
            found.append(summary(levels))
        return found if len(found) > 1 else found[0]


class SemanticExecutor(NetworkExecutor):
    """The executor of the trunk and the semantic head, which is made when it is first needed.

    Args:
        network: The network.
    """

    def __init__(self, network: "MultitaskNetwork") -> None:
        self._network = network

    def run_all(self, pixels: NDArray[np.uint8]) -> tuple[Tensor, ...]:
        """See `models.execution.external.NetworkExecutor.run_all`."""
        return self._network.executor({"semantic"}).run_all(pixels)


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
        self._counting = copy.deepcopy(network.counting).to(runtime.device)
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
        summaries = outputs.pop() if "classification" in wanted else None
        if "semantic" in wanted:
            for image, logits in zip(found, outputs.pop(), strict=True):
                image["semantic"] = logits
        if not _OF_REGIONS.isdisjoint(wanted):
            size = (pixels.shape[1], pixels.shape[2])
            for image, decoded in zip(found, self.regions.boxes.decoded(outputs, len(pixels), size), strict=True):
                image["detection"] = decoded[0]
                if "instance" in wanted:
                    image["instance"] = self.regions.masks_of(*decoded, size)
        if summaries is not None:
            probabilities = self._counted(summaries, [image["detection"] for image in found])
            for image, row in zip(found, probabilities, strict=True):
                image["classification"] = row
        return list(found)

    def _counted(self, summaries: Tensor, candidates: Sequence[Candidates]) -> NDArray[np.float32]:
        """(N, class_count) float32 probabilities."""
        kept = DetectionParameters(SCORE_FLOOR, OVERLAP, COUNTED)
        scores = torch.stack([best_scores(select(own, kept).scores) for own in candidates])
        logits = self._counting(summaries, scores.to(summaries.device))
        require_finite(logits)
        return logits.softmax(1).cpu().numpy()
