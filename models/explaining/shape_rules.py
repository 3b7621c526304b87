"""How operations that only move numbers change receptive fields: slices, flips, padding, concatenation, views.

Networks are run on one image, so that a dimension of one number can be left out of account.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Final, cast

from models.explaining.field_axis import FieldAxis
from models.explaining.field_rules import Operation, Rule, elementwise, same
from models.explaining.map_field import MapField, joined


def slices(operation: Operation) -> MapField | None:
    """A range of units, or every n-th."""
    tensor, field = operation.fields[0]
    wanted = operation.arguments["dim"] % tensor.ndim
    given = slice(operation.arguments["start"], None, operation.arguments["step"])
    start, _, step = given.indices(cast("int", tensor.shape[wanted]))
    return _along(field, wanted, lambda axis: axis.window(1, step, -start), (start, step) == (0, 1))


def selection(operation: Operation) -> MapField | None:
    """One row of units; the dimensions behind it move up."""
    tensor, field = operation.fields[0]
    gone = operation.arguments["dim"] % tensor.ndim
    return None if gone in field.dims else field.moved(lambda dim: dim - (dim > gone))


def flip(operation: Operation) -> MapField | None:
    """The order of units reversed."""
    tensor, field = operation.fields[0]
    dims = [dim % tensor.ndim for dim in operation.arguments["dims"]]
    if field.is_flat:
        return None
    return field.changed(lambda dim, axis: axis.flipped(tensor.shape[dim]) if dim in dims else axis)


def padding(operation: Operation) -> MapField | None:
    """Units added at the borders, or cut off."""
    tensor, field = operation.fields[0]
    given: Sequence[int] = operation.arguments.get("pad") or operation.arguments["padding"]
    starts = {tensor.ndim - 1 - index // 2: given[index] for index in range(0, len(given), 2)}
    if field.is_flat:
        return field if not any(starts.get(dim or 0, 0) for dim in field.dims) else None
    return field.changed(lambda dim, axis: axis.window(1, 1, starts.get(dim, 0)))


def concatenation(operation: Operation) -> MapField | None:
    """Maps one behind the other along channels; further tokens, such as of the class, before or behind a row."""
    fields = [field for _, field in operation.fields]
    dim = operation.arguments["dim"] % operation.output.ndim
    together = joined(fields)
    if together is None or dim not in together.dims:
        return together
    return replace(together, sides=()) if together.is_flat else None


def stack(operation: Operation) -> MapField | None:
    """Maps one behind the other along a new dimension."""
    together = joined([field for _, field in operation.fields])
    new = operation.arguments["dim"] % operation.output.ndim
    return together and together.moved(lambda dim: dim + (dim >= new))


def split(operation: Operation) -> MapField | None:
    """Parts of a map along channels."""
    tensor, field = operation.fields[0]
    return None if operation.arguments["dim"] % tensor.ndim in field.dims else field


def unbind(operation: Operation) -> MapField | None:
    """One map for each place of a dimension, which is no longer there."""
    return selection(operation)


def unsqueeze(operation: Operation) -> MapField | None:
    """A new dimension of one number."""
    new = operation.arguments["dim"] % operation.output.ndim
    return operation.fields[0][1].moved(lambda dim: dim + (dim >= new))


def permutation(operation: Operation) -> MapField | None:
    """Dimensions in another order."""
    tensor, field = operation.fields[0]
    order = [dim % tensor.ndim for dim in operation.arguments["dims"]]
    return field.moved(order.index)


def transposition(operation: Operation) -> MapField | None:
    """Two dimensions exchanged; of a matrix both."""
    tensor, field = operation.fields[0]
    one, two = (operation.arguments.get(name, default) % tensor.ndim for name, default in (("dim0", 0), ("dim1", -1)))
    return field.moved(lambda dim: {one: two, two: one}.get(dim, dim))


def view(operation: Operation) -> MapField | None:
    """The same numbers in another shape: channels split or merged, maps put into one row, rows into maps."""
    tensor, field = operation.fields[0]
    if not any(field.axes):
        return field
    groups = _groups(tensor.shape, operation.output.shape)
    return None if groups is None else _viewed(field, tensor.shape, operation.output.shape, groups)


def pixel_shuffle(operation: Operation) -> MapField | None:
    """Channels become pixels."""
    factor = operation.arguments["upscale_factor"]
    return operation.fields[0][1].changed(lambda dim, axis: axis.nearest(1, factor))


def pixel_unshuffle(operation: Operation) -> MapField | None:
    """Pixels become channels."""
    factor = operation.arguments["downscale_factor"]
    return operation.fields[0][1].changed(lambda dim, axis: axis.window(factor, factor))


def _along(field: MapField, wanted: int, change: Callable[[FieldAxis], FieldAxis], is_idle: bool) -> MapField | None:
    if wanted not in field.dims or is_idle:
        return field
    if field.is_flat:
        return replace(field, sides=())
    return field.changed(lambda dim, axis: change(axis) if dim == wanted else axis)


_Group = tuple[list[int], list[int]]
"""Dimensions before and after, of more than one number each, that hold the same numbers."""


def _groups(before: Sequence[int], after: Sequence[int]) -> list[_Group] | None:
    """The finest grouping of the dimensions of two shapes of the same numbers; None for empty tensors."""
    ins, outs = ([dim for dim, side in enumerate(shape) if side != 1] for shape in (before, after))
    groups: list[_Group] = []
    while ins or outs:
        if not ins or not outs:
            return None
        group: _Group = ([ins.pop(0)], [outs.pop(0)])
        one, two = before[group[0][0]], after[group[1][0]]
        while one != two:
            if one < two and ins:
                group[0].append(ins.pop(0))
                one *= before[group[0][-1]]
            elif two < one and outs:
                group[1].append(outs.pop(0))
                two *= after[group[1][-1]]
            else:
                return None
        groups.append(group)
    return groups


def _viewed(field: MapField, before: Sequence[int], after: Sequence[int], groups: list[_Group]) -> MapField | None:
    viewed = field.spread([dim for dim in field.dims if dim is not None and before[dim] == 1])
    for ins, outs in groups:
        if not any(dim in ins for dim in viewed.dims) or len(ins) == len(outs) == 1:
            continue
        if len(outs) == 1:
            changed = _merged(viewed, ins, before)
        elif len(ins) > 1:
            return None
        elif viewed.is_flat:
            sides = tuple(after[dim] for dim in outs)
            return MapField(viewed.axes, tuple(outs)) if sides == viewed.sides else None
        else:  # the units of an axis in groups
            changed = _windowed(viewed, ins[0], prod(after[dim] for dim in outs[1:]))
        if changed is None:
            return None
        viewed = changed
    names = {dim: outs[0] for ins, outs in groups for dim in ins}
    return viewed.moved(names.__getitem__)


def _merged(field: MapField, ins: list[int], before: Sequence[int]) -> MapField | None:
    """Several dimensions become one: maps a row, or the units of an axis several numbers each."""
    held = [dim for dim in field.dims if dim in ins]
    if not field.is_flat and held == ins:
        return replace(field, sides=tuple(before[dim] for dim in ins))
    if not field.is_flat and held == ins[:1]:
        factor = prod(before[dim] for dim in ins[1:])
        return field.changed(lambda dim, axis: axis.nearest(1, factor) if dim == ins[0] else axis)
    return replace(field, sides=())


def _windowed(field: MapField, one: int, factor: int) -> MapField | None:
    return field.changed(lambda dim, axis: axis.window(factor, factor) if dim == one else axis)


SHAPE_RULES: Final[Mapping[str, Rule]] = {
    "slice": slices,
    "select": selection,
    "flip": flip,
    **dict.fromkeys(("constant_pad_nd", "reflection_pad2d", "replication_pad2d", "reflection_pad1d"), padding),
    "cat": concatenation,
    "stack": stack,
    **dict.fromkeys(("split", "split_with_sizes", "chunk"), split),
    "unbind": unbind,
    "unsqueeze": unsqueeze,
    "permute": permutation,
    **dict.fromkeys(("transpose", "t"), transposition),
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "_reshape_alias", "squeeze"), view),
    "expand": elementwise,
    "channel_shuffle": same,
    "native_channel_shuffle": same,
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
}
"""By name of the ATen operation, without its overload."""
