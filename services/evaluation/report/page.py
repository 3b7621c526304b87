"""Renders the report as one self-contained HTML file.

It loads nothing from the network: pictures are data URIs, charts are SVG, and a content security policy in its head
enforces that, too. It is complete without JavaScript, which only sorts the table of classes. File names, class names
and messages are untrusted; jinja2 escapes them all.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from models.files import replaced
from services.evaluation import numbers
from services.evaluation.kinds import KINDS
from services.evaluation.report.class_table import class_table_of
from services.evaluation.report.comparison import Comparison
from services.evaluation.report.headline import headline_of
from services.evaluation.report.matrix import confused_pairs, matrix_of
from services.evaluation.report.metric_labels import GROUPS, THROUGH, in_words
from services.evaluation.report.pictures import Pair
from services.evaluation.report.sections import (
    curve_chart,
    error_bars,
    protocol_lines,
    replicates,
    run_lines,
    score_charts,
)
from services.evaluation.report.summary import summary_of

Group = Literal["best", "worst", "confidently_wrong"]

_HERE: Final = Path(__file__).parent
_MOST_SHOWN: Final = 100
"""Lines of label problems, and of failed images."""


@dataclass(frozen=True)
class ReportPicture:
    """One image of the report.

    Attributes:
        group: Why it is shown.
        name: File name.
        caption: One line, such as its IoU.
        pair: As `draw_pair` drew it.
    """

    group: Group
    name: str
    caption: str
    pair: Pair


@dataclass(frozen=True)
class ReportInput:
    """The input of a report.

    Attributes:
        result: The run's `result.json`; None and NaN are missing numbers.
        baseline: Another run's, to compare with.
        pictures: In the order in which they are shown within their groups.
        class_names: The model's, for classes that were predicted and not measured; those of `per_class` need none.
    """

    result: Mapping[str, Any]
    baseline: Mapping[str, Any] | None = None
    pictures: Sequence[ReportPicture] = ()
    class_names: Sequence[str] = ()


def write_report(report: ReportInput, path: Path) -> None:
    """Writes the page, atomically replacing an old one.

    Args:
        report: What it shows.
        path: Of the file, in a folder that exists.

    Raises:
        OSError: It cannot be written.
    """
    with replaced(path) as file:
        file.write(render(report).encode())


def render(report: ReportInput) -> str:
    """Renders the page as text."""
    return _environment().get_template("page.html.j2").render(_context(report))


def _context(report: ReportInput) -> dict[str, Any]:
    """The variables of the template."""
    result, details = report.result, report.result["details"]
    comparison = None if report.baseline is None else Comparison.of(result, report.baseline)
    names = dict(enumerate(report.class_names)) | {row["class_id"]: row["class_name"] for row in result["per_class"]}
    kind = KINDS[result["model"]["kind"]]
    style, script = Markup(_text("page.css")), Markup(_text("page.js.j2"))
    return {
        "style": style,
        "script": script,
        "script_hash": b64encode(sha256(script.encode()).digest()).decode(),
        "result": result,
        "kind": kind.title,
        "through": THROUGH.get(str(result.get("through")), str(result.get("through"))),
        "started": numbers.moment((result.get("time") or {}).get("started_at")),
        "comparison": comparison,
        "headline": headline_of(result, comparison),
        "summary": summary_of(result),
        "protocol": protocol_lines(result),
        "replicates": replicates(result),
        "curves": curve_chart(details, names, comparison),
        "classes": class_table_of(result, comparison),
        "matrix": matrix_of(details.get("confusion"), names, kind.unit),
        "pairs": confused_pairs(details, names),
        "score_charts": score_charts(result),
        "errors": error_bars(details),
        "groups": _groups(report.pictures),
        "problems": _problems(result),
        "failed": _failed(result),
        "run": run_lines(result),
    }


def _groups(pictures: Sequence[ReportPicture]) -> list[tuple[str, str, list[ReportPicture]]]:
    """Name, meaning and pictures of every group that has some."""
    groups = [(words, [one for one in pictures if one.group == group]) for group, words in GROUPS.items()]
    return [(words.label, words.meaning, chosen) for words, chosen in groups if chosen]


def _problems(result: Mapping[str, Any]) -> dict[str, Any]:
    problems = result["data"].get("problems") or {}
    kinds = sorted((problems.get("by_kind") or {}).items(), key=lambda one: -one[1])
    return {
        "count": problems.get("count") or 0,
        "kinds": [(in_words(kind), number) for kind, number in kinds],
        "shown": list(problems.get("shown") or [])[:_MOST_SHOWN],
    }


def _failed(result: Mapping[str, Any]) -> dict[str, Any]:
    failed = result.get("failed") or {}
    return {"count": failed.get("count") or 0, "shown": list(failed.get("shown") or [])[:_MOST_SHOWN]}


def _data_uri(file: bytes) -> str:
    return f"data:image/webp;base64,{b64encode(file).decode('ascii')}"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    filters = {name: getattr(numbers, name) for name in ("count", "share")}
    environment.filters.update(filters, data_uri=_data_uri)
    return environment


def _text(name: str) -> str:
    return (_HERE / name).read_text("utf-8")
