"""Follows receptive fields through a network while it runs, operation by operation."""

# pyright: reportMissingTypeStubs=false

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from models.explaining.field_axis import FieldAxis
from models.explaining.field_rules import RULES, Operation, Rule, elementwise, everything
from models.explaining.map_field import MapField
from models.explaining.receptive_field import ReceptiveField
from models.explaining.shape_rules import SHAPE_RULES

_RULES: Final[Mapping[str, Rule]] = {**RULES, **SHAPE_RULES}
_WITHOUT_VALUES: Final = ("empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like")
"""Operations that take only the shape of their argument; those of `new_zeros` begin with `new_`."""


class FieldTracing(TorchDispatchMode):
    """Within this context, every tensor that is computed from an image is known with its receptive field.

    Args:
        image: The input of the network, (1, channels, rows, columns) or (1, channels, samples).
    """

    def __init__(self, image: Tensor) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self._known: Any = WeakTensorKeyDictionary()
        dims = tuple(range(2, image.ndim))
        self._known[image] = MapField((FieldAxis(),) * len(dims), dims)

    def field_of(self, tensor: Tensor) -> ReceptiveField | None:
        """The receptive field of a tensor; None where it is not known, or the tensor does not depend on the image."""
        found = self._known.get(tensor)
        return None if found is None else ReceptiveField(found.axes)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Runs an operation and keeps the fields of its outputs."""
        given = kwargs or {}
        inputs = [
            (tensor, self._known[tensor]) for tensor in _tensors((*args, *given.values())) if tensor in self._known
        ]
        result = func(*args, **given)
        outputs = list(_tensors((result,)))
        if not inputs or not outputs:
            return result
        name = func.overloadpacket.__name__
        if name in _WITHOUT_VALUES or name.startswith("new_"):
            return result
        if all(field is not None for _, field in inputs):
            field = _followed(func, name, _bound(func, args, given), inputs, outputs[0])
        else:
            field = None
        for output in outputs:
            self._known[output] = field
        return result


def _followed(
    func: Any, name: str, arguments: Mapping[str, Any], inputs: list[tuple[Tensor, MapField]], output: Tensor
) -> MapField | None:
    rule = _RULES.get(name) or _RULES.get(name.removesuffix("_"))
    if rule is None and _is_pointwise(func, name):
        rule = elementwise
    if rule is None and not any(axis for _, field in inputs for axis in field.axes):
        rule = everything
    return rule and rule(Operation(arguments, inputs, output))


def _is_pointwise(func: Any, name: str) -> bool:
    if torch.Tag.pointwise in func.tags:
        return True
    packet: Any = getattr(torch.ops.aten, name.removesuffix("_"), None)
    names: Iterator[str] = iter(()) if packet is None else iter(packet.overloads())
    return any(torch.Tag.pointwise in getattr(packet, overload).tags for overload in names)


def _bound(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by the names of the operation's schema."""
    declared = func._schema.arguments
    defaults = {argument.name: argument.default_value for argument in declared}
    return {**defaults, **dict(zip((argument.name for argument in declared), args, strict=False)), **kwargs}


def _tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(cast("Sequence[Any]", value))
