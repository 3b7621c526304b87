"""Convolutions packed for oneDNN, the CPU library inside torch, together with what follows them.

Eager torch runs a convolution, the addition of a shortcut and the activation as three passes over memory, and puts the
weights into the library's own order at every call. Here they become one call with weights ordered once, through the
operators that torch's own compiler uses (`torch.ops.mkldnn`, see torch/_inductor/fx_passes/mkldnn_fusion.py), but with
nothing to compile. The result is the same but for the order of rounding.
"""

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.passes.shape_prop import ShapeProp, TensorMetadata
from torch.nn import functional

from models.execution.graph import module_at, only_user

Activation = tuple[str, list[float], str]
"""oneDNN's name of an elementwise function, its scalars, and its algorithm."""

_NO_ACTIVATION: Final[Activation] = ("none", [], "")
_RELU: Final[Activation] = ("relu", [], "")
_ACTIVATION_MODULES: Final[dict[type[nn.Module], Activation]] = {
    nn.ReLU: _RELU,
    nn.ReLU6: ("hardtanh", [0.0, 6.0], ""),
    nn.Hardswish: ("hardswish", [], ""),
    nn.SiLU: ("swish", [], ""),
}
_ACTIVATION_FUNCTIONS: Final[tuple[Callable[..., Any], ...]] = (functional.relu, torch.relu)
_ADDITIONS: Final = frozenset({"add", "iadd"})
"""Names of the functions in `operator` and in `torch`."""


def can_pack() -> bool:
    """Returns whether this build of torch has the operators."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


class PackedConvolution(nn.Module):
    """A convolution with optional fused residual addition and activation.

    Args:
        convolution: What to pack; its padding must be zeros, given in numbers.
        activation: What follows it.
        input_shape: (N, C, H, W) of a typical input, where it is known; others work too.
        dtype: Of the weights, and of the inputs to come.
    """

    def __init__(
        self, convolution: nn.Conv2d, activation: Activation, input_shape: torch.Size | None, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self._geometry = (
            list(convolution.padding),
            list(convolution.stride),
            list(convolution.dilation),
            convolution.groups,
        )
        self._activation = activation
        self._weight: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
            convolution.weight.detach().to(dtype, memory_format=torch.channels_last),
            *self._geometry,
            None if input_shape is None else list(input_shape),
        )
        self._bias = None if convolution.bias is None else convolution.bias.detach().to(dtype)

    def forward(self, images: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Computes activation(convolution(images) + shortcut).

        Args:
            images: (N, C, H, W) of the dtype that was packed for.
            shortcut: Of the output's shape, where there is one.

        Returns:
            (N, C', H', W') of the same dtype.
        """
        name, scalars, algorithm = self._activation
        if shortcut is None:
            return torch.ops.mkldnn._convolution_pointwise(
                images, self._weight, self._bias, *self._geometry, name, scalars, algorithm
            )
        unary = None if self._activation == _NO_ACTIVATION else name
        return torch.ops.mkldnn._convolution_pointwise.binary(
            images, shortcut, self._weight, self._bias, *self._geometry, "add", 1.0, unary, scalars, algorithm
        )


def pack_convolutions(
    traced: fx.GraphModule, example: Tensor, dtype: torch.dtype, kept: frozenset[str] = frozenset()
) -> int:
    """Packs the convolutions of a network, in place.

    Args:
        traced: A float32 network in evaluation mode, its batch norms folded. Its other layers are left alone, also in
            their dtype.
        example: (1, C, H, W) float32 input of the usual size.
        dtype: float32 or bfloat16, of the packed layers and of the inputs to come.
        kept: Names of convolutions to leave as they are.

    Returns:
        Bytes of the largest activation for one image.
    """
    # Fake tensors have shapes and no numbers: a network of 800 × 1333 pixels is gone through in 0.3 s instead of 8.
    ShapeProp(traced, fake_mode=FakeTensorMode()).propagate(example)
    largest = max(shape.numel() for node in traced.graph.nodes if (shape := _shape(node)) is not None)
    for index, node in enumerate(list(traced.graph.nodes)):
        convolution = module_at(traced, node, nn.Conv2d)
        if convolution is None or node.target in kept:
            continue
        if not isinstance(convolution.padding, str) and convolution.padding_mode == "zeros":
            _pack(traced, node, convolution, f"packed_{index}", dtype)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return largest * dtype.itemsize


def _pack(traced: fx.GraphModule, node: fx.Node, convolution: nn.Conv2d, name: str, dtype: torch.dtype) -> None:
    """Replaces a convolution and its fused operations by one call at the position of the last of them."""
    images = node.args[0]
    assert isinstance(images, fx.Node)
    absorbed, shortcut = [node], _shortcut_of(node)
    if shortcut is not None:
        absorbed.append(next(iter(node.users)))
    follower = only_user(absorbed[-1])
    activation = _activation_of(traced, follower)
    if activation is not None and follower is not None:
        absorbed.append(follower)
    packed = PackedConvolution(convolution, activation or _NO_ACTIVATION, _shape(images), dtype)
    traced.add_submodule(name, packed)
    with traced.graph.inserting_before(absorbed[-1]):
        call = traced.graph.call_module(name, (images,) if shortcut is None else (images, shortcut))
    call.meta = absorbed[-1].meta
    absorbed[-1].replace_all_uses_with(call)
    for done in reversed(absorbed):
        traced.graph.erase_node(done)


def _shortcut_of(convolution: fx.Node) -> fx.Node | None:
    """Returns the other operand of an addition to a convolution's value, of the same shape, if it is the only user."""
    addition = only_user(convolution)
    if addition is None or addition.op != "call_function":
        return None
    if getattr(addition.target, "__name__", "") not in _ADDITIONS:
        return None
    if addition.kwargs or len(addition.args) != 2:
        return None
    others = [argument for argument in addition.args if argument is not convolution]
    if len(others) != 1 or not isinstance(others[0], fx.Node):
        return None
    return others[0] if _shape(others[0]) == _shape(convolution) else None


def _activation_of(traced: fx.GraphModule, node: fx.Node | None) -> Activation | None:
    if node is None:
        return None
    if node.op == "call_function":
        return _RELU if node.target in _ACTIVATION_FUNCTIONS else None
    module = module_at(traced, node, nn.Module)
    return None if module is None else _ACTIVATION_MODULES.get(type(module))


def _shape(node: fx.Node) -> torch.Size | None:
    """The shape of a node's value; None where it is no tensor."""
    described = node.meta.get("tensor_meta")
    return described.shape if isinstance(described, TensorMetadata) else None
