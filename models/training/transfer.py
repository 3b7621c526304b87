"""Transfer learning: initialises a network from a pretrained one, and freezes part of it."""

from collections.abc import Mapping
from typing import Final, Literal

import torch
from torch import Tensor, nn

from models.catalog.lookup import find
from models.classification.efficientnet_lite import folded, from_published
from models.detection.lite_backbone import LiteEncoder
from models.detection.yolox_family import from_official
from models.sources.weights_files import fetch, read_state_dict

Frozen = Literal["none", "filters", "backbone"]
"""What of a backbone keeps its weights: nothing; its first two stages and all its depthwise filters; everything."""

IMAGENET: Final = "imagenet"
NOTHING: Final = "none"
_STILL_STAGES: Final = 2
_SHARED: Final = ("lateral_conv0.conv.weight", "stem.0.weight", "bottom.0.weight")
"""Each is in a part that several architectures have under names of their own: the pyramid, its encoder, and the decoder
of a U-Net."""
ANOTHER: Final = ","
"""Between the names of several models to start from."""


class StridedDepthwise(nn.Conv2d):
    """A depthwise convolution with a stride, computed in float32 whatever autocast says.

    oneDNN's backward pass of these in bfloat16 takes five times as long (144 channels, 104² → 52², 5 × 5: 11.6 ms an
    image, and 2.2 in float32, on two cores of a Zen 4).
    """

    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float()).to(input.dtype)


def lite_encoder(network: nn.Module) -> LiteEncoder | None:
    """Finds the EfficientNet-Lite0 within a network, where there is one."""
    return next((module for module in network.modules() if isinstance(module, LiteEncoder)), None)


def start_network(network: nn.Module, start: str) -> None:
    """Gives a new detector or segmenter weights to start from.

    Args:
        network: A detector or a segmenter; changed in place.
        start: `none`; `imagenet` for the classifier's convolutions; or the name of a model of the catalog, whose
            weights are taken over as far as names and shapes agree. Between architectures that share a pyramid or its
            encoder, that is at least this part. Of several names, with commas between, each takes precedence over
            those before it.

    Raises:
        ValueError: Nothing of that fits this network.
        ModelsError: There is no such model, or its weights cannot be had.
    """
    if start == NOTHING:
        return
    backbone = lite_encoder(network)
    if start != IMAGENET:
        for name in start.split(ANOTHER):
            _take_over(network, name)
    elif backbone is not None:
        start_from_imagenet(backbone)
    else:
        raise ValueError(
            "only an EfficientNet-Lite0 backbone can start from ImageNet: name a model of the catalog, or none"
        )


def start_from_imagenet(backbone: LiteEncoder) -> None:
    """Gives a backbone the convolutions of the ImageNet classifier.

    Raises:
        WeightsUnavailable: The classifier's weights are not on this machine.
    """
    entry = find("efficientnet-lite0")
    state, _ = read_state_dict(entry, fetch(entry))
    _load_fitting(backbone, folded(from_published(state)))


def _take_over(network: nn.Module, name: str) -> None:
    entry = find(name)
    state, _ = read_state_dict(entry, fetch(entry))
    if entry.weights.kind == "url":
        state = from_official(state)
    for shared in _SHARED:
        theirs, ours = _prefix(state, shared), _prefix(network.state_dict(), shared)
        if theirs is not None and ours is not None:
            state = {key.replace(theirs, ours, 1) if key.startswith(theirs) else key: state[key] for key in state}
    if not _load_fitting(network, state):
        raise ValueError(f"nothing of {name} fits this architecture")


def _prefix(state: Mapping[str, Tensor], shared: str) -> str | None:
    """What stands before the names of the weights of a shared part."""
    return next((key.removesuffix(shared) for key in state if key.endswith(shared)), None)


def _load_fitting(network: nn.Module, state: Mapping[str, Tensor]) -> int:
    """Loads what has the right name and shape, and gives how many tensors that were."""
    own = network.state_dict()
    fitting = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    network.load_state_dict({**own, **fitting})
    return len(fitting)


def freeze(backbone: LiteEncoder, frozen: Frozen) -> None:
    """Holds part of a backbone still.

    Depthwise filters are 6 % of its weights and most of the time of its backward pass on a CPU in bfloat16.

    Args:
        backbone: Whose parameters are to stop requiring gradients.
        frozen: Which part.
    """
    if frozen == "none":
        return
    count = len(backbone.stages) if frozen == "backbone" else _STILL_STAGES
    still: list[nn.Module] = [backbone.stem, *backbone.stages[:count]]
    for module in backbone.stages[count:].modules():
        if isinstance(module, nn.Conv2d) and module.groups > 1:
            still.append(module)
            if module.stride != (1, 1):
                module.__class__ = StridedDepthwise
    for module in still:
        module.requires_grad_(False)
