"""The person detector as a tutorial would serve it: a letterbox by PIL, every cell decoded, torchvision's NMS.

Like the demonstration of the official YOLOX, it pads each photo to a square, which also lets photos of any shape share
a batch. Source: https://github.com/Megvii-BaseDetection/YOLOX, yolox/data/data_augment.py (`preproc`)
"""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import batched_nms
from torchvision.transforms.functional import pil_to_tensor

from loadtests.systems.eager import EagerModel
from loadtests.workloads import DETECTION
from models.catalog.lookup import find
from models.detection.architectures import build_detector
from models.detection.grid import boxes_of, cells, flatten
from models.entries import LetterboxPreprocessing
from models.parameters import DetectionParameters


class EagerDetector(EagerModel):
    """See `EagerModel`; inputs are square, outputs (A, 6): box in pixels of the input, score, class id."""

    def __init__(self) -> None:
        entry = find(DETECTION.model)
        super().__init__(entry, build_detector(entry.architecture, entry.class_count, entry.arguments))
        assert isinstance(entry.preprocessing, LetterboxPreprocessing) and entry.class_names is not None
        self._made_for = entry.preprocessing
        self._class_names = entry.class_names
        self._parameters = DetectionParameters(**entry.defaults)  # pyright: ignore[reportArgumentType]
        self._mean = torch.tensor(entry.preprocessing.mean).view(3, 1, 1)
        self._std = torch.tensor(entry.preprocessing.std).view(3, 1, 1)

    def tensor(self, image: Image.Image) -> Tensor:
        """See `EagerModel.tensor`."""
        side, pad = self._made_for.long_side, self._made_for.pad
        scale = self._scale((image.height, image.width))
        resized = image.resize((int(image.width * scale), int(image.height * scale)), Image.Resampling.BILINEAR)
        square = Image.new("RGB", (side, side), (pad, pad, pad))
        square.paste(resized)
        return (pil_to_tensor(square).float() - self._mean) / self._std

    def output(self, batch: Tensor) -> Tensor:
        """See `EagerModel.output`."""
        levels = self.network(batch)
        raw = flatten(levels)
        class_scores, class_ids = raw[..., 5:].sigmoid().max(2, keepdim=True)
        scores = raw[..., 4:5].sigmoid() * class_scores
        return torch.cat([boxes_of(raw, cells(levels)), scores, class_ids], 2)

    def predictions(self, output: Tensor, size: tuple[int, int]) -> list[dict[str, Any]]:
        """See `EagerModel.predictions`."""
        likely = output[output[:, 4] >= self._parameters.score_threshold]
        boxes, scores, class_ids = likely[:, :4], likely[:, 4], likely[:, 5].long()
        kept = batched_nms(boxes, scores, class_ids, self._parameters.iou_threshold)[: self._parameters.max_detections]
        height, width = size
        boxes = (boxes[kept] / self._scale(size)).clamp(torch.zeros(4), torch.tensor([width, height, width, height]))
        return [
            {
                "box": dict(zip(("x_min", "y_min", "x_max", "y_max"), box, strict=True)),
                "class_id": class_id,
                "class_name": self._class_names[class_id],
                "score": score,
            }
            for box, score, class_id in zip(
                boxes.tolist(), scores[kept].tolist(), class_ids[kept].tolist(), strict=True
            )
        ]

    def _scale(self, size: tuple[int, int]) -> float:
        """Pixels of the input for one of the photo."""
        return min(self._made_for.long_side / size[0], self._made_for.long_side / size[1])
