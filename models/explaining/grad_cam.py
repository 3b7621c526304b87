"""Heat maps from gradients: which cells of a layer's maps raise what is explained.

Of classes, Grad-CAM (Selvaraju 2017, arXiv:1610.02391): a channel weighs as much as the mean of its gradient over the
whole map. Of a box that would light up all objects of the class, for the weights know no place. So there every cell
weighs as much as its own gradient, smoothed over a part of the box, as in ODAM (Zhao 2023, arXiv:2304.06354).
"""

# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false

from typing import Final

from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from models.explaining.captum_library import layer_grad_cam, layer_gradient_x_activation
from models.explaining.map_layers import MapLayer
from models.explaining.plain_model import PlainNetwork
from models.explaining.subjects import Subject

_SMOOTHED_SHARE: Final = 0.1
"""Standard deviation of the smoothing, as a share of the side of the box. Of 0.05, 0.1 and 0.2 it was the smallest at
which the maps of docs/images/astronaut.jpg are no single spots."""
_LEAST_DEVIATION: Final = 0.5
"""In cells."""
_REACH: Final = 3
"""Standard deviations to each side that the smoothing reaches."""


def grad_cam(network: PlainNetwork, images: Tensor, subject: Subject, layer: MapLayer) -> Tensor:
    """Computes the heat map of a layer.

    Args:
        network: The network.
        images: (1, 3, H, W), normalised.
        subject: What is explained.
        layer: Whose maps are weighted.

    Returns:
        (h, w) float32, upright, at least 0; not scaled.
    """
    module = network.modules.get_submodule(layer.name)

    def forward(each: Tensor) -> Tensor:
        return subject.value(network.outputs(each))

    if subject.box is None:
        heat: Tensor = layer_grad_cam(forward, module).attribute(images)
    else:
        heat = layer_gradient_x_activation(forward, module).attribute(images).sum(1, keepdim=True)
        heat = _smoothed(heat.detach(), subject.box, (images.shape[2], images.shape[3]))
    return layer.upright(heat.detach().clamp(min=0))[0, 0].float()


def _smoothed(heat: Tensor, box: Tensor, size: tuple[int, int]) -> Tensor:
    """(1, 1, h, w) smoothed by a Gaussian that is as wide as a share of a box in an input of (height, width) pixels."""
    sides = box[2:] - box[:2]
    cells = heat.shape[3] / size[1], heat.shape[2] / size[0]
    deviations = [
        max(_LEAST_DEVIATION, _SMOOTHED_SHARE * float(side) * each) for side, each in zip(sides, cells, strict=True)
    ]
    kernel = [
        min(2 * int(_REACH * deviation) + 1, 2 * most - 1)
        for deviation, most in zip(deviations, (heat.shape[3], heat.shape[2]), strict=True)
    ]
    return gaussian_blur(heat, kernel, deviations)
