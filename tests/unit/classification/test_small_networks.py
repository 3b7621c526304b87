"""LeNet-5 and the ResNets of CIFAR-10, against the figures of their papers."""

import numpy as np
import pytest
import torch
from torch import nn

from models.classification.architectures import build_classifier, is_classifier
from models.classification.small_inputs import fineness_for, least_size
from models.classification.small_networks import CifarResNet, LeNet5


def parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("blocks", "millions"), [(3, 0.27), (5, 0.46), (7, 0.66), (9, 0.85), (18, 1.7)]
)  # arXiv:1512.03385, table 6
def test_the_resnets_have_as_many_parameters_as_in_the_paper(blocks: int, millions: float) -> None:
    network = CifarResNet(10, blocks)
    assert parameter_count(network) / 1e6 == pytest.approx(millions, abs=0.01 if blocks < 18 else 0.05)
    weighted = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(weighted) == 6 * blocks + 2


def test_lenet_5_has_the_parameters_of_its_layers() -> None:
    layers = {"C1": 6 * 26, "C3": 16 * (6 * 25 + 1), "C5": 120 * 401, "F6": 84 * 121, "output": 10 * 85}
    assert parameter_count(LeNet5(10)) == sum(layers.values()) == 61_706


@pytest.mark.parametrize(("architecture", "side"), [("lenet5", 28), ("resnet20", 32), ("resnet20", 48)])
def test_they_give_a_logit_for_each_class(architecture: str, side: int) -> None:
    network = build_classifier(architecture, 7, {}).eval()
    assert network(torch.zeros(2, 3, side, side)).shape == (2, 7)
    assert is_classifier(architecture)
    assert fineness_for(architecture, side) == 1
    assert least_size(architecture) <= side


def test_a_shortcut_takes_every_second_pixel_and_adds_no_channels() -> None:
    network = CifarResNet(10).eval()
    block = network.stages[3]
    with torch.inference_mode():
        for parameter in block.parameters():
            parameter.zero_()  # so that only the shortcut is left
        features = torch.rand(1, 16, 8, 8)
        found = block(features)
    assert torch.equal(found[:, :16], features[:, :, ::2, ::2])
    assert not found[:, 16:].any()


def test_lenet_5_sees_the_mean_of_the_channels() -> None:
    network = LeNet5(10).eval()
    colour = torch.tensor(np.random.default_rng(0).normal(size=(1, 3, 28, 28)), dtype=torch.float32)
    grey = colour.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    torch.testing.assert_close(network(colour), network(grey))
