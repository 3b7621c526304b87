"""What the numbers say, in a few sentences, for who reads nothing else."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from services.evaluation.report.metric_labels import ERRORS, MAIN_COLUMN
from services.evaluation.report.numbers import count, finite, share


def summary_of(result: Mapping[str, Any]) -> tuple[str, ...]:
    """Makes up to four sentences from a `result.json`; what was not measured is not spoken of."""
    kind = result["model"]["kind"]
    tell = _TELLERS.get(kind)
    sentences = [*(tell(result) if tell else []), *_extremes(result), *_failures(result)]
    return tuple(sentences)


def _classification(result: Mapping[str, Any]) -> list[str]:
    top1, top5, ece = (_value(result, name) for name in ("top1", "top5", "ece"))
    sentences: list[str] = []
    if top1 is not None:
        sentence = f"The right class comes first for {_of_hundred(top1)} images"
        more = "" if top5 is None else f", and is among the first five for {_of_hundred(top5, short=True)}"
        sentences.append(f"{sentence}{more}.")
    if ece is not None:
        sentences.append(f"What it says of its own certainty is off by {share(ece)} on average.")
    return sentences


def _objects(result: Mapping[str, Any]) -> list[str]:
    precision, recall = _value(result, "precision"), _value(result, "recall")
    best = finite((result["details"].get("f1_curve") or {}).get("best_score"))
    sentences: list[str] = []
    if precision is not None and recall is not None:
        at = "At its best score threshold" if best is None else f"At its best score threshold, {best:.2f},"
        sentences.append(
            f"{at} it finds {_of_hundred(recall)} objects, and of a hundred that it finds, "
            f"{_of_hundred(precision, short=True)} are there."
        )
    errors = [one for one in result["details"].get("errors") or [] if (finite(one.get("delta_map_50")) or 0) >= 0.0005]
    if errors:
        worst = max(errors, key=lambda one: one["delta_map_50"])
        words = _LOST_TO.get(worst["name"]) or ERRORS[worst["name"]].label.lower()
        sentences.append(f"Most is lost to {words}: {share(worst['delta_map_50'])} of mAP at IoU 0.50.")
    return sentences


def _semantic(result: Mapping[str, Any]) -> list[str]:
    accuracy = _value(result, "pixel_accuracy")
    boundary, iou = _value(result, "boundary_iou"), _value(result, "iou")
    sentences: list[str] = []
    if accuracy is not None:
        sentences.append(f"It names the right class for {_of_hundred(accuracy)} pixels.")
    if boundary is not None and iou is not None:
        sentences.append(f"Near outlines IoU is {share(boundary)}, over whole regions {share(iou)}.")
    return sentences


def _extremes(result: Mapping[str, Any]) -> list[str]:
    """The strongest and the weakest class, where there are three or more, and no other is as strong or as weak."""
    column = MAIN_COLUMN.get(result["model"]["kind"], "")
    rows = [(value, row["class_name"]) for row in result["per_class"] if (value := finite(row.get(column))) is not None]
    if len(rows) < 3:
        return []
    rows.sort()
    (low, weakest), (next_low, _), (next_high, _), (high, strongest) = rows[0], rows[1], rows[-2], rows[-1]
    ends = [f"strongest class: {strongest} ({share(high)})"] if share(high) != share(next_high) else []
    ends += [f"weakest class: {weakest} ({share(low)})"] if share(low) != share(next_low) else []
    return [f"{words[:1].upper()}{words[1:]}." for words in ends]


def _failures(result: Mapping[str, Any]) -> list[str]:
    failed = (result.get("failed") or {}).get("count") or 0
    return [f"{count(failed)} {'image' if failed == 1 else 'images'} could not be answered."] if failed else []


def _value(result: Mapping[str, Any], name: str) -> float | None:
    return finite((result["headline"].get(name) or {}).get("value"))


def _of_hundred(part: float, *, short: bool = False) -> str:
    """A share as a person says it, with a decimal where whole numbers would hide that it is not all or nothing."""
    percent = 100 * part
    digits = f"{percent:.0f}" if 1 <= percent <= 99 or percent in (0, 100) else f"{percent:.1f}"
    return digits if short else f"{digits} of a hundred"


_LOST_TO: Final[Mapping[str, str]] = {
    "localisation": "objects whose outlines do not fit",
    "classification": "objects that are taken for another class",
    "both": "objects of the wrong class in the wrong place",
    "duplicate": "objects that are found twice",
    "background": "objects that are not there",
    "missed": "objects that are not found",
}

_TELLERS: Final[Mapping[str, Callable[[Mapping[str, Any]], list[str]]]] = {
    "classification": _classification,
    "detection": _objects,
    "instance": _objects,
    "semantic": _semantic,
}
