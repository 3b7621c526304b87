"""The record of one kind of predictions: its metric, its request parameters, and its words in reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from services.evaluation.numbers import count

if TYPE_CHECKING:
    from services.evaluation.predictors import ModelFacts
    from services.evaluation.scoring import Metric


class Wording(NamedTuple):
    """Label and meaning of a figure in reports.

    Attributes:
        label: A few words.
        meaning: One sentence; may be empty.
    """

    label: str
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Request parameters of detectors and instance segmenters in an evaluation.

    Attributes:
        score_threshold: Low by default: average precision is computed over all scores.
        iou_threshold: Of NMS; None takes the model's own. Instance segmenters have no such parameter.
        max_detections: The most objects of an image that count, best first.
    """

    score_threshold: float = 0.001
    iou_threshold: float | None = None
    max_detections: int = 100


@dataclass(frozen=True)
class KindEvaluation:
    """The evaluation of one kind.

    Attributes:
        title: Name of the kind in reports.
        unit: What the metric counts, plural: `images`, `objects` or `pixels`.
        metric: Makes the metric from the model's class names, its class ids that the data set has too, and the most
            objects of an image that count.
        parameters: Request parameters of an evaluation, by their names in the HTTP API.
        figures: Label and meaning of every headline figure.
        main: The headline figure that the kind is known by.
        leading: Headline figures that are shown beside the main one; all others follow in small.
        columns: Head of every column of the class table.
        main_column: The column by which classes are compared.
        terminal_columns: Columns of the class table on a terminal.
        quality: What `Ranking.quality` is, for captions of pictures.
        mistake: What `Ranking.wrong_confidence` is, for captions of pictures.
        summary: Makes sentences from a `result.json`; figures that were not measured are skipped.
        protocol: Settings that are fixed in the network, added to the protocol of a result.
        write_count: Formats the number of targets of a class.
        kept_predictions: The most predictions of an image that are written to disk; None keeps all.
        writes_targets: Whether the ground truth is written as a COCO annotation file.
        has_background: Whether class 0 is the background.
        matches_by_place: Whether classes are matched by place where data set and model have the same list of names,
            which may hold a name twice.
    """

    title: str
    unit: str
    metric: Callable[[tuple[str, ...], tuple[int, ...], int], Metric]
    parameters: Callable[[ModelFacts, Thresholds], dict[str, Any]]
    figures: Mapping[str, Wording]
    main: str
    leading: tuple[str, ...]
    columns: Mapping[str, str]
    main_column: str
    terminal_columns: tuple[str, ...]
    quality: str
    mistake: str
    summary: Callable[[Mapping[str, Any]], list[str]]
    protocol: Mapping[str, Any] = field(default_factory=dict[str, Any])
    write_count: Callable[[Any], str] = count
    kept_predictions: int | None = None
    writes_targets: bool = False
    has_background: bool = False
    matches_by_place: bool = False
