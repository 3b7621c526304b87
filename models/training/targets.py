"""The targets of one training image: boxes, classes, masks and key points."""

# pyright: reportUnknownMemberType=false

from dataclasses import dataclass, field

import torch
from torch import Tensor

from models.training.augmentation import Example


@dataclass(frozen=True, eq=False)
class Target:
    """The objects of one image.

    Attributes:
        boxes: (M, 4) float32, x_min, y_min, x_max, y_max in pixels of the network's input.
        class_ids: (M,) int64.
        crowds: (K, 4) float32: cells whose centre lies here and that have no object are not told that there is none.
        ids: (H, W) int32: n where the object n − 1 is, see `models.training.augmentation.Example`; (0, 0) where nobody
            asked for masks.
        class_map: (H, W) uint8: n where something of the class n − 1 is, 255 where nobody knows; likewise.
        masked: (M,) bool, of which objects the mask is known.
        key_points: (M, K, 3) float32: x and y in pixels, and COCO's visibility; K is 0 without keypoint targets.
    """

    boxes: Tensor
    class_ids: Tensor
    crowds: Tensor
    ids: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.int32))
    class_map: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.uint8))
    masked: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))
    key_points: Tensor = field(default_factory=lambda: torch.zeros(0, 0, 3))

    @classmethod
    def of(cls, example: Example) -> "Target":
        """What an example tells."""
        return cls(
            boxes=torch.from_numpy(example.boxes),
            class_ids=torch.from_numpy(example.class_ids),
            crowds=torch.from_numpy(example.crowds),
            ids=torch.from_numpy(example.ids.astype("int32")),
            class_map=torch.from_numpy(example.class_map),
            masked=torch.from_numpy(example.masked),
            key_points=torch.from_numpy(example.key_points),
        )

    def to(self, device: torch.device) -> "Target":
        """Moves everything to a device."""
        return Target(**{name: part.to(device) for name, part in vars(self).items()})
