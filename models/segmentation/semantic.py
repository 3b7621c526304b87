"""The adapter of all semantic segmentation networks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from models.adapter import ModelInput, RawOutput
from models.entries import CatalogEntry, LetterboxPreprocessing
from models.execution.external import NetworkExecutor
from models.execution.staging import stack
from models.imaging.letterbox import Letterbox
from models.letterbox_adapter import LetterboxedAdapter
from models.parameters import SegmentationParameters
from models.predictions import SemanticMask
from models.runtime import Runtime
from models.segmentation.class_maps import ClassMap, class_map_from
from models.segmentation.tiles import Tiling, logits_by_rows

_MOST_CLASSES: Final = 256
"""The most classes: a class map has one byte for every pixel."""
_PIXELS_AT_ONCE: Final = {"cpu": 2**18, "cuda": 2**22}
"""Pixels of the tiles that form one batch: one of 512 x 512 on a CPU, which gains nothing from larger batches."""


class SemanticSegmenter(LetterboxedAdapter[NetworkExecutor, SegmentationParameters, SemanticMask]):
    """A semantic segmentation network as an `models.adapter.Adapter`.

    Classes that a request filters out become background.

    Args:
        entry: Its catalog entry. Where its preprocessing has a `tile`, larger inputs go through the network in tiles.
        class_names: One for every class id, that of the background first; at most 256.
        runtime: Where and how it runs, resolved.
        network: From (N, H, W, 3) pixels to (N, class_count, h, w) logits, which cover the whole
            input and may be coarser.
        weights_digest: sha256 in hex of the file that its weights came from.

    Raises:
        ValueError: There are more than 256 classes.
    """

    usual_parameters = SegmentationParameters()

    def __init__(
        self,
        entry: CatalogEntry,
        class_names: tuple[str, ...],
        runtime: Runtime,
        network: NetworkExecutor,
        weights_digest: str,
    ) -> None:
        if len(class_names) > _MOST_CLASSES:
            raise ValueError(f"{entry.name} has {len(class_names)} classes, of which a class map can tell 256 apart")
        super().__init__(entry, class_names, runtime, network, weights_digest)
        self._tiling = _tiling_of(self._preprocessing, runtime)

    @torch.inference_mode()
    def forward(self, inputs: Sequence[ModelInput]) -> list[Tensor] | list[ClassMap]:
        """See `models.adapter.Adapter.forward`.

        Returns:
            (C, h, w) float32 logits on the CPU for every image. Where these would be too large, or a GPU is faster at
            what comes next, class maps.
        """
        if self.is_tiled(inputs[0]):
            return [self.class_map_of(self.logit_rows(item), item) for item in inputs]
        return self.finished(self.logits(inputs), inputs)

    def is_tiled(self, item: ModelInput) -> bool:
        """Whether an input goes through the network in tiles."""
        height, width = item.pixels.shape[:2]
        return self._tiling is not None and self._tiling.applies_to((height, width))

    def logits(self, inputs: Sequence[ModelInput]) -> Tensor:
        """Runs the network over a batch that is not tiled: (N, C, h, w) float32 logits on the device."""
        return self.network.run(stack([item.pixels for item in inputs], self.runtime))

    def logit_rows(self, item: ModelInput) -> Iterator[Tensor]:
        """Runs the network over a tiled input, see `models.segmentation.tiles.logits_by_rows`."""
        assert self._tiling is not None
        return logits_by_rows(self.network.run, item.pixels, self._tiling)

    def finished(
        self, logits: Sequence[Tensor] | Tensor, inputs: Sequence[ModelInput]
    ) -> list[Tensor] | list[ClassMap]:
        """Converts (C, h, w) logits of every image to what `forward` returns: on a GPU, class maps."""
        if self.runtime.on_gpu:
            return [self._class_map(part, item, True) for part, item in zip(logits, inputs, strict=True)]
        return list(logits)

    def class_map_of(self, rows: Iterable[Tensor], item: ModelInput) -> ClassMap:
        """Makes the class map of a tiled input, with probabilities, from its rows of logits."""
        return class_map_from(rows, len(item.pixels), self._letterbox(item.image_size), True)

    def letterbox(self, item: ModelInput) -> Letterbox:
        """The placement of an image in its input."""
        return self._letterbox(item.image_size)

    @torch.inference_mode()
    def postprocess(
        self, raw: RawOutput, inputs: Sequence[ModelInput], parameters: Sequence[SegmentationParameters]
    ) -> list[SemanticMask]:
        """See `models.adapter.Adapter.postprocess`."""
        return [
            semantic_mask_from(
                found if isinstance(found, ClassMap) else self._class_map(found, item, wanted.probabilities), wanted
            )
            for found, item, wanted in zip(raw, inputs, parameters, strict=True)
        ]

    def _class_map(self, logits: Tensor, item: ModelInput, probabilities: bool) -> ClassMap:
        return class_map_from([logits], logits.shape[1], self._letterbox(item.image_size), probabilities)

    def usual_input_sizes(self) -> list[tuple[int, int]]:
        """Inputs larger than a tile are split into tiles."""
        sizes = super().usual_input_sizes()
        most = self._preprocessing.tile or max(map(max, sizes))
        return list(dict.fromkeys((min(height, most), min(width, most)) for height, width in sizes))

    def _letterbox(self, image_size: tuple[int, int]) -> Letterbox:
        """The letterbox of an image; for a compiled network at least one whole tile, if it has tiles."""
        if not (self.runtime.compile and self._tiling):
            return super()._letterbox(image_size)
        letterbox = Letterbox.fit(image_size, self._preprocessing)
        height, width = letterbox.input_size
        return replace(letterbox, input_size=(max(height, self._tiling.tile), max(width, self._tiling.tile)))


def _tiling_of(preprocessing: LetterboxPreprocessing, runtime: Runtime) -> Tiling | None:
    if preprocessing.tile is None:
        return None
    at_once = _PIXELS_AT_ONCE["cuda" if runtime.on_gpu else "cpu"]
    return Tiling(preprocessing.tile, preprocessing.overlap, preprocessing.stride, at_once)


def semantic_mask_from(found: ClassMap, parameters: SegmentationParameters) -> SemanticMask:
    """Filters a class map by the classes of a request; other pixels become background.

    Args:
        found: Of one image.
        parameters: Of the request.

    Returns:
        The prediction.
    """
    present = np.flatnonzero(found.pixel_counts)
    class_ids = present[present > 0]
    class_map = found.class_map
    if parameters.class_ids is not None:
        class_ids = class_ids[np.isin(class_ids, parameters.class_ids)]
        kept = np.zeros(len(found.pixel_counts), np.uint8)
        kept[class_ids] = class_ids
        class_map = kept[class_map]
    probabilities = None
    if parameters.probabilities:
        assert found.probability_sums is not None
        probabilities = (found.probability_sums[class_ids] / found.pixel_counts[class_ids]).astype(np.float32)
    return SemanticMask(class_map, class_ids, probabilities, (class_map.shape[0], class_map.shape[1]))
