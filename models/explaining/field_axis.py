"""Receptive fields along one axis: which pixels each unit of a feature map sees.

Araujo et al., "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019
(https://distill.pub/2019/computing-receptive-fields), describe a layer by the size, the stride and the start of its
receptive field. After upsampling, neighbouring units may see the same pixels, so that here the first and the last pixel
are kept for each of the units of one period; for convolutions and pooling alone the period is 1 and the numbers are
theirs.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, gcd, lcm


@dataclass(frozen=True)
class FieldAxis:
    """The pixels that the units of a feature map see along one axis, on an axis without ends.

    Unit i = r + p * P, with 0 <= r < P, sees the pixels from `lows[r] + p * step` to `highs[r] + p * step`.

    Attributes:
        lows: The first pixels of one period of P units.
        highs: The last pixels, inclusive.
        step: Pixels from one period to the next; negative where the map is turned around.
    """

    lows: tuple[int, ...] = (0,)
    highs: tuple[int, ...] = (0,)
    step: int = 1

    @property
    def size(self) -> int:
        """The largest number of pixels that a unit sees, from the first to the last."""
        return max(high - low + 1 for low, high in zip(self.lows, self.highs, strict=True))

    @property
    def stride(self) -> Fraction:
        """Pixels from one unit to the next, above 0; a fraction only where units outnumber pixels."""
        return abs(Fraction(self.step, len(self.lows)))

    def pixels(self, unit: int) -> tuple[int, int]:
        """The first and the last pixel that a unit sees; either may lie outside the image."""
        period, phase = divmod(unit, len(self.lows))
        return self.lows[phase] + period * self.step, self.highs[phase] + period * self.step

    def window(self, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> "FieldAxis":
        """After a convolution or pooling.

        Args:
            kernel: Units that it reads.
            stride: Units from one window to the next.
            padding: Units that were added at the start.
            dilation: Units between two that it reads.
        """
        reach = dilation * (kernel - 1) + 1
        return self._gathered(
            lambda unit: range(unit * stride - padding, unit * stride - padding + reach, dilation), 1, stride
        )

    def transposed_window(self, kernel: int, stride: int, padding: int, dilation: int) -> "FieldAxis | None":
        """After a transposed convolution; None where some units see nothing."""

        def read(unit: int) -> list[int]:
            taps = (unit + padding - dilation * tap for tap in range(kernel))
            return [tap // stride for tap in taps if tap % stride == 0]

        return self._gathered(read, stride, 1) if all(map(read, range(stride))) else None

    def flipped(self, length: int) -> "FieldAxis":
        """After the order of `length` units was reversed."""
        return self._gathered(lambda unit: (length - 1 - unit,), 1, -1)

    def nearest(self, before: int, after: int, offset: Fraction = Fraction(0)) -> "FieldAxis":
        """After nearest-neighbour resizing.

        Args:
            before: Units before.
            after: Units after.
            offset: Where in a unit it is sampled, 0 to 1.
        """
        return self._resized(before, after, lambda unit: (floor((unit + offset) * Fraction(before, after)),))

    def interpolated(self, before: int, after: int, taps: int, align_corners: bool) -> "FieldAxis | None":
        """After linear (2 taps) or cubic (4 taps) resizing without antialiasing; None from or to one unit with corners.

        Args:
            before: Units before.
            after: Units after.
            taps: Units that are interpolated between.
            align_corners: Whether the first and the last units keep their places.
        """
        if align_corners:
            if before == 1 or after == 1:
                return None
            scale, shift = Fraction(before - 1, after - 1), Fraction(0)
        else:
            scale = Fraction(before, after)
            shift = (scale - 1) / 2

        def read(unit: int) -> Iterable[int]:
            place = unit * scale + shift
            if place.denominator == 1:
                return (int(place),)
            return range(floor(place) - taps // 2 + 1, floor(place) + taps // 2 + 1)

        return (
            self._gathered(read, scale.denominator, scale.numerator)
            if scale
            else FieldAxis(self.lows[:1], self.highs[:1])
        )

    def adaptive(self, before: int, after: int) -> "FieldAxis":
        """After adaptive pooling, with several units left."""
        ratio = Fraction(before, after)
        return self._resized(before, after, lambda unit: range(floor(unit * ratio), ceil((unit + 1) * ratio)))

    def union(self, other: "FieldAxis") -> "FieldAxis | None":
        """Where maps of two branches meet, unit by unit: all pixels that either sees.

        Args:
            other: Of the other branch.

        Returns:
            None where the branches have different strides, or one of them is turned around.
        """
        if self.step * len(other.lows) != other.step * len(self.lows):
            return None
        period = lcm(len(self.lows), len(other.lows))
        both = [(self.pixels(unit), other.pixels(unit)) for unit in range(period)]
        return FieldAxis(
            tuple(min(one[0], two[0]) for one, two in both),
            tuple(max(one[1], two[1]) for one, two in both),
            self.step * (period // len(self.lows)),
        )

    def _resized(self, before: int, after: int, read: Callable[[int], Iterable[int]]) -> "FieldAxis":
        ratio = Fraction(before, after)
        return self._gathered(read, ratio.denominator, ratio.numerator)

    def _gathered(self, read: Callable[[int], Iterable[int]], period: int, advance: int) -> "FieldAxis":
        """Units that read units of this axis; those that unit i + period reads are `advance` units further on."""
        own = len(self.lows)
        repeats = own // gcd(own, advance)
        seen = [[self.pixels(unit) for unit in read(place)] for place in range(period * repeats)]
        return FieldAxis(
            tuple(min(low for low, _ in units) for units in seen),
            tuple(max(high for _, high in units) for units in seen),
            self.step * (advance * repeats // own),
        )
