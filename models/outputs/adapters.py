"""Makes the adapter of a network from elsewhere: what runs it, and the layout of its outputs."""

# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_iou

from models.adapter import Adapter
from models.classification.classifier import Classifier
from models.detection.candidates import Candidates
from models.detection.detector import Detector
from models.entries import CatalogEntry
from models.errors import BrokenCard, ModelsError
from models.execution.external import NetworkExecutor
from models.execution.precision import examples
from models.outputs.layouts import LAYOUTS, OutputLayout, decoder_for
from models.runtime import Runtime
from models.segmentation.instances import InstanceSegmenter
from models.segmentation.mask_rcnn_regions import RegionMasks
from models.segmentation.semantic import SemanticSegmenter

_MATCHING_IOU: Final = 0.5
"""The least IoU at which a found object is taken for a given box."""


def layout_of(entry: CatalogEntry) -> OutputLayout:
    """Returns the layout of the outputs that a card names.

    Args:
        entry: The card.

    Raises:
        BrokenCard: It names none, an unknown one, or one of another kind.
    """
    layout = LAYOUTS.get(entry.outputs or "")
    if layout is None:
        known = ", ".join(LAYOUTS)
        raise BrokenCard(_card_of(entry), f"outputs must be one of {known}, not {entry.outputs!r}")
    if layout.kind != entry.kind:
        message = f"outputs {layout.name!r} is a layout for {layout.kind}, and the model is for {entry.kind}"
        raise BrokenCard(_card_of(entry), message)
    return layout


def adapter_for(
    entry: CatalogEntry, class_names: tuple[str, ...], runtime: Runtime, executor: NetworkExecutor, digest: str
) -> Adapter[Any, Any]:
    """Makes the adapter of a network, and runs a test picture.

    Args:
        entry: Its card, which names the layout of its outputs.
        class_names: One for every class id.
        runtime: Where and how it runs, resolved.
        executor: Runs the network, from (N, H, W, 3) uint8 RGB to its outputs.
        digest: sha256 in hex of the file that its weights came from.

    Returns:
        The adapter of the kind of the model.

    Raises:
        BrokenCard: The card names no layout of its kind, or one that does not fit the outputs.
    """
    network = DecodedNetwork(executor, layout_of(entry), class_names)
    _require_fit(entry, executor, network)
    if entry.kind == "classification":
        return Classifier(entry, class_names, runtime, network, digest)
    if entry.kind == "detection":
        return Detector(entry, class_names, runtime, network, digest)
    if entry.kind == "instance":
        return InstanceSegmenter(entry, class_names, runtime, network, digest)
    return SemanticSegmenter(entry, class_names, runtime, network, digest)


class DecodedNetwork(NetworkExecutor):
    """A network whose outputs are decoded by their layout: for logits an executor, else a network of objects.

    Of the kind of its layout, it is a `models.detection.candidates.CandidateNetwork` or a
    `models.segmentation.mask_rcnn_regions.RegionMaskNetwork`.

    Args:
        executor: Runs the network.
        layout: Of its outputs.
        class_names: One for every class id.
    """

    def __init__(self, executor: NetworkExecutor, layout: OutputLayout, class_names: tuple[str, ...]) -> None:
        self._executor = executor
        self._layout = layout
        self._decode = decoder_for(layout, class_names)
        self._class_count = len(class_names)

    def run_all(self, pixels: NDArray[np.uint8]) -> tuple[Tensor]:
        """Runs the network of a classifier or a semantic segmenter, see `NetworkExecutor.run_all`.

        Returns:
            The logits, see `models.outputs.layouts.Decode`.
        """
        parts: list[Tensor] = self._decoded(pixels)
        logits = parts[0] if len(parts) == 1 else torch.cat(parts)
        dimensions = 2 if self._layout.kind == "classification" else 4
        if logits.ndim != dimensions or logits.shape[:2] != (len(pixels), self._class_count):
            raise ValueError(
                f"{len(pixels)} images and {self._class_count} classes give scores of shape {tuple(logits.shape)}"
            )
        return (logits,)

    def candidates(self, pixels: NDArray[np.uint8]) -> list[Candidates]:
        """See `models.detection.candidates.CandidateNetwork.candidates`."""
        found: list[Candidates] = [each for part in self._decoded(pixels) for each in part]
        self._check(found, len(pixels))
        return found

    def region_masks(self, pixels: NDArray[np.uint8]) -> list[RegionMasks]:
        """See `models.segmentation.mask_rcnn_regions.RegionMaskNetwork.region_masks`."""
        found: list[RegionMasks] = [each for part in self._decoded(pixels) for each in part]
        self._check([each.objects for each in found], len(pixels))
        return found

    @torch.inference_mode()
    def masks_in(self, pixels: NDArray[np.uint8], boxes: Tensor, class_ids: Tensor) -> Tensor:
        """See `models.segmentation.mask_rcnn_regions.RegionMaskNetwork.masks_in`.

        The network has masks only for objects that it finds itself: a box gets the mask of the found object of its
        class that it overlaps most, by an IoU of at least `_MATCHING_IOU`, and is empty without one.
        """
        (found,) = self.region_masks(pixels[None])
        masks = found.masks_of(torch.arange(len(found.objects)))
        side = masks.shape[-1] if len(masks) else 1
        given = torch.zeros(len(boxes), side, side)
        if not len(masks) or not len(boxes):
            return given
        overlaps = box_iou(boxes, found.objects.boxes)
        overlaps[class_ids[:, None] != found.objects.class_ids[None]] = 0.0
        best, nearest = overlaps.max(1)
        matched = best >= _MATCHING_IOU
        given[matched] = masks[nearest[matched]]
        return given

    def run_once(self, pixels: NDArray[np.uint8]) -> None:
        """Runs the network and decodes what it returns, whatever its kind."""
        if self._layout.kind == "detection":
            self.candidates(pixels)
        elif self._layout.kind == "instance":
            for found in self.region_masks(pixels):
                found.masks_of(torch.arange(len(found.objects)))
        else:
            self.run_all(pixels)

    @torch.inference_mode()
    def _decoded(self, pixels: NDArray[np.uint8]) -> list[Any]:
        """The results of the layout, of all images at once or one by one."""
        size = (pixels.shape[1], pixels.shape[2])
        step = 1 if self._layout.one_by_one else len(pixels)
        parts = (pixels[start : start + step] for start in range(0, len(pixels), step))
        return [self._decode(self._outputs(part), size, self._class_count) for part in parts]

    def _outputs(self, pixels: NDArray[np.uint8]) -> tuple[Tensor, ...]:
        outputs = self._executor.run_all(pixels)
        if self._layout.kind in ("classification", "semantic"):
            return outputs
        return tuple(output.cpu() for output in outputs)  # where objects are few, and filtered

    def _check(self, found: Sequence[Candidates], count: int) -> None:
        if len(found) != count:
            raise ValueError(f"{count} images give the objects of {len(found)}")
        highest = max((int(each.class_ids.max()) for each in found if len(each)), default=0)
        if highest >= self._class_count:
            raise ValueError(f"there is an object of class {highest}, but there are {self._class_count} class names")


def _require_fit(entry: CatalogEntry, executor: NetworkExecutor, network: DecodedNetwork) -> None:
    """Raises unless the layout decodes the outputs for a test picture."""
    pixels = examples(entry.image_preprocessing)[1].numpy()
    try:
        network.run_once(pixels)
    except ModelsError:
        raise
    except Exception as error:  # of many classes, where a layout is not that of the outputs
        returned = ", ".join(f"{tuple(output.shape)} {_dtype(output)}" for output in executor.run_all(pixels))
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        message = f"outputs {entry.outputs!r} does not fit the network, which returns {returned}: {reason}"
        raise BrokenCard(_card_of(entry), message) from error


def _dtype(output: Tensor) -> str:
    return str(output.dtype).removeprefix("torch.")


def _card_of(entry: CatalogEntry) -> str:
    return str(entry.card or f"{entry.name}.json")
