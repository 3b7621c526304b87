"""What the units of one tensor see of the network's input, while receptive fields are followed through a network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from models.explaining.field_axis import FieldAxis


@dataclass(frozen=True)
class MapField:
    """The receptive fields of the units of a tensor.

    Attributes:
        axes: By axis of the image, see `models.explaining.receptive_field.ReceptiveField.axes`.
        dims: The dimension of the tensor that each axis is along; None where the axis is None. Two axes have the same
            dimension where their units were put into one row, as tokens are.
        sides: The number of units of each axis before they were put into one row; None where they are not, empty where
            they can no longer be told apart.
    """

    axes: tuple[FieldAxis | None, ...]
    dims: tuple[int | None, ...]
    sides: tuple[int, ...] | None = None

    @property
    def is_flat(self) -> bool:
        """Whether units were put into one row."""
        return self.sides is not None

    def moved(self, place: Callable[[int], int]) -> "MapField":
        """After dimensions were reordered.

        Args:
            place: From the dimension before to that after.
        """
        return replace(self, dims=tuple(None if dim is None else place(dim) for dim in self.dims))

    def changed(self, change: Callable[[int, FieldAxis], FieldAxis | None]) -> "MapField | None":
        """After each axis was changed.

        Args:
            change: From the dimension and the axis to the new axis; None where it is not known.

        Returns:
            None where one of them is not known.
        """
        axes: list[FieldAxis | None] = []
        for axis, dim in zip(self.axes, self.dims, strict=True):
            changed = None if axis is None or dim is None else change(dim, axis)
            if changed is None and axis is not None:
                return None
            axes.append(changed)
        return replace(self, axes=tuple(axes))

    def spread(self, dims: Sequence[int]) -> "MapField":
        """After units along some dimensions were mixed, all with all: these axes are seen whole."""
        kept = [dim is not None and dim not in dims for dim in self.dims]
        return MapField(
            tuple(axis if keep else None for axis, keep in zip(self.axes, kept, strict=True)),
            tuple(dim if keep else None for dim, keep in zip(self.dims, kept, strict=True)),
            self.sides if any(kept) else None,
        )

    def whole(self) -> "MapField":
        """After all units were mixed with all others."""
        return MapField((None,) * len(self.axes), (None,) * len(self.axes))


def joined(fields: Sequence[MapField]) -> MapField | None:
    """The union of the fields of tensors of one shape, unit by unit.

    Returns:
        None where it is not known: branches of different strides, or whose axes are along different dimensions.
    """
    first, *rest = fields
    for other in rest:
        if (both := _united(first, other)) is None:
            return None
        first = both
    return first


def _united(one: MapField, two: MapField) -> MapField | None:
    axes: list[FieldAxis | None] = []
    dims: list[int | None] = []
    for axis, other, dim, other_dim in zip(one.axes, two.axes, one.dims, two.dims, strict=True):
        if axis is None or other is None:
            axes.append(None)
            dims.append(None)
            continue
        both = axis.union(other)
        if both is None or dim != other_dim:
            return None
        axes.append(both)
        dims.append(dim)
    return MapField(tuple(axes), tuple(dims), one.sides if one.sides == two.sides else ())
