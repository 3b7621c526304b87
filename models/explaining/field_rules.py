"""How each operation of torch changes receptive fields: convolution, pooling, resizing, reduction, matrix products.

`models.explaining.shape_rules` has those that only move numbers. The names are those of torch's ATen operations
(https://docs.pytorch.org/docs/stable/torch.compiler_ir.html). After an operation without a rule, the receptive field is
unknown.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from torch import Tensor

from models.explaining.field_axis import FieldAxis
from models.explaining.map_field import MapField, joined


@dataclass(frozen=True, eq=False)
class Operation:
    """One call of an ATen operation.

    Attributes:
        arguments: By name of its schema.
        fields: Receptive fields of the tensors among the arguments that depend on the input; known, at least one.
        output: Its result, or the first of several.
    """

    arguments: Mapping[str, Any]
    fields: Sequence[tuple[Tensor, MapField]]
    output: Tensor

    @property
    def only(self) -> tuple[Tensor, MapField] | None:
        """The only tensor that depends on the input; None where several do."""
        return self.fields[0] if len(self.fields) == 1 else None

    def field_of(self, name: str) -> MapField | None:
        """The field of an argument by name; None where that does not depend on the input."""
        return next((field for tensor, field in self.fields if tensor is self.arguments[name]), None)


Rule = Callable[[Operation], MapField | None]
"""From an operation to the field of its outputs; None where that is not known."""


def elementwise(operation: Operation) -> MapField | None:
    """Units are combined one by one, after broadcasting."""
    aligned: list[MapField] = []
    shape = operation.output.shape
    for tensor, field in operation.fields:
        shift = len(shape) - tensor.ndim
        stretched = [dim for dim in range(tensor.ndim) if tensor.shape[dim] == 1 and shape[dim + shift] > 1]
        aligned.append(field.spread(stretched).moved(lambda dim, shift=shift: dim + shift))
    return joined(aligned)


def same(operation: Operation) -> MapField | None:
    """A copy."""
    return operation.fields[0][1]


def source(operation: Operation) -> MapField | None:
    """`copy_`, which takes the place of what was there."""
    return operation.field_of("src")


def convolution(operation: Operation) -> MapField | None:
    """Convolutions and transposed ones; a kernel that depends on the input is not followed."""
    found = operation.only
    if found is None or found[0] is not operation.arguments["input"] or found[1].is_flat:
        return None
    kernel = operation.arguments["weight"].shape[2:]
    named = {name: _listed(operation.arguments[name], len(kernel)) for name in ("stride", "padding", "dilation")}
    transposed = bool(operation.arguments["transposed"])

    def change(dim: int, axis: FieldAxis) -> FieldAxis | None:
        place = dim - found[0].ndim + len(kernel)
        if place < 0:
            return None
        stride, padding, dilation = (named[name][place] for name in ("stride", "padding", "dilation"))
        make = axis.transposed_window if transposed else axis.window
        return make(kernel[place], stride, padding, dilation)

    return found[1].changed(change)


def pooling(operation: Operation) -> MapField | None:
    """Maximum and average pooling of windows."""
    tensor, field = operation.fields[0]
    arguments = operation.arguments
    count = max(tensor.ndim - 2, len(arguments["kernel_size"]))
    kernel = _listed(arguments["kernel_size"], count)
    stride = _listed(arguments["stride"] or kernel, count)
    padding, dilation = _listed(arguments["padding"], count), _listed(arguments.get("dilation", 1), count)

    def change(dim: int, axis: FieldAxis) -> FieldAxis | None:
        place = dim - tensor.ndim + count
        return axis.window(kernel[place], stride[place], padding[place], dilation[place]) if place >= 0 else None

    return None if field.is_flat else field.changed(change)


def adaptive_pooling(operation: Operation) -> MapField | None:
    """Adaptive pooling: to one unit it sees all."""
    return _resized(operation, lambda axis, before, after: axis.adaptive(before, after) if after > 1 else None)


def nearest(operation: Operation) -> MapField | None:
    """Nearest-neighbour resizing."""
    return _resized(operation, lambda axis, before, after: axis.nearest(before, after))


def nearest_exact(operation: Operation) -> MapField | None:
    """Nearest-neighbour resizing that samples the middle of units."""
    return _resized(operation, lambda axis, before, after: axis.nearest(before, after, Fraction(1, 2)))


def interpolation(taps: int) -> Rule:
    """Linear (2 taps) or cubic (4 taps) resizing."""

    def rule(operation: Operation) -> MapField | None:
        corners = bool(operation.arguments["align_corners"])
        return _resized(operation, lambda axis, before, after: axis.interpolated(before, after, taps, corners))

    return rule


def reduction(name: str = "dim") -> Rule:
    """Sums, means, maxima over some dimensions, or all; without `keepdim` the others move up.

    Args:
        name: Of the argument with the dimensions.
    """

    def rule(operation: Operation) -> MapField | None:
        tensor, field = operation.fields[0]
        given = operation.arguments.get(name)
        dims = range(tensor.ndim) if given is None or given == [] else [dim % tensor.ndim for dim in _listed(given, 1)]
        spread = field.spread(list(dims))
        if operation.output.ndim == tensor.ndim:
            return spread
        return spread.moved(lambda dim: dim - sum(gone < dim for gone in dims))

    return rule


def softmax(operation: Operation) -> MapField | None:
    """Softmax along one dimension."""
    tensor, field = operation.fields[0]
    return field.spread([operation.arguments["dim"] % tensor.ndim])


def layer_norm(operation: Operation) -> MapField | None:
    """Normalisation over the last dimensions."""
    tensor, field = operation.fields[0]
    count = len(operation.arguments["normalized_shape"])
    return field.spread(list(range(tensor.ndim - count, tensor.ndim)))


def batch_norm(operation: Operation) -> MapField | None:
    """Batch normalisation: in evaluation mode each unit by itself, with statistics of the batch all together."""
    field = operation.fields[0][1]
    return field.whole() if operation.arguments.get("training", False) else field


def everything(operation: Operation) -> MapField | None:
    """All units are mixed: group norms, attention."""
    return operation.fields[0][1].whole()


def product(left: str, right: str) -> Rule:
    """Matrix products: of units and weights, or of units and units, as in attention.

    Args:
        left: Name of the first matrix.
        right: Name of the second matrix.
    """

    def rule(operation: Operation) -> MapField | None:
        first, second = (operation.field_of(name) for name in (left, right))
        if first is not None and second is not None:
            return first.whole()
        if first is not None:
            return first.spread([operation.arguments[left].ndim - 1])
        return second and second.spread([operation.arguments[right].ndim - 2])

    return rule


def _resized(operation: Operation, change: Callable[[FieldAxis, int, int], FieldAxis | None]) -> MapField | None:
    tensor, field = operation.fields[0]
    if field.is_flat or tensor.ndim != operation.output.ndim:
        return None
    axes = list(field.axes)
    dims = list(field.dims)
    for index, (axis, dim) in enumerate(zip(field.axes, field.dims, strict=True)):
        if axis is None or dim is None:
            continue
        before, after = tensor.shape[dim], operation.output.shape[dim]
        axes[index] = axis if before == after else change(axis, before, after)
        dims[index] = None if axes[index] is None else dim
    return MapField(tuple(axes), tuple(dims))


def _listed(value: Any, count: int) -> list[int]:
    """One number, or a list of one, for every axis."""
    values = [value] if isinstance(value, int) else list(value)
    return values * count if len(values) == 1 else values


RULES: Final[Mapping[str, Rule]] = {
    "convolution": convolution,
    "_convolution": convolution,
    **dict.fromkeys(("max_pool2d_with_indices", "avg_pool2d", "max_pool2d", "avg_pool1d", "max_pool1d"), pooling),
    **dict.fromkeys(
        ("_adaptive_avg_pool2d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool2d"), adaptive_pooling
    ),
    **dict.fromkeys(("upsample_nearest1d", "upsample_nearest2d"), nearest),
    **dict.fromkeys(("_upsample_nearest_exact1d", "_upsample_nearest_exact2d"), nearest_exact),
    **dict.fromkeys(("upsample_linear1d", "upsample_bilinear2d"), interpolation(2)),
    "upsample_bicubic2d": interpolation(4),
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "var", "std", "var_mean", "prod"), reduction()),
    "linalg_vector_norm": reduction(),
    **dict.fromkeys(("_softmax", "_log_softmax"), softmax),
    "native_layer_norm": layer_norm,
    **dict.fromkeys(
        ("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training"), batch_norm
    ),
    **dict.fromkeys(
        (
            "native_group_norm",
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_attention_math",
            "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_flash_attention",
            "_native_multi_head_attention",
            "_transformer_encoder_layer_fwd",
        ),
        everything,
    ),
    "addmm": product("mat1", "mat2"),
    "mm": product("self", "mat2"),
    "bmm": product("self", "mat2"),
    "baddbmm": product("batch1", "batch2"),
    **dict.fromkeys(("clone", "_to_copy", "detach", "alias", "lift_fresh", "native_dropout", "contiguous"), same),
    "copy_": source,
    **dict.fromkeys(("hardswish", "hardsigmoid", "_prelu_kernel"), elementwise),  # not among those that torch tags
}
"""By name of the ATen operation, without its overload."""
