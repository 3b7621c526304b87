"""Keypoint R-CNN (arXiv:1703.06870, section 5) on EfficientNet-Lite0: Faster R-CNN with a branch for heat maps."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from itertools import pairwise
from typing import Final

from torch import Tensor, nn
from torchvision.models.detection.keypoint_rcnn import KeypointRCNN
from torchvision.ops import MultiScaleRoIAlign

from models.detection.lite_faster_rcnn import LEVELS, two_stages

REGION_SIDE: Final = 14
"""Side of the pooled features of the branch in cells; its heat maps have twice as many a side."""
_BATCH_NORM_EPSILON: Final = 1e-3
_FINAL_WIDTH: Final = 64
_MARGIN: Final = 0.1
_OBJECT_SHARE: Final = 0.53
"""As `models.datasets.key_points.BODY_SHARE`."""


class LiteKeypointRCNN(KeypointRCNN):
    """Keypoint R-CNN whose branch pools more than the box: boxes of a small network often miss hands and feet.

    Attributes:
        region_margin: By how much the region is larger than the box, on each side, as a share of the box's side.
        object_share: Area of an object as a share of its box, by which places are chosen for the greatest expected OKS:
            a small network is seldom sure of one cell. See `models.pose.heat_maps.expected_points`.
    """

    region_margin: float = _MARGIN
    object_share: float = _OBJECT_SHARE


def build_keypoint_rcnn_lite(
    class_count: int,
    key_points: int = 17,
    width: int = 96,
    region_width: int = 256,
    branch_width: int = 96,
    branch_depth: int = 3,
) -> LiteKeypointRCNN:
    """Builds the network, with random weights.

    Its classes count from 1, as always in torchvision's detectors: 0 is the background. The weights of a
    `models.detection.lite_faster_rcnn` fit all of it but the branch for heat maps.

    Args:
        class_count: Number of classes, without the background.
        key_points: Key points of an object.
        width: Channels of the pyramid.
        region_width: Width of the two fully connected layers of the box head.
        branch_width: Channels of the branch for heat maps.
        branch_depth: Convolutions of the branch before it enlarges.
    """
    return LiteKeypointRCNN(
        **two_stages(class_count, width, region_width),
        keypoint_roi_pool=MultiScaleRoIAlign(list(LEVELS), REGION_SIDE, 2),
        keypoint_head=HeatMapHead(width, branch_width, branch_depth, _FINAL_WIDTH),
        keypoint_predictor=HeatMaps(_FINAL_WIDTH, key_points),
    )


class Context(nn.Module):
    """A residual block of two dilated convolutions of 3 × 3, which sees the whole region: left and right of a body can
    only be told by the rest of it.

    Args:
        width: Channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.near = nn.Sequential(nn.Conv2d(width, width, 3, padding=2, dilation=2, bias=False), *_normed(width))
        self.far = nn.Conv2d(width, width, 3, padding=4, dilation=4, bias=False)
        self.norm = nn.BatchNorm2d(width, _BATCH_NORM_EPSILON)
        nn.init.zeros_(self.norm.weight)  # begins as the identity

    def forward(self, x: Tensor) -> Tensor:
        """(R, width, S, S) to the same."""
        return (x + self.norm(self.far(self.near(x)))).relu()


class HeatMapHead(nn.Sequential):
    """Convolutions of 3 × 3 with batch norms, a block of context, one transposed convolution to twice the side.

    Args:
        input_width: Channels of the pooled features.
        width: Channels of the convolutions.
        depth: How many they are.
        final_width: Channels of the result.
    """

    def __init__(self, input_width: int, width: int, depth: int, final_width: int) -> None:
        layers: list[nn.Module] = []
        for before, after in pairwise((input_width, *[width] * depth)):
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), *_normed(after)]
        layers += [Context(width), nn.ConvTranspose2d(width, final_width, 4, 2, 1, bias=False), *_normed(final_width)]
        super().__init__(*layers)
        for layer in self:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")


class HeatMaps(nn.Conv2d):
    """The last layer: a heat map for each key point; float32 under autocast too.

    Args:
        width: Channels of the features.
        key_points: Heat maps.
    """

    def __init__(self, width: int, key_points: int) -> None:
        super().__init__(width, key_points, 3, padding=1)
        nn.init.normal_(self.weight, std=0.01)

    def forward(self, input: Tensor) -> Tensor:
        """(R, width, S, S) to (R, K, S, S) logits."""
        logits: Tensor = super().forward(input)
        return logits.float()


def _normed(width: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(width, _BATCH_NORM_EPSILON), nn.ReLU(inplace=True)
