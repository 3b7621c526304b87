"""Text output of each task: a table on a terminal, tab-separated lines in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.bar import Bar
from rich.table import Table
from rich.text import Text

from services.cli.console import printable

if TYPE_CHECKING:
    from services.client.predictions import Box, ClassPrediction, Detection, Instance, Pose, Region

_SCORE_WIDTH = 6
_NAME_RATIO = 2
_BEST, _OTHER = "bold green", ""


@dataclass(frozen=True, slots=True)
class Layout:
    """The output format of a task.

    Attributes:
        doing: Text of the progress bar.
        nothing: Text for an image without predictions.
        table: The rows of an answer on a terminal.
        fields: One row in a pipe.
    """

    doing: str
    nothing: str
    table: Callable[[Sequence[Any]], Table]
    fields: Callable[[Any], Sequence[str]]


def _class_table(rows: Sequence[ClassPrediction]) -> Table:
    table = _table_of_scores()
    table.add_column(ratio=1)
    for rank, row in enumerate(rows):
        style, bar_color = (_OTHER, "bright_black") if rank else (_BEST, "green")
        table.add_row(
            Text(f"{row.probability:.1%}", style),
            Text(printable(row.class_name), style),
            Bar(1.0, 0.0, row.probability, color=bar_color),
        )
    return table


def _class_fields(row: ClassPrediction) -> Sequence[str]:
    return f"{row.probability:.4f}", printable(row.class_name)


def _object_table(rows: Sequence[Detection]) -> Table:
    table = _table_of_scores()
    table.add_column(ratio=_NAME_RATIO, no_wrap=True)
    for rank, row in enumerate(rows):
        style, box = _OTHER if rank else _BEST, row.box
        place = f"x {box.x_min:.0f}–{box.x_max:.0f}, y {box.y_min:.0f}–{box.y_max:.0f}"
        table.add_row(Text(f"{row.score:.1%}", style), Text(printable(row.class_name), style), Text(place, "dim"))
    return table


def _object_fields(row: Detection) -> Sequence[str]:
    return f"{row.score:.4f}", printable(row.class_name), *_edges(row.box)


def _pose_table(rows: Sequence[Pose]) -> Table:
    """Score, class, how many key points are visible, and the box."""
    table = _table_of_scores()
    table.add_column(ratio=1, justify="right", no_wrap=True)
    table.add_column(ratio=_NAME_RATIO, no_wrap=True)
    for rank, row in enumerate(rows):
        style, box = _OTHER if rank else _BEST, row.box
        seen = sum(point.visible for point in row.keypoints)
        place = f"x {box.x_min:.0f}–{box.x_max:.0f}, y {box.y_min:.0f}–{box.y_max:.0f}"
        table.add_row(
            Text(f"{row.score:.1%}", style),
            Text(printable(row.class_name), style),
            Text(f"{seen} of {len(row.keypoints)} key points", "dim"),
            Text(place, "dim"),
        )
    return table


def _pose_fields(row: Pose) -> Sequence[str]:
    """Score, class, box, then `name=x,y` of every visible key point."""
    points = (f"{printable(point.name)}={point.x:.1f},{point.y:.1f}" for point in row.keypoints if point.visible)
    return f"{row.score:.4f}", printable(row.class_name), *_edges(row.box), *points


def _mask_table(rows: Sequence[Instance | Region]) -> Table:
    """Score, where there is one, class, area and share of the image."""
    table = _table_of_scores()
    table.add_column(ratio=1, justify="right", no_wrap=True)
    table.add_column(ratio=_NAME_RATIO, no_wrap=True)
    for rank, row in enumerate(rows):
        style, score = _OTHER if rank else _BEST, _score_of(row)
        table.add_row(
            Text("" if score is None else f"{score:.1%}", style),
            Text(printable(row.class_name), style),
            Text(f"{row.area_pixels:,} px", "dim"),
            Text(f"{row.fraction:.1%} of the image", style),
        )
    return table


def _mask_fields(row: Instance | Region) -> Sequence[str]:
    score, box = _score_of(row), getattr(row, "box", None)
    return (
        printable(row.class_name),
        str(row.area_pixels),
        f"{row.fraction:.4f}",
        *(() if score is None else (f"{score:.4f}",)),
        *(() if box is None else _edges(box)),
    )


def _score_of(row: Instance | Region) -> float | None:
    """The score of an object, or the probability of a class where requested."""
    return getattr(row, "score", getattr(row, "probability", None))


def _edges(box: Box) -> Sequence[str]:
    return [f"{edge:.1f}" for edge in (box.x_min, box.y_min, box.x_max, box.y_max)]


def _table_of_scores() -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False, expand=True)
    table.add_column(width=_SCORE_WIDTH, justify="right")
    table.add_column(ratio=_NAME_RATIO, overflow="fold")
    return table


CLASSES = Layout("classifying", "no classes", _class_table, _class_fields)
OBJECTS = Layout("detecting", "no objects", _object_table, _object_fields)
POSES = Layout("estimating poses", "nobody", _pose_table, _pose_fields)
MASKS = Layout("segmenting", "no masks", _mask_table, _mask_fields)

LAYOUTS: dict[str, Layout] = {
    "classification": CLASSES,
    "detection": OBJECTS,
    "keypoints": POSES,
    "segmentation": MASKS,
}
"""The layout of every task."""
