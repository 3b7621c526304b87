"""The adapter of all pose networks."""

# pyright: reportUnknownMemberType=false

from collections.abc import Sequence

import torch
from torch import Tensor

from models.adapter import DetectionParameters, ModelInput, PoseParameters, RawOutput
from models.detection.selection import are_boxes, select
from models.entries import CatalogEntry
from models.execution.staging import stack
from models.imaging.letterbox import Letterbox
from models.letterbox_adapter import LetterboxedAdapter
from models.pose.keypoint_regions import RegionPointNetwork, RegionPoints
from models.predictions import Poses
from models.runtime import Runtime
from models.skeletons import Skeleton


class PoseEstimator(LetterboxedAdapter[PoseParameters, Poses]):
    """A pose network as an `models.adapter.Adapter`.

    Args:
        entry: Its catalog entry, with the skeleton.
        class_names: One for every class id.
        runtime: Where and how it runs, resolved.
        network: The network on its device.
        weights_digest: sha256 in hex of the file that its weights came from.
    """

    def __init__(
        self,
        entry: CatalogEntry,
        class_names: tuple[str, ...],
        runtime: Runtime,
        network: RegionPointNetwork,
        weights_digest: str,
    ) -> None:
        super().__init__(entry, class_names, runtime, weights_digest, PoseParameters())
        assert entry.skeleton is not None
        self._network, self._skeleton = network, entry.skeleton

    def forward(self, inputs: Sequence[ModelInput]) -> list[RegionPoints]:
        """See `models.adapter.Adapter.forward`."""
        return self._network.region_points(stack([item.pixels for item in inputs], self.runtime))

    def postprocess(
        self, raw: RawOutput, inputs: Sequence[ModelInput], parameters: Sequence[PoseParameters]
    ) -> list[Poses]:
        """See `models.adapter.Adapter.postprocess`."""
        return [
            poses_from(found, self._letterbox(item.image_size), wanted, self._skeleton)
            for found, item, wanted in zip(raw, inputs, parameters, strict=True)
        ]


def poses_from(found: RegionPoints, letterbox: Letterbox, parameters: PoseParameters, skeleton: Skeleton) -> Poses:
    """Filters objects by score and class, runs NMS, keeps the best, and finds the key points of these.

    Args:
        found: Output of the network.
        letterbox: Placement of the image in the network's input.
        parameters: Of the request.
        skeleton: Of the model.

    Returns:
        The prediction. Objects in the padding are dropped; key points are clipped to the image.
    """
    wanted = DetectionParameters(
        parameters.score_threshold,
        parameters.iou_threshold,
        parameters.max_detections,
        parameters.class_ids,
        parameters.class_agnostic,
    )
    within = found.candidates[are_boxes(letterbox.restore(found.candidates.boxes))]
    kept = select(within, wanted)
    points, scores = found.points_of(kept.boxes)
    boxes, size = letterbox.restore(kept.boxes).numpy(), letterbox.image_size
    places = restored_points(points, letterbox).numpy()
    return Poses(boxes, kept.scores.numpy(), kept.class_ids.numpy(), size, places, scores.numpy(), skeleton)


def restored_points(points: Tensor, letterbox: Letterbox) -> Tensor:
    """Maps points from the network's input to the original image.

    Args:
        points: (N, K, 2) x and y in pixels of the input.
        letterbox: Placement of the image in the input.

    Returns:
        (N, K, 2) float32 in pixels of the original, clipped to it.
    """
    (vertical, horizontal), (height, width) = letterbox.scale, letterbox.image_size
    restored = points.double() / torch.tensor([horizontal, vertical], dtype=torch.float64)
    return torch.minimum(restored.clamp(min=0), torch.tensor([width, height], dtype=torch.float64)).float()
