"""Computed receptive fields equal those that the gradient of a unit reaches in the network itself."""

from typing import Any

import pytest
import torchvision.models

from models.catalog.lookup import bundled, find
from models.entries.signal_preprocessing import SignalPreprocessing
from models.explaining.layers import layers_of
from models.export.captured_network import capture
from models.kinds import KINDS
from tests.unit.gradient_support import supports

pytestmark = pytest.mark.slow

LAYERS = 12
ARCHITECTURES = {
    entry.architecture: entry.name
    for entry in map(find, bundled())
    if entry.weights.kind != "none"
    and not isinstance(entry.preprocessing, SignalPreprocessing)
    and not KINDS[entry.kind].is_experimental  # which are not explained
}


def _differing(network, shape):
    return [found for found in supports(network, shape, LAYERS) if found.expected != found.reached]


@pytest.mark.parametrize("name", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_receptive_fields_of_every_bundled_architecture_are_those_of_the_gradient(name):
    network = capture(name).network
    for shape in _shapes(name, network):
        assert _differing(network, shape) == []


def _shapes(name, network):
    """Inputs that are larger than most receptive fields along one axis, where the network takes other sizes than its
    own."""
    wide, own = (3, 64, 1280), (3, *find(name).image_preprocessing.largest_size)
    try:
        layers_of(network, wide)
    except RuntimeError:  # a linear layer on so many units
        return [own]
    return [wide, (3, 1280, 64)]


@pytest.mark.parametrize(
    ("builder", "height", "width"),
    [  # sizes at which no convolution leaves pixels of the border unread
        ("resnet18", 1280, 64),
        ("inception_v3", 1291, 107),
        ("squeezenet1_0", 1281, 97),
        ("mobilenet_v3_large", 1280, 64),
        ("shufflenet_v2_x1_0", 1280, 64),
        ("densenet121", 640, 32),
        ("convnext_tiny", 640, 32),
        ("deeplabv3_resnet50", 640, 32),
        ("lraspp_mobilenet_v3_large", 1280, 64),
    ],
)
def test_receptive_fields_of_networks_of_torchvision_are_those_of_the_gradient(builder, height, width):
    options: dict[str, Any] = {"init_weights": False} if builder == "inception_v3" else {}
    if "_mobilenet_" in builder or "_resnet" in builder:
        options["weights_backbone"] = None
    network = torchvision.models.get_model(builder, weights=None, **options).eval()
    assert _differing(network, (3, height, width)) == []
