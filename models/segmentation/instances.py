"""The adapter of all instance segmentation networks."""

# pyright: reportUnknownMemberType=false

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from models.adapter import ModelInput, RawOutput
from models.detection.candidates import Candidates
from models.detection.selection import are_boxes
from models.execution.staging import stack
from models.geometry.masks import Mask
from models.imaging.decoding import DecodedImage
from models.imaging.letterbox import Letterbox
from models.letterbox_adapter import LetterboxedAdapter
from models.parameters import SegmentationParameters
from models.predictions import InstanceMasks
from models.segmentation.mask_rcnn_regions import RegionMaskNetwork, RegionMasks
from models.segmentation.pasting import paste


class InstanceSegmenter(LetterboxedAdapter[RegionMaskNetwork, SegmentationParameters, InstanceMasks]):
    """An instance segmentation network as an `models.adapter.Adapter`."""

    usual_parameters = SegmentationParameters()

    def forward(self, inputs: Sequence[ModelInput]) -> list[RegionMasks]:
        """See `models.adapter.Adapter.forward`."""
        return self.network.region_masks(stack([item.pixels for item in inputs], self.runtime))

    def postprocess(
        self, raw: RawOutput, inputs: Sequence[ModelInput], parameters: Sequence[SegmentationParameters]
    ) -> list[InstanceMasks]:
        """See `models.adapter.Adapter.postprocess`."""
        return [
            instances_from(found, self._letterbox(item.image_size), wanted)
            for found, item, wanted in zip(raw, inputs, parameters, strict=True)
        ]

    def objects_of(self, found: RegionMasks, item: ModelInput) -> Candidates:
        """The objects of one image, in their order, with boxes in pixels of the original.

        Args:
            found: Output of the network.
            item: The input that it belongs to.
        """
        boxes = self._letterbox(item.image_size).restore(found.objects.boxes)
        return Candidates(boxes, found.objects.scores, found.objects.class_ids)

    def masks_in(
        self, image: DecodedImage, boxes: NDArray[np.float32], class_ids: NDArray[np.int64]
    ) -> tuple[Mask, ...]:
        """Predicts masks for given boxes and classes.

        Args:
            image: Upright pixels.
            boxes: (N, 4) x_min, y_min, x_max, y_max in pixels of the original, within it.
            class_ids: (N,) indices into the model's `class_names`.

        Returns:
            N masks of the original's size.
        """
        if not len(boxes):
            return ()
        wanted = self._letterbox(image.size).project(torch.from_numpy(boxes))
        cells = self.network.masks_in(self.preprocess(image).pixels, wanted, torch.from_numpy(class_ids))
        return tuple(paste(mask, box, image.size) for mask, box in zip(cells.numpy(), boxes, strict=True))


def instances_from(found: RegionMasks, letterbox: Letterbox, parameters: SegmentationParameters) -> InstanceMasks:
    """Filters instances by score and class, keeps the best, scales them to the original image and draws their masks.

    Only these get masks. They are pasted one at a time as run lengths, without an array of the size of the image.

    Args:
        found: Output of the network.
        letterbox: Placement of the image in the network's input.
        parameters: Of the request; the network's own score threshold and its most objects are limits of them.

    Returns:
        The prediction. Objects in the padding are dropped; a mask may be empty where no pixel of a box reaches a
        probability of 0.5.
    """
    objects, size = found.objects, letterbox.image_size
    boxes = letterbox.restore(objects.boxes)
    wanted = (objects.scores >= parameters.score_threshold) & are_boxes(boxes)
    if parameters.class_ids is not None:
        wanted &= torch.isin(objects.class_ids, torch.tensor(parameters.class_ids, dtype=torch.int64))
    kept = wanted.nonzero().flatten()[: parameters.max_detections]
    given, cells = boxes[kept].numpy(), found.masks_of(kept).numpy()
    masks = tuple(paste(its_cells, box, size) for its_cells, box in zip(cells, given, strict=True))
    return InstanceMasks(given, objects.scores[kept].numpy(), objects.class_ids[kept].numpy(), size, masks)
