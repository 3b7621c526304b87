"""Augmentation of semantic segmenters: the class probabilities of all views are averaged."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from models.adapter import ModelInput, RawOutput
from models.augmentation.augmented import AugmentedInput, View
from models.augmentation.letterboxed import LetterboxedViews
from models.imaging.decoding import DecodedImage
from models.imaging.letterbox import Letterbox
from models.parameters import SegmentationParameters
from models.predictions import SemanticMask
from models.segmentation.class_maps import ClassMap
from models.segmentation.semantic import SemanticSegmenter

_LEAST: Final = 1e-12
"""The least probability that is given a logarithm."""


class AugmentedSemanticSegmenter(LetterboxedViews[SegmentationParameters, SemanticMask]):
    """Averages the probabilities of every pixel over the views, on the grid of the usual input.

    A mirror image is that of the whole input, padding included, so that its cells are those of the plain input. An
    image that is large enough for tiles is seen plain and mirrored, both at its usual size, and its rows are merged as
    they are computed.

    Args:
        adapter: The model.
        views: How each view is made, the usual input first.
        max_batch_size: The most views in one run of the network.
    """

    def __init__(self, adapter: SemanticSegmenter, views: Sequence[View], max_batch_size: int) -> None:
        super().__init__(adapter, views, max_batch_size)
        self._segmenter = adapter
        self._mirrors = any(view.mirrored for view in views)

    def preprocess(self, image: DecodedImage) -> AugmentedInput:
        """See `Augmented.preprocess`."""
        usual = self._segmenter.preprocess(image)
        if self._segmenter.is_tiled(usual):
            return AugmentedInput.of([(View(), usual), (View(mirrored=True), _turned(usual))][: 1 + self._mirrors])
        plain = {1.0: usual} | {
            scale: adapter.preprocess(image) for scale, adapter in self._scaled.items() if scale != 1.0
        }
        return AugmentedInput.of(
            [
                (view, _turned(plain[view.scale]) if view.mirrored else plain[view.scale])
                for view in self._views
                if not self._segmenter.is_tiled(plain[view.scale])
            ]
        )

    @torch.inference_mode()
    def forward(self, inputs: Sequence[ModelInput]) -> list[Tensor] | list[ClassMap]:
        """See `models.segmentation.semantic.SemanticSegmenter.forward`."""
        if self._segmenter.is_tiled(inputs[0]):
            return [self._segmenter.class_map_of(self._merged_rows(item), item) for item in inputs]
        merged = [self._merged(outputs, item) for outputs, item in zip(self._run_all(inputs), inputs, strict=True)]
        return self._segmenter.finished(merged, inputs)

    def postprocess(
        self, raw: RawOutput, inputs: Sequence[ModelInput], parameters: Sequence[SegmentationParameters]
    ) -> list[SemanticMask]:
        """See `models.adapter.Adapter.postprocess`."""
        return self._segmenter.postprocess(raw, inputs, parameters)

    def _run(self, views: Sequence[ModelInput]) -> RawOutput:
        return list(self._segmenter.logits(views))

    def _merged(self, outputs: Sequence[Tensor], item: ModelInput) -> Tensor:
        """(C, h, w) logarithms of the mean probabilities, on the grid of the first view."""
        assert isinstance(item, AugmentedInput)
        usual = self._segmenter.letterbox(item)
        total = torch.zeros_like(outputs[0])
        for kind, output in zip(item.kinds, outputs, strict=True):
            seen = _probabilities(output, kind)
            if kind.scale != 1.0:
                seen = regridded(seen, self._scaled[kind.scale].letterbox(item), usual, total)
            total += seen
        return (total / len(outputs)).clamp_min(_LEAST).log()

    def _merged_rows(self, item: ModelInput) -> Iterator[Tensor]:
        """The same of a tiled input, a few rows at a time."""
        assert isinstance(item, AugmentedInput)
        every = [self._segmenter.logit_rows(view) for view in item.views]
        for blocks in zip(*every, strict=True):
            seen = [_probabilities(block, kind) for kind, block in zip(item.kinds, blocks, strict=True)]
            yield torch.stack(seen).mean(0).clamp_min(_LEAST).log()


def _turned(item: ModelInput) -> ModelInput:
    return ModelInput(np.ascontiguousarray(item.pixels[:, ::-1]), item.image_size)


def _probabilities(logits: Tensor, kind: View) -> Tensor:
    probabilities = logits.softmax(0)
    return probabilities.flip(2) if kind.mirrored else probabilities


def regridded(values: Tensor, letterbox: Letterbox, usual: Letterbox, like: Tensor) -> Tensor:
    """Resamples values on the grid of one input of an image to that of another one, bilinearly.

    Args:
        values: (C, h, w), which cover the whole input of the letterbox.
        letterbox: Placement of the image in that input.
        usual: Placement of the image in the other input.
        like: (C, H, W), which cover the whole other input.

    Returns:
        (C, H, W); in the padding, the nearest value of the image.
    """
    axes: list[Tensor] = []
    for side in (0, 1):
        cells, others = values.shape[1 + side], like.shape[1 + side]
        inside = letterbox.resized_size[side] * cells / letterbox.input_size[side]
        whole = usual.resized_size[side] * others / usual.input_size[side]
        middles = torch.arange(others, dtype=torch.float64, device=values.device) + 0.5
        places = (middles * (inside / whole)).clamp(0.5, max(0.5, inside - 0.5))
        axes.append((2 * places / cells - 1).to(values.dtype))
    rows, columns = torch.meshgrid(axes[0], axes[1], indexing="ij")
    grid = torch.stack([columns, rows], 2)[None]
    return grid_sample(values[None], grid, padding_mode="border", align_corners=False)[0]
