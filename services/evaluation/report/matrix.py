"""The confusion matrix as a coloured table: targets in rows, predictions in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from services.evaluation.numbers import count, finite, share, short_count

MOST_CLASSES: Final = 60
_ROOMY: Final = 8
_FITTING: Final = 24
_MOST_PAIRS: Final = 30
_SOFTER: Final = 0.6
"""Exponent (gamma) of shares, so that a confusion of some hundredths is visible."""
_DARK: Final = 0.55
BACKGROUND: Final = "nothing"
"""Name of the background: a missed object, or a false positive."""


@dataclass(frozen=True)
class Cell:
    """One number of the table.

    Attributes:
        text: What is written; empty for nothing.
        part: Share of the row as it is written; empty where there is no room for it.
        tint: 0 to 100, percent of the colour.
        style: `right` on the diagonal, `wrong` elsewhere, `none` without colour; and `dark` where it is strong.
        hint: The whole sentence.
    """

    text: str = ""
    part: str = ""
    tint: int = 0
    style: str = "none"
    hint: str = ""


@dataclass(frozen=True)
class Matrix:
    """The table.

    Attributes:
        names: Of the columns.
        rows: Name, total, and cells of each row.
        size: How much room a cell has.
        has_background: Whether the last row and column are of no object.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[Cell, ...]], ...]
    size: Literal["roomy", "fitting", "tight"]
    has_background: bool


@dataclass(frozen=True)
class ConfusedPair:
    """A confusion: the number of times that one class was predicted as another.

    Attributes:
        target: The ground-truth class.
        prediction: The predicted class.
        count: As it is written.
        width: 0 to 100, percent of the most frequent one.
    """

    target: str
    prediction: str
    count: str
    width: float


def matrix_of(confusion: Mapping[str, Any] | None, names: Mapping[int, str], unit: str) -> Matrix | None:
    """Makes the table.

    Args:
        confusion: `class_ids` (None for no object) and `matrix`, rows of targets; None where there is none.
        names: Class names by id.
        unit: What is counted, in the plural.

    Returns:
        None where there is none, or more than `MOST_CLASSES` classes.
    """
    if not confusion or not 0 < len(confusion["class_ids"]) <= MOST_CLASSES + 1:
        return None
    class_ids: list[int | None] = list(confusion["class_ids"])
    values = [[finite(one) or 0.0 for one in row] for row in confusion["matrix"]]
    titles = tuple(name_of(class_id, names) for class_id in class_ids)
    has_background = class_ids[-1] is None
    size = "roomy" if len(titles) <= _ROOMY else "fitting" if len(titles) <= _FITTING else "tight"
    columns = [sum(column) for column in zip(*values, strict=True)]
    rows: list[tuple[str, str, tuple[Cell, ...]]] = []
    for place, (title, row) in enumerate(zip(titles, values, strict=True)):
        falsely = has_background and place == len(titles) - 1
        wholes = columns if falsely else [sum(row)] * len(row)
        cells = tuple(
            Cell(text="·", hint="") if falsely and at == place
            else _cell(value, whole, (title, titles[at]), at == place, size == "roomy", unit)
            for at, (value, whole) in enumerate(zip(row, wholes, strict=True))
        )  # fmt: skip
        rows.append((title, count(sum(row)), cells))
    return Matrix(titles, tuple(rows), size, has_background)


def confused_pairs(details: Mapping[str, Any], names: Mapping[int, str]) -> tuple[ConfusedPair, ...]:
    """The most frequent confusions, the first the most frequent: as they are listed, or else from the matrix.

    Objects that were missed or are not there are not among them.
    """
    listed = details.get("most_confused")
    if listed is None:
        listed = _off_diagonal(details.get("confusion") or {"class_ids": [], "matrix": []})
    listed = listed[:_MOST_PAIRS]
    most = max((finite(one["count"]) or 0.0 for one in listed), default=0.0) or 1.0
    return tuple(
        ConfusedPair(
            name_of(one["target"], names),
            name_of(one["prediction"], names),
            count(one["count"]),
            round(100 * (finite(one["count"]) or 0.0) / most, 1),
        )
        for one in listed
    )


def name_of(class_id: int | None, names: Mapping[int, str]) -> str:
    """Name of a class, of the background, or of a class without a name."""
    return BACKGROUND if class_id is None else names.get(class_id, f"class {class_id}")


def _cell(value: float, whole: float, titles: tuple[str, str], same: bool, roomy: bool, unit: str) -> Cell:
    if not value:
        return Cell(text="0" if roomy else "")
    part = value / whole
    style = "right" if same else "wrong"
    tint = round(100 * part**_SOFTER)
    sentence = f"{titles[0]} → {titles[1]}: {count(value)} {unit}, {part:.1%}"
    return Cell(
        count(value) if value < 10_000 and roomy else short_count(value),
        share(part) if roomy else "",
        tint,
        f"{style} dark" if tint > 100 * _DARK else style,
        sentence,
    )


def _off_diagonal(confusion: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    class_ids: list[int | None] = list(confusion["class_ids"])
    pairs = [
        {"target": target, "prediction": prediction, "count": value}
        for target, row in zip(class_ids, confusion["matrix"], strict=True)
        for prediction, value in zip(class_ids, row, strict=True)
        if target is not None and prediction is not None and target != prediction and (finite(value) or 0) > 0
    ]
    return sorted(pairs, key=lambda one: -one["count"])
