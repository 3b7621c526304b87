"""The segmenter of people as a tutorial would serve it: PIL's resize, logits enlarged to the photo, argmax, COCO's RLE.

As `loadtests.systems.eager_detector` does, it pads each photo to a square, so that photos of any shape share a batch.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms.functional import pil_to_tensor

from loadtests.systems.eager import EagerModel
from loadtests.workloads import SEGMENTATION
from models.catalog.lookup import find
from models.entries import LetterboxPreprocessing
from models.segmentation.architectures import build_segmenter


class EagerSegmenter(EagerModel):
    """See `EagerModel`; inputs are square, outputs (C, H, W) logits, the first class being the background."""

    def __init__(self) -> None:
        entry = find(SEGMENTATION.model)
        super().__init__(entry, build_segmenter(entry.architecture, entry.class_count, entry.arguments))
        assert isinstance(entry.preprocessing, LetterboxPreprocessing) and entry.class_names is not None
        self._made_for = entry.preprocessing
        self._class_names = entry.class_names
        self._mean = torch.tensor(entry.preprocessing.mean).view(3, 1, 1)
        self._std = torch.tensor(entry.preprocessing.std).view(3, 1, 1)

    def tensor(self, image: Image.Image) -> Tensor:
        """See `EagerModel.tensor`."""
        side, pad = self._made_for.long_side, self._made_for.pad
        height, width = self._resized((image.height, image.width))
        square = Image.new("RGB", (side, side), (pad, pad, pad))
        square.paste(image.resize((width, height), Image.Resampling.BILINEAR))
        return (pil_to_tensor(square).float() - self._mean) / self._std

    def output(self, batch: Tensor) -> Tensor:
        """See `EagerModel.output`."""
        return self.network(batch)

    def predictions(self, output: Tensor, size: tuple[int, int]) -> list[dict[str, Any]]:
        """See `EagerModel.predictions`."""
        height, width = self._resized(size)
        logits = interpolate(output[None, :, :height, :width], size, mode="bilinear", align_corners=False)
        class_map = logits[0].argmax(0).numpy()
        rows = [
            self._region(class_id, class_map == class_id) for class_id in np.unique(class_map).tolist() if class_id > 0
        ]
        return sorted(rows, key=lambda row: -row["area_pixels"])

    def _region(self, class_id: int, pixels: Any) -> dict[str, Any]:
        mask = cast(dict[str, Any], coco_mask.encode(np.asfortranarray(pixels, np.uint8)))
        return {
            "class_id": class_id,
            "class_name": self._class_names[class_id],
            "area_pixels": int(pixels.sum()),
            "fraction": float(pixels.mean()),
            "mask": {"size": mask["size"], "counts": mask["counts"].decode()},
        }

    def _resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of a photo within the input."""
        scale = min(self._made_for.long_side / side for side in size)
        return int(size[0] * scale), int(size[1] * scale)
