"""The receptive field of a layer: the pixels of the network's input that one unit of its output can depend on."""

from dataclasses import dataclass

from models.explaining.field_axis import FieldAxis


@dataclass(frozen=True)
class ReceptiveField:
    """The receptive field of a layer, by axis: (rows, columns) of an image, (samples,) of a signal.

    It is the theoretical one, of an input without borders, see `models.explaining.field_axis`. Where branches of the
    network meet, it is the largest.

    Attributes:
        axes: None for an axis that every unit sees the whole of, however long: after global pooling, a linear layer on
            all units, attention.
    """

    axes: tuple[FieldAxis | None, ...]

    @property
    def whole_image(self) -> bool:
        """Whether every unit sees the whole image."""
        return not any(self.axes)

    @property
    def size(self) -> tuple[int | None, ...]:
        """By axis, the pixels from the first to the last that a unit sees; None: all."""
        return tuple(axis and axis.size for axis in self.axes)

    @property
    def stride(self) -> tuple[float | None, ...]:
        """By axis, the pixels from one unit to the next (the jump); None where every unit sees all."""
        return tuple(axis and float(axis.stride) for axis in self.axes)

    @property
    def turned_axes(self) -> tuple[int, ...]:
        """The axes along which the feature map is turned around against the image, such as within EfficientNet-Lite."""
        return tuple(index for index, axis in enumerate(self.axes) if axis is not None and axis.step < 0)

    def pixels(self, unit: tuple[int, ...], input_size: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        """The pixels that a unit sees.

        Args:
            unit: Its place in the feature map, by axis.
            input_size: Pixels of the network's input, by axis.

        Returns:
            By axis the first and the last pixel, inclusive, within the input.
        """
        return tuple(
            self.pixels_along(axis, place, side)
            for axis, (place, side) in enumerate(zip(unit, input_size, strict=True))
        )

    def pixels_along(self, axis: int, place: int, side: int) -> tuple[int, int]:
        """The pixels that a unit sees along one axis.

        Args:
            axis: Its index.
            place: Of the unit along it.
            side: Pixels of the network's input along it.

        Returns:
            The first and the last pixel, inclusive, within the input.
        """
        found = self.axes[axis]
        low, high = found.pixels(place) if found else (0, side - 1)
        return min(max(0, low), side - 1), max(0, min(side - 1, high))

    def to_dict(self) -> dict[str, object]:
        """JSON-able: `whole_image`, and lists of `size` and `stride` in pixels by axis, null where the axis is seen
        whole."""
        return {"whole_image": self.whole_image, "size": list(self.size), "stride": list(map(_number, self.stride))}


def _number(stride: float | None) -> float | None:
    return int(stride) if stride is not None and stride.is_integer() else stride
