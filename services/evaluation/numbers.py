"""Formats numbers for reports: shares with three decimals, counts with thin spaces, a dash for missing values.

Every function takes a JSON value: a number, or None; NaN and infinity count as missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

DASH: Final = "–"
_MINUS: Final = "\u2212"
_THIN: Final = "\u202f"
_STEPS: Final = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def finite(value: Any) -> float | None:
    """Gives a number as float; None where it is none, or not finite. Booleans are no numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def share(value: Any) -> str:
    """Writes a share, 0 to 1, with three decimals; a dash where it is not there."""
    number = finite(value)
    return DASH if number is None else _signless(f"{number:.3f}")


def signed(value: Any) -> str:
    """Writes a difference of shares with its sign and three decimals; what rounds to nothing has no sign."""
    number = finite(value)
    if number is None:
        return DASH
    digits = f"{abs(number):.3f}"
    if float(digits) == 0:
        return digits
    return (_MINUS if number < 0 else "+") + digits


def count(value: Any) -> str:
    """Writes a whole number with thin spaces between thousands."""
    number = finite(value)
    return DASH if number is None else f"{round(number):,}".replace(",", _THIN)


def short_count(value: Any) -> str:
    """Writes a whole number in at most four characters up to a trillion, such as `1.2k`, for narrow cells."""
    number = finite(value)
    if number is None:
        return DASH
    for step, unit in _STEPS:
        if abs(number) >= step * 0.9995:
            scaled = number / step
            digits = f"{scaled:.1f}".removesuffix(".0") if abs(scaled) < 9.95 else f"{scaled:.0f}"
            return digits + unit
    return f"{number:.0f}"


def duration(seconds: Any) -> str:
    """Writes how long something took, in its two largest units."""
    number = finite(seconds)
    if number is None:
        return DASH
    if number < 60:
        return f"{number:.1f} s"
    minutes, rest = divmod(round(number), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def moment(value: Any) -> str:
    """Writes an ISO time as day and minute, with its zone; text that is none stays as it is."""
    text = str(value) if value else DASH
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{at.day} {at:%B %Y, %H:%M} {at.tzname() or ''}".strip()


def plain(value: Any) -> str:
    """Writes a setting: numbers short, lists with commas, and nothing as a dash."""
    if value is None or value == "" or value == [] or value == {}:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}" if math.isfinite(value) else DASH
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(value, dict):
        return ", ".join(f"{key} {plain(one)}" for key, one in value.items())  # pyright: ignore[reportUnknownVariableType]
    return str(value)


def of_hundred(part: float, *, short: bool = False) -> str:
    """Writes a share as a person says it, with a decimal where a whole number would read as all or nothing."""
    percent = 100 * part
    digits = f"{percent:.0f}" if 1 <= percent <= 99 or percent in (0, 100) else f"{percent:.1f}"
    return digits if short else f"{digits} of a hundred"


def headline_value(result: Mapping[str, Any], name: str) -> float | None:
    """Returns a headline figure of a `result.json`; None where it was not measured."""
    figure: Mapping[str, Any] = result["headline"].get(name) or {}
    return finite(figure.get("value"))


def _signless(text: str) -> str:
    """Takes the sign from a zero."""
    return text.removeprefix("-") if float(text) == 0 else text
