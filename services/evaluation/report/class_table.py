"""The table of classes: one row each, with a bar below every share."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup

from services.evaluation.kinds import KINDS, KindEvaluation
from services.evaluation.numbers import finite, share
from services.evaluation.report.charts import sparkline
from services.evaluation.report.comparison import Change, Comparison
from services.evaluation.report.metric_labels import NO_SHARE, column

_FEW: Final = 12
_FIRST: Final = ("class_id", "class_name", "targets")


@dataclass(frozen=True)
class ClassCell:
    """One number.

    Attributes:
        text: As it is written.
        key: To sort by; empty where there is no number.
        width: 0 to 100, percent of its bar; None where it has none.
    """

    text: str
    key: str
    width: float | None


@dataclass(frozen=True)
class ClassRow:
    """One class.

    Attributes:
        name: Of the class.
        targets: How many there are.
        cells: Its numbers.
        change: Of its main number, against the baseline.
        spark: Its curve of precision against recall, or empty.
    """

    name: str
    targets: ClassCell
    cells: tuple[ClassCell, ...]
    change: Change | None
    spark: Markup


@dataclass(frozen=True)
class ClassTable:
    """All classes.

    Attributes:
        columns: Heads of the numbers.
        main: Place of the main column among them; None where it is not there.
        target_head: What is counted.
        rows: The weakest first where there are many, or else in the model's order.
        weakest_first: Whether they are so.
        has_changes: Whether there is a baseline to compare with.
        has_sparks: Whether there are curves.
    """

    columns: tuple[str, ...]
    main: int | None
    target_head: str
    rows: tuple[ClassRow, ...]
    weakest_first: bool
    has_changes: bool
    has_sparks: bool


def class_table_of(result: Mapping[str, Any], comparison: Comparison | None) -> ClassTable:
    """Makes the table of a `result.json`; classes without a number stand at the end."""
    kind, rows = KINDS[result["model"]["kind"]], list(result["per_class"])
    names = list(dict.fromkeys(name for row in rows for name in row if name not in _FIRST))
    main = kind.main_column
    weakest_first = len(rows) > _FEW and main in names
    if weakest_first:
        rows.sort(key=lambda row: 2.0 if (value := finite(row.get(main))) is None else value)
    curves = _curves(result["details"])
    shown = tuple(_row(row, names, kind, comparison, curves) for row in rows)
    return ClassTable(
        tuple(column(kind, name) for name in names),
        names.index(main) if main in names else None,
        kind.unit.capitalize(),
        shown,
        weakest_first,
        any(row.change for row in shown),
        any(row.spark for row in shown),
    )


def _row(
    row: Mapping[str, Any],
    names: Sequence[str],
    kind: KindEvaluation,
    comparison: Comparison | None,
    curves: Mapping[int, Mapping[str, Any]],
) -> ClassRow:
    class_id, targets = row["class_id"], finite(row.get("targets"))
    curve = curves.get(class_id)
    spark = Markup("") if curve is None else sparkline(curve["recall"], curve["precision"], "precision against recall")
    change = (
        None if comparison is None else comparison.class_change(class_id, kind.main_column, row.get(kind.main_column))
    )
    return ClassRow(
        str(row["class_name"]),
        ClassCell(kind.write_count(targets), "" if targets is None else f"{targets:g}", None),
        tuple(_cell(name, row.get(name)) for name in names),
        change,
        spark,
    )


def _cell(name: str, value: Any) -> ClassCell:
    number = finite(value)
    if number is None:
        return ClassCell(share(None), "", None)
    width = None if name in NO_SHARE else round(100 * min(max(number, 0.0), 1.0), 1)
    return ClassCell(share(number), f"{number:.6g}", width)


def _curves(details: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    """The curve of every class that has one: at IoU 0.5 for objects."""
    rows = details.get("class_curves") or details.get("curves") or []
    return {row["class_id"]: row for row in rows if row.get("class_id") is not None}
