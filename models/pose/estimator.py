"""The adapter of all pose networks."""

# pyright: reportUnknownMemberType=false

from collections.abc import Sequence

import torch
from torch import Tensor

from models.adapter import ModelInput, RawOutput
from models.detection.candidates import Candidates
from models.detection.selection import are_boxes, select
from models.entries import CatalogEntry
from models.entries.skeletons import Skeleton
from models.execution.staging import stack
from models.imaging.letterbox import Letterbox
from models.letterbox_adapter import LetterboxedAdapter
from models.parameters import ObjectParameters, PoseParameters
from models.pose.heat_maps import HeatMaps
from models.pose.keypoint_regions import RegionPointNetwork, RegionPoints
from models.predictions import Poses
from models.runtime import Runtime


class PoseEstimator(LetterboxedAdapter[RegionPointNetwork, PoseParameters, Poses]):
    """A pose network as an `models.adapter.Adapter`.

    Args:
        entry: Its catalog entry, with the skeleton.
        class_names, runtime, network, weights_digest: See `models.adapter.NetworkAdapter`.

    Attributes:
        skeleton: Of its key points.
    """

    usual_parameters = PoseParameters()

    def __init__(
        self,
        entry: CatalogEntry,
        class_names: tuple[str, ...],
        runtime: Runtime,
        network: RegionPointNetwork,
        weights_digest: str,
    ) -> None:
        super().__init__(entry, class_names, runtime, network, weights_digest)
        assert entry.skeleton is not None
        self.skeleton = entry.skeleton

    def forward(self, inputs: Sequence[ModelInput]) -> list[RegionPoints]:
        """See `models.adapter.Adapter.forward`."""
        return self.network.region_points(stack([item.pixels for item in inputs], self.runtime))

    def postprocess(
        self, raw: RawOutput, inputs: Sequence[ModelInput], parameters: Sequence[PoseParameters]
    ) -> list[Poses]:
        """See `models.adapter.Adapter.postprocess`."""
        return [
            poses_from(found, self.letterbox_of(item), wanted, self.skeleton)
            for found, item, wanted in zip(raw, inputs, parameters, strict=True)
        ]

    def objects_of(self, found: RegionPoints, item: ModelInput, parameters: ObjectParameters) -> Candidates:
        """The objects of one image after NMS, best first, with boxes in pixels of the original.

        Args:
            found: Output of the network.
            item: The input that it belongs to.
            parameters: Which to keep.
        """
        boxes = self.letterbox_of(item).restore(found.candidates.boxes)
        return select(Candidates(boxes, found.candidates.scores, found.candidates.class_ids), parameters)

    def letterbox_of(self, item: ModelInput) -> Letterbox:
        """The placement of an image in an input."""
        return self._letterbox(item.image_size)


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
    within = found.candidates[are_boxes(letterbox.restore(found.candidates.boxes))]
    kept = select(within, parameters)
    restored = Candidates(letterbox.restore(kept.boxes), kept.scores, kept.class_ids)
    return poses_of(restored, found.maps_of(kept.boxes), letterbox, skeleton)


def poses_of(objects: Candidates, maps: HeatMaps, letterbox: Letterbox, skeleton: Skeleton) -> Poses:
    """Finds the key points of objects in their heat maps.

    Args:
        objects: N, by descending score, boxes in pixels of the original.
        maps: Their heat maps.
        letterbox: Placement of the image in the input.
        skeleton: Of the model.
    """
    points, scores = maps.points(skeleton.sigmas)
    places, size = restored_points(points, letterbox).numpy(), letterbox.image_size
    arrays = (objects.boxes.numpy(), objects.scores.numpy(), objects.class_ids.numpy())
    return Poses(*arrays, size, places, scores.numpy(), skeleton)


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
