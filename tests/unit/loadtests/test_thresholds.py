"""The bounds of a Locust run: read whole or refused, and judged by known numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from loadtests.thresholds import KINDS, TASKS, Seen, ThresholdsError, broken, read_thresholds
from loadtests.under_load import users_rows
from tests.checkout import ROOT

SHIPPED = ROOT / "loadtests" / "thresholds.yaml"


def _document() -> dict[str, Any]:
    return {"error_share": 0.01, "p95_ms": {task: dict.fromkeys(KINDS, 100) for task in TASKS}}


def _written(tmp_path: Path, document: Any) -> Path:
    path = tmp_path / "thresholds.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_shipped_thresholds_have_a_bound_for_every_kind_of_request():
    assert len(read_thresholds(SHIPPED).p95_ms) == len(TASKS) * len(KINDS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda document: document["p95_ms"]["detect"].pop("new"), "p95_ms.detect.new is missing"),
        (lambda document: document["p95_ms"].update(clasify={}), "p95_ms.clasify is unknown"),
        (lambda document: document.update(error_share="few"), "error_share must be a number"),
        (lambda document: document["p95_ms"]["detect"].update(new=-1), "p95_ms.detect.new must be a number"),
        (lambda document: document.update(p95_ms=5), "p95_ms must be a mapping"),
    ],
)
def test_thresholds_that_are_not_whole_are_refused_with_their_place(tmp_path: Path, change: Any, message: str):
    document = _document()
    change(document)
    with pytest.raises(ThresholdsError, match=message):
        read_thresholds(_written(tmp_path, document))


def test_file_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(ThresholdsError, match="cannot be read"):
        read_thresholds(tmp_path / "none.yaml")


def test_run_within_its_bounds_breaks_none(tmp_path: Path):
    thresholds = read_thresholds(_written(tmp_path, _document()))
    assert broken(thresholds, {("classify", "new"): Seen(100, 1, 100.0), ("models", ""): Seen(3, 0, 900.0)}) == []


def test_each_broken_bound_is_one_line(tmp_path: Path):
    thresholds = read_thresholds(_written(tmp_path, _document()))
    seen = {("classify", "new"): Seen(100, 2, 101.0), ("segment", "bad"): Seen(50, 0, 99.0)}
    assert broken(thresholds, seen) == [
        "classify new: p95 101 ms, above 100 ms",
        "2 of 150 requests failed, more than 1.00%",
    ]


def test_run_without_requests_is_broken(tmp_path: Path):
    assert broken(read_thresholds(_written(tmp_path, _document())), {}) == ["no request was made"]


def test_row_of_a_locust_run_has_the_percentiles_of_its_times():
    entry = {"name": "classify new", "num_requests": 100, "num_failures": 1, "response_times": {"10": 94, "30": 6}}
    (row,) = users_rows([entry], seconds=20)
    assert (row.rate, row.p50_ms, row.p95_ms, row.p99_ms, row.errors) == (5.0, 10.0, 30.0, 30.0, "1 of 100")
