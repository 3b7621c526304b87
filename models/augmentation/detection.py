"""Augmentation of detectors: the boxes of all views are merged by weighted boxes fusion."""

# pyright: reportUnknownMemberType=false

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from models.adapter import ModelInput, RawOutput
from models.augmentation.augmented import AugmentedInput, View
from models.augmentation.box_fusion import FoundBoxes, fuse
from models.augmentation.letterboxed import LetterboxedViews
from models.detection.candidates import SCORE_FLOOR, Candidates
from models.detection.selection import select
from models.parameters import DetectionParameters, ObjectParameters
from models.predictions import Detections

P = TypeVar("P", bound=ObjectParameters)

MOST_BOXES: Final = 300
"""The most boxes of a view that are fused, by descending score; `max_detections` of them where a request has more."""


class AugmentedDetector(LetterboxedViews[DetectionParameters, Detections]):
    """Runs NMS on every view, fuses the boxes of all views, and filters those by the parameters of the request."""

    def forward(self, inputs: Sequence[ModelInput]) -> list[list[Any]]:
        """See `models.adapter.Adapter.forward`: for each image the candidates of each view."""
        return self._run_all(inputs)

    def postprocess(
        self, raw: RawOutput, inputs: Sequence[ModelInput], parameters: Sequence[DetectionParameters]
    ) -> list[Detections]:
        """See `models.adapter.Adapter.postprocess`."""
        return [self._merged(*one) for one in zip(raw, inputs, parameters, strict=True)]

    def _merged(self, outputs: Sequence[Any], item: ModelInput, parameters: DetectionParameters) -> Detections:
        def objects_of(view: ModelInput, kind: View, output: Any, wanted: DetectionParameters) -> Candidates:
            (found,) = self._scaled[kind.scale].postprocess([output], [view], [wanted])
            return Candidates(*(torch.from_numpy(part) for part in (found.boxes, found.scores, found.class_ids)))

        kept = fused_objects(objects_of, outputs, item, parameters)
        return Detections(kept.boxes.numpy(), kept.scores.numpy(), kept.class_ids.numpy(), item.image_size)


def fused_objects(
    objects_of: Callable[[ModelInput, View, Any, P], Candidates],
    outputs: Sequence[Any],
    item: ModelInput,
    parameters: P,
) -> Candidates:
    """Runs NMS on every view, fuses the boxes of all views, and filters those by the parameters of the request.

    Args:
        objects_of: From a view, how it was made, its output and parameters to its objects after NMS.
        outputs: Of each view.
        item: The image.
        parameters: Of the request.

    Returns:
        The objects, the best first, in pixels of the original.
    """
    assert isinstance(item, AugmentedInput)
    most = max(MOST_BOXES, parameters.max_detections)
    of_views = replace(parameters, score_threshold=SCORE_FLOOR, max_detections=most)
    found: list[FoundBoxes] = []
    for kind, view, output in zip(item.kinds, item.views, outputs, strict=True):
        seen = objects_of(view, kind, output, of_views)
        boxes = unmirrored(seen.boxes.numpy(), kind, item.image_size[1])
        found.append(FoundBoxes(boxes, seen.scores.numpy(), seen.class_ids.numpy()))
    fused = fuse(found)
    together = Candidates(*(torch.from_numpy(part) for part in (fused.boxes, fused.scores, fused.class_ids)))
    return select(together, parameters)


def unmirrored(boxes: NDArray[np.float32], kind: View, width: int) -> NDArray[np.float32]:
    """Maps (N, 4) boxes of a view, in pixels of the original, back where the view is mirrored.

    Args:
        boxes: x_min, y_min, x_max, y_max, within the image.
        kind: Of the view.
        width: Of the original in pixels.
    """
    if not kind.mirrored:
        return boxes
    turned = boxes.copy()
    turned[:, 0], turned[:, 2] = width - boxes[:, 2], width - boxes[:, 0]
    return turned
