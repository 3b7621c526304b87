"""The layers of a network with their receptive fields, and the pictures made of them."""

from typing import Any, cast

import numpy as np
import pytest
import torch
import torchvision.models
from torch import Tensor, nn

from models.classification.efficientnet_lite import EfficientNetLite
from models.explaining.contact_sheet import map_sheet
from models.explaining.feature_maps import feature_maps
from models.explaining.filters import filter_pictures, first_convolution
from models.explaining.layers import layers_of, receptive_fields


@pytest.mark.parametrize(
    ("builder", "side", "layer", "published"),
    [  # Araujo et al., "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019, table
        ("alexnet", 224, "features", 195),
        ("vgg16", 224, "features", 212),
        ("inception_v3", 299, "Mixed_7c", 1311),
    ],
)
def test_receptive_fields_are_the_published_ones(builder, side, layer, published):
    options = {"init_weights": False} if builder != "alexnet" else {}
    network = torchvision.models.get_model(builder, weights=None, **options).eval()
    field = receptive_fields(network, (3, side, side))[layer]
    assert field.size == (published, published)
    assert field.stride == (32, 32)


def test_a_layer_has_its_window_its_shape_and_its_parameters():
    network = nn.Sequential(nn.Conv2d(3, 8, (3, 5), (1, 2), (2, 4), (2, 2), groups=1), nn.ReLU(), nn.Flatten())
    convolution, relu, _ = layers_of(network, (3, 20, 40))
    assert convolution.to_dict() == {
        "name": "0",
        "type": "Conv2d",
        "call": 1,
        "output_shape": (8, 20, 20),
        "kernel": (3, 5),
        "stride": (1, 2),
        "dilation": (2, 2),
        "padding": (2, 4),
        "groups": 1,
        "parameters": 8 * 3 * 15 + 8,
        "receptive_field": {"whole_image": False, "size": [5, 9], "stride": [1, 2]},
        "has_maps": True,
        "per_region": False,
    }
    assert (relu.kernel, relu.stride, relu.padding, relu.groups, relu.parameters) == (None, None, None, None, 0)


def test_after_upsampling_the_largest_field_of_the_units_counts():
    network = nn.Sequential(nn.Conv2d(3, 1, 3, 2, 1), nn.Upsample(scale_factor=2), nn.Conv2d(1, 1, 3, padding=1))
    fields = [layer.receptive_field for layer in layers_of(network, (3, 32, 32))]
    assert [field and (field.size[0], field.stride[0]) for field in fields] == [(3, 2), (3, 1), (5, 1)]


def test_a_unit_sees_the_pixels_of_its_field_within_the_image():
    field = receptive_fields(nn.Sequential(nn.Conv2d(3, 1, 5, 2, 2)), (3, 32, 32))["0"]
    assert field.pixels((0, 3), (32, 32)) == ((0, 2), (4, 8))


def test_of_two_branches_the_larger_field_counts():
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.small, self.large = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 7, padding=3)
            self.mixed = nn.Conv2d(8, 4, 1)

        def forward(self, images: Tensor) -> Tensor:
            return self.mixed(torch.cat([self.small(images), self.large(images)], 1))

    assert receptive_fields(Branches(), (3, 16, 16))["mixed"].size == (7, 7)


def test_a_squeeze_and_excitation_gate_makes_every_later_unit_see_the_whole_image():
    layers = layers_of(torchvision.models.efficientnet_b0(weights=None).eval(), (3, 64, 64))
    by_name: dict[str, Any] = {layer.name: layer.receptive_field for layer in layers}
    assert by_name["features.1.0.block.0.0"].size == (7, 7)
    assert by_name["features.1.0.block.2.0"].whole_image


def test_an_operation_without_a_rule_gives_no_receptive_field_rather_than_a_wrong_one():
    class Sorted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.after = nn.Conv2d(3, 4, 3)

        def forward(self, images: Tensor) -> Tensor:
            return self.after(images.sort(dim=2).values)

    (layer,) = layers_of(Sorted(), (3, 16, 16))
    assert layer.receptive_field is None


def test_a_layer_that_runs_again_is_listed_again_and_counts_its_parameters_once():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 3, 3)

        def forward(self, images: Tensor) -> Tensor:
            return self.layer(self.layer(images))

    first, second = layers_of(Twice(), (3, 16, 16))
    assert [(layer.call, layer.parameters) for layer in (first, second)] == [(1, 84), (2, 0)]
    assert second.receptive_field is not None and second.receptive_field.size == (5, 5)


def test_the_layers_of_a_signal_have_one_axis():
    network = nn.Sequential(
        *(nn.Conv1d(inputs, 15, 3, 2, 1) for inputs in (1, 15, 15)), nn.Flatten(), nn.Linear(75, 10)
    )
    layers = layers_of(network, (1, 40))
    assert [layer.receptive_field and layer.receptive_field.size for layer in layers[:3]] == [(3,), (7,), (15,)]
    assert layers[-1].receptive_field is not None and layers[-1].receptive_field.whole_image
    assert sum(layer.parameters for layer in layers) == 2200


@pytest.fixture(scope="module")
def turning_network() -> EfficientNetLite:
    """Turns its input by 180 degrees."""
    torch.manual_seed(0)
    return EfficientNetLite(class_count=10).eval()


def test_maps_of_a_network_that_turns_its_input_are_upright(turning_network: EfficientNetLite):
    image = torch.zeros(1, 3, 64, 64)
    image[:, :, :8, :8] = 1
    for name in ("stem.0", "stages.1"):
        values = np.abs(
            feature_maps(turning_network, image, name).values - feature_maps(turning_network, image * 0, name).values
        ).sum(0)
        row, column = np.unravel_index(values.argmax(), values.shape)
        assert max(row, column) < values.shape[0] // 2


def test_filters_of_a_network_that_turns_its_input_are_upright(turning_network: EfficientNetLite):
    layer = first_convolution(layers_of(turning_network, (3, 64, 64)))
    assert layer is not None and layer.name == "stem.0"
    weights = cast(Tensor, turning_network.stem[0].weight).detach()[0].flip(1, 2)
    shown = filter_pictures(turning_network, layer)[0].astype(float) - 127.5
    expected = (127.5 * weights / weights.abs().max()).permute(1, 2, 0).numpy()
    assert np.abs(shown - expected).max() <= 0.51


def test_a_sheet_shows_the_maps_that_vary_most_first():
    network: Any = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False))
    nn.init.zeros_(network[0].weight)
    network[0].weight.data[1], network[0].weight.data[2] = 1.0, 5.0
    maps = feature_maps(network, torch.rand(1, 1, 12, 12), "0")
    assert maps.strongest(2) == [2, 1]
    assert map_sheet(maps, 2).image.size == (102 + 6, 2 * 114 + 6)


def test_a_layer_without_maps_is_refused_by_its_shape():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())
    with pytest.raises(ValueError, match="'1' has no feature maps over the image: its output is 784"):
        feature_maps(network, torch.rand(1, 3, 16, 16), "1")
    with pytest.raises(ValueError, match="runs '0' 1 times only"):
        feature_maps(network, torch.rand(1, 3, 16, 16), "0", 2)


def test_watching_leaves_no_hooks_behind():
    network = nn.Sequential(nn.Conv2d(3, 4, 3))
    layers_of(network, (3, 16, 16))
    assert not network[0]._forward_hooks and not network[0]._forward_pre_hooks
