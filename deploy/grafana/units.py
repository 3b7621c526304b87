"""Numbers with the units of Grafana, as short as they fit beside an axis."""

from __future__ import annotations

import math

_TIMES = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_THOUSANDS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def with_unit(value: float, unit: str) -> str:
    """A number in three digits, with its unit.

    Args:
        value: In the unit's own measure: seconds, a share from 0 to 1, events a second.
        unit: Grafana's id of the unit: `s`, `percentunit`, `reqps`, `ops` or `short`.
    """
    if not math.isfinite(value):
        return "–"
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        step, name = next((row for row in _TIMES if abs(value) >= row[0]), _TIMES[-1])
        return f"{value / step:.3g} {name}" if value else "0 s"
    step, name = next((row for row in _THOUSANDS if abs(value) >= row[0]), (1.0, ""))
    return f"{value / step:.3g}{name}" + ("/s" if unit in ("reqps", "ops") else "")


def nice_ceiling(value: float) -> float:
    """The smallest of 1, 2, 2.5, 4, 5 and 10 times a power of ten that is at least a number; 1 for 0 and less."""
    if value <= 0 or not math.isfinite(value):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in (1, 2, 2.5, 4, 5, 10, 20) if power * step >= value * (1 - 1e-9))
