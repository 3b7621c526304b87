"""The sections of the page: converts a `result.json` to variables of the template."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup

from services.evaluation.kinds.kind_evaluation import Wording
from services.evaluation.numbers import count, duration, finite, moment, plain, share
from services.evaluation.report.charts import (
    Curve,
    f1_curve,
    precision_recall,
    reliability,
    score_histogram,
)
from services.evaluation.report.comparison import Comparison
from services.evaluation.report.metric_labels import ERRORS, OUTLINES, PROTOCOL, THROUGH, in_words

_TRUST: Final = (
    "The line on a bar is its accuracy; on the diagonal, that is the confidence. "
    "Orange: how far apart they are. Below: images of each bar."
)
_THRESHOLD: Final = "F1 at IoU 0.50 over all classes, for every threshold that a request could ask for."
_SCORES: Final = "Predictions by score, right (blue) and wrong (orange) at IoU 0.50; heights are logarithmic."


@dataclass(frozen=True)
class CurveChart:
    """Precision-recall curves, and the curves that a reader can select.

    Attributes:
        picture: SVG.
        picks: Texts of the curves that can be picked, by their places `c0`, `c1`, …; of one curve, none.
        legend: Style and text of what stands out.
        note: What the faint curves are.
    """

    picture: Markup
    picks: tuple[str, ...]
    legend: tuple[tuple[str, str], ...]
    note: str


@dataclass(frozen=True)
class ErrorBar:
    """One error type.

    Attributes:
        words: Name and meaning.
        count: How often.
        lost: mAP at IoU 0.50 that it costs.
        width: 0 to 100, percent of the longest bar.
    """

    words: Wording
    count: str
    lost: str
    width: float


Lines = Sequence[tuple[str, str]]
"""Names and values of a list of settings."""


def curve_chart(
    details: Mapping[str, Any], names: Mapping[int, str], comparison: Comparison | None
) -> CurveChart | None:
    """The curves of a classifier or of objects; None where there are none."""
    rows = details.get("curves") or []
    if not rows:
        return None
    return _iou_chart(rows, comparison) if "iou" in rows[0] else _class_chart(rows, names)


def _iou_chart(rows: Sequence[Mapping[str, Any]], comparison: Comparison | None) -> CurveChart:
    curves: list[Curve] = []
    legend: list[tuple[str, str]] = []
    for place, row in enumerate(rows):
        iou = float(row["iou"])
        style = {0.5: "main", 0.75: "second"}.get(round(iou, 2), "faint")
        curves.append(Curve(f"IoU {iou:.2f}", row["recall"], row["precision"], f"{style} c{place}"))
        if style != "faint":
            legend.append((style, f"IoU {iou:.2f}"))
    earlier = comparison.baseline["details"].get("curves") if comparison and comparison.possible else None
    before = next((row for row in earlier or [] if round(float(row.get("iou", 0)), 2) == 0.5), None)
    if before is not None:
        curves.append(Curve("Baseline at IoU 0.50", before["recall"], before["precision"], "before"))
        legend.append(("before", "baseline, IoU 0.50"))
    picture = precision_recall(curves, "Precision against recall at each IoU threshold")
    picks = tuple(f"{float(row['iou']):.2f}" for row in rows) if len(rows) > 1 else ()
    note = "Mean over classes. Faint: the other IoU thresholds." if picks else "Mean over classes."
    return CurveChart(picture, picks, tuple(legend), note)


def _class_chart(rows: Sequence[Mapping[str, Any]], names: Mapping[int, str]) -> CurveChart:
    curves = [
        Curve("All classes", row["recall"], row["precision"], "main")
        if row["class_id"] is None
        else Curve(names.get(row["class_id"], f"class {row['class_id']}"), row["recall"], row["precision"], "faint")
        for row in rows
    ]
    picture = precision_recall(curves, "Precision against recall")
    note = "Every decision for or against a class counts once. Faint: single classes." if len(curves) > 1 else ""
    return CurveChart(picture, (), (("main", "all classes"),), note)


def score_charts(result: Mapping[str, Any]) -> tuple[tuple[str, str, Markup], ...]:
    """Charts of scores and confidence, each with its title and a sentence."""
    details = result["details"]
    charts: list[tuple[str, str, Markup]] = []
    if one := details.get("reliability"):
        drawn = reliability(one["edges"], one["confidence"], one["accuracy"], one["count"])
        charts.append(("Can its confidence be trusted?", _TRUST, drawn))
    if one := details.get("f1_curve"):
        best = one["best_score"], (result["headline"].get("f1") or {}).get("value")
        drawn = f1_curve(one["scores"], one["f1"], best)
        charts.append(("Which score threshold is best?", _THRESHOLD, drawn))
    if one := details.get("scores"):
        drawn = score_histogram(one["edges"], one["true"], one["false"])
        charts.append(("Does the score tell right from wrong?", _SCORES, drawn))
    return tuple(charts)


def error_bars(details: Mapping[str, Any]) -> tuple[ErrorBar, ...]:
    """Error types by descending cost."""
    rows = [(finite(row.get("delta_map_50")), row) for row in details.get("errors") or []]
    rows.sort(key=lambda one: -(one[0] or 0.0))
    longest = max((lost or 0.0 for lost, _ in rows), default=0.0) or 1.0
    return tuple(
        ErrorBar(
            ERRORS.get(row["name"]) or Wording(in_words(row["name"])),
            count(row["count"]),
            share(lost),
            round(100 * max(lost or 0.0, 0.0) / longest, 1),
        )
        for lost, row in rows
    )


def protocol_lines(result: Mapping[str, Any]) -> Lines:
    """The most important settings, shown beside the figures."""
    protocol = result["protocol"]
    values = [(words, protocol[name]) for name, words in PROTOCOL.items() if name in protocol]
    return [(words, OUTLINES.get(str(value)) or plain(value)) for words, value in values]


def replicates(result: Mapping[str, Any]) -> str:
    """Number of bootstrap replicates."""
    number = finite((result["protocol"].get("bootstrap") or {}).get("replicates"))
    return "many times over" if number is None else f"{count(number)} times"


def run_lines(result: Mapping[str, Any]) -> tuple[tuple[str, Lines], ...]:
    """Settings of the run: model, data, run, everything that figures depend on, and versions."""
    model, data, time = result["model"], result["data"], result.get("time") or {}
    classes = data.get("classes") or {}
    return (
        (
            "Model",
            [
                ("Name", plain(model["name"])),
                ("Version", plain(model["version"])),
                ("Task", plain(model.get("task"))),
                ("Weights", plain(model.get("weights_digest"))),
                *_flat("Runtime", model.get("runtime")),
                *_flat("Told", model.get("parameters")),
            ],
        ),
        (
            "Data",
            [
                ("Name", plain(data["name"])),
                ("Read from", plain(data.get("spec"))),
                ("Digest", plain(data.get("digest"))),
                ("Images", count(data.get("images"))),
                ("Limit", count(result["limit"]) if result.get("limit") else "none"),
                ("Classes measured", count(classes.get("measured"))),
                ("Unknown to the model", plain(classes.get("unknown") or "none")),
            ],
        ),
        (
            "Run",
            [
                ("Through", THROUGH.get(str(result.get("through")), plain(result.get("through")))),
                ("Started", moment(time.get("started_at"))),
                ("Finished", moment(time.get("finished_at"))),
                ("Took", duration(time.get("seconds"))),
                ("Images per second", _rate(time.get("images_per_s"))),
                ("Workers", count(time.get("workers"))),
            ],
        ),
        ("Figures", [(in_words(name), plain(value)) for name, value in result["protocol"].items()]),
        ("Versions", [(name, plain(value)) for name, value in (result.get("versions") or {}).items()]),
    )


def _flat(title: str, values: Mapping[str, Any] | None) -> Lines:
    return [(f"{title}: {name.replace('_', ' ')}", plain(value)) for name, value in (values or {}).items()]


def _rate(value: Any) -> str:
    number = finite(value)
    return plain(None) if number is None else f"{number:.1f}" if number < 100 else count(number)
