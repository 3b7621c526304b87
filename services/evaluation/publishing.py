"""Publishes a finished run: writes its HTML report, and records its figures for the gateways that serve the model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.accuracy.recorded_run import MAX_NAME
from services.accuracy.store import RecordedRun, record_run
from services.evaluation.job import Finished
from services.evaluation.kinds import KINDS
from services.evaluation.report.page import Group, ReportInput, ReportPicture, write_report
from services.evaluation.report.pictures import draw_pair
from services.evaluation.run_folder import REPORT
from services.settings import Settings

PICTURES: Final = 6
"""Pictures of each group."""


def write_page(run: Finished, baseline: Mapping[str, Any] | None = None) -> Path:
    """Writes `report.html` into the folder of a run.

    Args:
        run: The run; its chunks must still be there.
        baseline: The result of an earlier run, to compare with.

    Returns:
        Path of the page.
    """
    path = run.folder.path / REPORT
    write_report(ReportInput(run.result, baseline, list(_pictures(run)), run.facts.class_names), path)
    return path


def publish(run: Finished, page: Path, settings: Settings) -> str:
    """Records a run, so that gateways that serve the same weights show its figures.

    One with augmentation is recorded beside that of the same data without, and drift is not compared with it.

    Args:
        run: The run.
        page: Its report.
        settings: Location of the record store.

    Returns:
        Location of the record, for people.

    Raises:
        StoreError: it cannot be recorded.
    """
    result = run.result
    is_augmented = bool(result["model"]["parameters"].get("augment"))
    recorded = RecordedRun(
        model=run.facts.name,
        version=run.facts.version,
        weights_digest=run.facts.weights_digest,
        kind=run.facts.kind,
        dataset=_augmented_name(run.data.name) if is_augmented else run.data.name,
        dataset_digest=run.data.digest,
        through=result["through"],
        images=result["data"]["images"],
        finished_at_s=datetime.fromisoformat(result["time"]["finished_at"]).timestamp(),
        figures={name: _triple(figure) for name, figure in result["headline"].items()},
        protocol=result["protocol"],
        reference=None if is_augmented else result["reference"],
        report=str(page.absolute()),
    )
    return record_run(recorded, settings)


def _augmented_name(dataset: str) -> str:
    suffix = " (augmented)"
    return f"{dataset[: MAX_NAME - len(suffix)]}{suffix}"


def _triple(figure: Mapping[str, float | None]) -> tuple[float, float, float]:
    return _or_nan(figure["value"]), _or_nan(figure["low"]), _or_nan(figure["high"])


def _or_nan(number: float | None) -> float:
    return math.nan if number is None else number


def _pictures(run: Finished) -> Iterator[ReportPicture]:
    """Pictures of the report, with objects above the score threshold of the best F1."""
    kind = KINDS[run.facts.kind]
    best_score = run.result["details"].get("f1_curve", {}).get("best_score")
    for group, index, number in chosen(run):
        sample = run.data.load(index)
        target = run.match.translate(sample.target)
        assert target is not None
        answer = run.line(index)["answer"]
        pair = draw_pair(sample.image, target, answer, run.facts.class_names, best_score, run.match.measured)
        chosen_by = kind.mistake if group == "confidently_wrong" else kind.quality
        yield ReportPicture(group, sample.name, f"{chosen_by} {number:.3f}", pair)


def chosen(run: Finished) -> Iterator[tuple[Group, int, float]]:
    """The images to show: group, index, and the value by which they are ranked."""
    ranking = run.ranking
    smallest_first: dict[Group, NDArray[np.float64]] = {
        "best": -ranking.quality,
        "worst": ranking.quality,
        "confidently_wrong": -ranking.wrong_confidence,
    }
    for group, keys in smallest_first.items():
        values = abs(keys)
        for place in _first(keys):
            yield group, int(ranking.indices[place]), float(values[place])


def _first(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices of the smallest values, without NaN; stable for equal ones."""
    order = np.argsort(values, kind="stable")
    return order[~np.isnan(values[order])][:PICTURES]
