"""Imports captum where it is needed, for it takes a second and is an optional dependency."""

# pyright: reportMissingTypeStubs=false

from importlib.util import find_spec
from typing import Any, Final

from models.errors import ExplainingUnavailable

REMEDY: Final = "pip install 'tapetum[explain]'"


def require_captum() -> None:
    """Checks that captum is installed, without importing it.

    Raises:
        ExplainingUnavailable: It is not.
    """
    if find_spec("captum") is None:
        raise ExplainingUnavailable(f"explanations need the Python package captum: {REMEDY}")


def layer_grad_cam(forward: Any, layer: Any) -> Any:
    """captum's `LayerGradCam`: Grad-CAM (arXiv:1610.02391) of a layer.

    Args:
        forward: From images to the number that is explained, (N,).
        layer: The module whose maps are weighted.
    """
    require_captum()
    from captum.attr import LayerGradCam

    return LayerGradCam(forward, layer)


def layer_gradient_x_activation(forward: Any, layer: Any) -> Any:
    """captum's `LayerGradientXActivation`: gradient times activation of every cell; the arguments are those above."""
    require_captum()
    from captum.attr import LayerGradientXActivation

    return LayerGradientXActivation(forward, layer)


def occlusion(forward: Any) -> Any:
    """captum's `Occlusion` (Zeiler 2014, arXiv:1311.2901).

    Args:
        forward: From images to the number that is explained, (N,).
    """
    require_captum()
    from captum.attr import Occlusion

    return Occlusion(forward)
