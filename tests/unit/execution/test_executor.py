"""Every faster way of running a network gives what the plain way gives."""

import numpy as np
import pytest
import torch
from torch import fx, nn
from torch.nn import functional

from models.classification.torchvision_networks import build, drop_auxiliary_heads
from models.entries import Preprocessing
from models.errors import NonFiniteOutput
from models.execution.executor import Executor
from models.execution.folding import fold_batch_norms, remove_idle_layers
from models.execution.graph import last_layers
from models.execution.rounding import diffuse_rounding
from models.runtime import Runtime, cpu_has_bf16
from models.sources.torchvision_weights import find_weights

pytestmark = pytest.mark.slow

PREPROCESSING = Preprocessing(64, 64, "bilinear", (123.0, 117.0, 104.0), (58.0, 57.0, 56.0))
PLAIN = Runtime(precision="fp32", fuse=False, channels_last=False)


def settled(network: nn.Module) -> nn.Module:
    """Gives batch norms statistics of their own, so that folding them is no empty exercise."""
    generator = torch.Generator().manual_seed(7)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            state = module.state_dict()
            for name, low, high in (
                ("running_mean", -0.2, 0.2),
                ("running_var", 0.5, 1.5),
                ("weight", 0.5, 1.5),
                ("bias", -0.2, 0.2),
            ):
                state[name].uniform_(low, high, generator=generator)
    return network.eval()


def torchvision_network(builder: str) -> nn.Module:
    torch.manual_seed(3)
    network = build(find_weights(f"torchvision/{builder}"), builder)
    drop_auxiliary_heads(network, builder)
    return settled(network)


def pictures(count: int, side: int = 64) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def assert_alike(got: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    assert got.shape == expected.shape and got.dtype == torch.float32
    assert (got - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize(
    "builder",
    ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1", "mnasnet0_5"],
)
def test_fused_networks_give_what_plain_ones_give(builder):
    network = torchvision_network(builder)
    expected = Executor(network, PREPROCESSING, PLAIN).run(pictures(3))
    assert_alike(Executor(network, PREPROCESSING, Runtime(precision="fp32")).run(pictures(3)), expected, 1e-4)
    if cpu_has_bf16():
        assert_alike(Executor(network, PREPROCESSING, Runtime(precision="bf16")).run(pictures(3)), expected, 0.1)


def test_no_batch_norm_is_left_of_a_resnet():
    traced = fx.symbolic_trace(torchvision_network("resnet18"))
    remove_idle_layers(traced)
    fold_batch_norms(traced)
    kinds = [type(module) for module in traced.modules()]
    assert kinds.count(nn.Conv2d) == 20 and nn.BatchNorm2d not in kinds


def test_a_batch_norm_that_shares_its_convolution_is_left_alone():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

        def forward(self, x):
            x = self.convolution(x)
            return self.norm(x) + x

    network = settled(Shared())
    traced = fx.symbolic_trace(network)
    fold_batch_norms(traced)
    images = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(traced(images), network(images))
    assert any(isinstance(module, nn.BatchNorm2d) for module in traced.modules())


def test_a_convolution_called_twice_keeps_both_norms():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.one, self.two = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4)

        def forward(self, x):
            return self.two(self.convolution(self.one(self.convolution(x))))

    network = settled(Twice())
    traced = fx.symbolic_trace(network)
    fold_batch_norms(traced)
    images = torch.rand(1, 4, 8, 8)
    torch.testing.assert_close(traced(images), network(images))


def test_a_network_that_cannot_be_traced_runs_as_it_is():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(3, 4)

        def forward(self, x):
            return self.head(x.mean((2, 3)) if x.sum() > 0 else -x.mean((2, 3)))

    network = Branching().eval()
    expected = Executor(network, PREPROCESSING, PLAIN).run(pictures(2))
    assert_alike(Executor(network, PREPROCESSING, Runtime(precision="fp32")).run(pictures(2)), expected, 1e-6)


def test_the_given_network_is_not_changed():
    network = torchvision_network("resnet18")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    Executor(network, PREPROCESSING, Runtime().resolve())
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


class TwoMaps(nn.Module):
    """Two answers of different sizes, one of them joined of two last layers, and a layer that is last and not last."""

    def __init__(self):
        super().__init__()
        self.stem, self.deep = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)
        self.one, self.other, self.shared = nn.Conv2d(8, 2, 1), nn.Conv2d(8, 3, 1), nn.Conv2d(8, 8, 1)

    def forward(self, x):
        x = functional.silu(self.stem(x))
        y = functional.relu(self.shared(self.deep(x)))
        return torch.cat([self.one(x), self.other(x)], 1), self.shared(y).flatten(2)


@pytest.mark.parametrize("precision", ["fp32", *(["bf16"] if cpu_has_bf16() else [])])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (32, 96)])
def test_a_network_of_several_outputs_gives_them_all_for_inputs_of_any_size(precision, height, width):
    torch.manual_seed(6)
    network = TwoMaps().eval()
    pixels = np.random.default_rng(5).integers(0, 256, (5, height, width, 3), dtype=np.uint8)
    expected = Executor(network, PREPROCESSING, PLAIN).run_all(pixels)
    executor = Executor(network, PREPROCESSING, Runtime(precision=precision))
    found = executor.run_all(pixels)
    assert [output.shape for output in found] == [
        (5, 5, height // 2, width // 2), (5, 8, height // 4 * width // 4)
    ]  # fmt: skip
    for got, wanted in zip(found, expected, strict=True):
        assert_alike(got, wanted, 1e-5 if precision == "fp32" else 0.02)


def test_the_last_layers_are_those_that_nothing_but_joining_follows():
    assert sorted(last_layers(fx.symbolic_trace(TwoMaps()))) == ["one", "other"]
    assert list(last_layers(fx.symbolic_trace(torchvision_network("resnet18")))) == ["fc"]
    assert last_layers(fx.symbolic_trace(torchvision_network("squeezenet1_1"))) == {}


def test_normalisation_is_that_of_the_model():
    class Channels(nn.Module):
        def forward(self, x):
            return x.mean((2, 3))

    images = np.full((1, 64, 64, 3), [181, 60, 160], np.uint8)
    output = Executor(Channels(), PREPROCESSING, PLAIN).run(images)
    torch.testing.assert_close(output, torch.tensor([[1.0, -1.0, 1.0]]))


def test_diffused_rounding_keeps_the_sum_of_a_kernel():
    kernels = torch.randn(16, 4, 5, 5, generator=torch.Generator().manual_seed(2)) * torch.logspace(-2, 2, 16).view(
        -1, 1, 1, 1
    )
    rounded = diffuse_rounding(kernels)
    assert torch.equal(rounded, rounded.bfloat16().float())
    assert torch.all(
        (rounded - kernels).abs() <= kernels.abs() * 2**-7 + 1e-3 * kernels.abs().amax((2, 3), keepdim=True) * 8
    )
    plain_error = (kernels.bfloat16().double().sum((2, 3)) - kernels.double().sum((2, 3))).abs()
    diffused_error = (rounded.double().sum((2, 3)) - kernels.double().sum((2, 3))).abs()
    assert diffused_error.mean() < plain_error.mean() / 10


class Reciprocal(nn.Module):
    """Divides by the sum of an image: what is all of the mean's grey gives infinity."""

    def forward(self, images):
        return 1 / images.sum((1, 2, 3), keepdim=True), images.sqrt()


def test_batch_with_numbers_that_are_not_finite_is_refused():
    executor = Executor(Reciprocal(), Preprocessing(8, 8, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), PLAIN)
    bright = np.full((2, 8, 8, 3), 9, np.uint8)
    assert torch.equal(executor.run_all(bright)[1], torch.full((2, 3, 8, 8), 3.0))
    bright[1] = 0
    with pytest.raises(NonFiniteOutput):
        executor.run_all(bright)
