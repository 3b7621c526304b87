"""The parts of a report: numbers as they are written, geometry of charts, tables, and differences."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from services.evaluation import numbers
from services.evaluation.report.axes import Axes
from services.evaluation.report.charts import Curve, f1_curve, precision_recall, reliability, score_histogram
from services.evaluation.report.class_table import class_table_of
from services.evaluation.report.comparison import change
from services.evaluation.report.matrix import confused_pairs, matrix_of
from services.evaluation.report.sections import error_bars

NAMES = {0: "cat", 1: "dog", 2: "cow"}
SQUARE = Axes(width=120, height=120, left=10, right=10, top=10, bottom=10)
"""One hundred units by one hundred."""


@pytest.mark.parametrize(
    ("value", "text"), [(0.41249, "0.412"), (1, "1.000"), (-0.0001, "0.000"), (math.nan, "–"), (None, "–"), (True, "–")]
)
def test_share_has_three_decimals(value: Any, text: str) -> None:
    assert numbers.share(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.0123, "+0.012"), (-0.5, "−0.500"), (-0.0004, "0.000"), (None, "–")])
def test_difference_has_a_sign_unless_it_is_nothing(value: Any, text: str) -> None:
    assert numbers.signed(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (1000, "1k"), (1234, "1.2k"), (9960, "10k"), (999_600, "1M"), (18_200_000, "18M")],
)
def test_short_count_fits_a_narrow_cell(value: int, text: str) -> None:
    assert numbers.short_count(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(2.04, "2.0 s"), (89.3, "1 min 29 s"), (3_725, "1 h 2 min")])
def test_duration_is_written_in_two_units(seconds: float, text: str) -> None:
    assert numbers.duration(seconds) == text


def test_moment_has_day_and_zone_and_other_text_stays() -> None:
    assert numbers.moment("2026-05-03T14:02:11+00:00") == "3 May 2026, 14:02 UTC"
    assert numbers.moment("yesterday") == "yesterday"


def test_axes_put_zero_at_the_lower_left_and_cut_what_lies_beyond() -> None:
    assert (SQUARE.x(0), SQUARE.y(0)) == (10, 110)
    assert (SQUARE.x(0.25), SQUARE.y(0.25)) == (35, 85)
    assert (SQUARE.x(7), SQUARE.y(-3)) == (110, 110)


def test_line_is_broken_where_a_number_is_missing() -> None:
    assert SQUARE.line([0, 0.5, 0.6, 1], [1, 0.5, None, 0]) == "M10 10L60 60M110 110"
    assert SQUARE.line([0, 1], [math.nan, 1]) == "M110 10"
    assert SQUARE.line([], []) == ""


def test_curves_that_stand_out_lie_on_top_and_labels_stay_text() -> None:
    curves = [Curve("<b>", [0, 1], [1, 0], "main c0"), Curve("other", [0, 1], [1, 0], "faint c1")]
    svg = precision_recall(curves, 'a "title"')
    assert svg.index("faint c1") < svg.index("main c0")
    assert "<b>" not in svg
    assert "&lt;b&gt;" in svg
    assert 'aria-label="a &#34;title&#34;"' in svg


def test_reliability_draws_accuracy_gap_and_count_of_every_bin_with_images() -> None:
    svg = reliability([0, 0.5, 1], [None, 0.8], [math.nan, 0.6], [0, 12])
    bars = re.findall(r'<rect class="bar (\w+)" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', svg)
    assert [style for style, *_ in bars] == ["right", "gap", "plain"]
    scale = 390 - 12 - 104  # units of the accuracy from 0 to 1
    assert float(bars[0][4]) == pytest.approx(0.6 * scale, abs=0.2)
    assert float(bars[1][4]) == pytest.approx(0.2 * scale, abs=0.2)


@pytest.mark.parametrize(("said", "right"), [(0.8, 0.6), (0.6, 0.8)])
def test_reliability_draws_the_gap_on_top_of_the_bar_and_a_line_at_the_accuracy(said: float, right: float) -> None:
    svg = reliability([0, 1], [said], [right], [12])
    bars = re.findall(r'<rect class="bar (?:right|gap)" x="[\d.]+" y="([\d.]+)" width="[\d.]+" height="([\d.]+)"', svg)
    (top_of_bar, _), (top_of_gap, height_of_gap) = [tuple(map(float, bar)) for bar in bars]
    (line,) = re.findall(r'class="level" d="M[\d.]+ ([\d.]+)', svg)
    assert top_of_gap + height_of_gap == pytest.approx(top_of_bar, abs=0.2)
    assert float(line) == pytest.approx(top_of_bar if right < said else top_of_gap, abs=0.2)


def test_histogram_is_logarithmic_and_leaves_empty_bars_out() -> None:
    svg = score_histogram([0, 0.5, 1], [9, 0], [99, 0])
    heights = {style: float(height) for style, height in re.findall(r'"bar (\w+)".*?height="([\d.]+)"', svg)}
    assert set(heights) == {"right", "wrong"}
    assert heights["wrong"] == pytest.approx(2 * heights["right"], abs=0.2)  # log10 of 100 and of 10


def test_f1_curve_marks_the_best_threshold_and_charts_without_numbers_are_empty_frames() -> None:
    assert "0.650 at 0.47" in f1_curve([0, 0.5, 1], [0.1, 0.6, 0.2], (0.47, 0.65))
    assert "circle" not in f1_curve([0, 1], [None, None], (None, None))
    assert "rect" not in score_histogram([0, 1], [0], [0])
    assert "rect" not in reliability([0, 1], [None], [None], [0])


def test_matrix_gives_shares_of_rows_and_of_the_column_for_what_is_not_there() -> None:
    confusion = {"class_ids": [0, 1, None], "matrix": [[6, 1, 3], [0, 4, 0], [2, 0, 0]]}
    matrix = matrix_of(confusion, NAMES, "objects")
    assert matrix is not None
    assert matrix.names == ("cat", "dog", "nothing")
    first, _, last = matrix.rows
    assert [cell.part for cell in first[2]] == ["0.600", "0.100", "0.300"]
    assert [cell.style.split()[0] for cell in first[2]] == ["right", "wrong", "wrong"]
    assert first[2][1].hint == "cat → dog: 1 objects, 10.0%"
    assert last[2][0].part == "0.250"  # 2 of the 8 that were said to be cats
    assert last[2][2].text == "·"


@pytest.mark.parametrize(("classes", "size"), [(2, "roomy"), (20, "fitting"), (60, "tight"), (61, "tight")])
def test_matrix_cells_shrink_with_their_number(classes: int, size: str) -> None:
    rows = [[1] * classes for _ in range(classes)]
    matrix = matrix_of({"class_ids": list(range(classes)), "matrix": rows}, {}, "images")
    assert matrix is not None
    assert matrix.size == size


def test_no_matrix_of_too_many_or_of_no_classes() -> None:
    many = {"class_ids": list(range(62)), "matrix": [[0] * 62] * 62}
    assert matrix_of(many, {}, "images") is None
    assert matrix_of(None, {}, "images") is None
    assert matrix_of({"class_ids": [], "matrix": []}, {}, "images") is None


def test_confusions_are_read_from_the_matrix_where_they_are_not_listed() -> None:
    confusion = {"class_ids": [0, 1, None], "matrix": [[6, 1, 9], [4, 4, 0], [2, 0, 0]]}
    pairs = confused_pairs({"confusion": confusion}, NAMES)
    assert [(pair.target, pair.prediction, pair.count, pair.width) for pair in pairs] == [
        ("dog", "cat", "4", 100.0),
        ("cat", "dog", "1", 25.0),
    ]


def test_class_without_a_name_is_called_by_its_number() -> None:
    (pair,) = confused_pairs({"most_confused": [{"target": 0, "prediction": 17, "count": 1}]}, NAMES)
    assert pair.prediction == "class 17"


@pytest.mark.parametrize(
    ("before", "verdict", "overlap"), [(0.40, "better", True), (0.30, "better", False), (0.6, "worse", False)]
)
def test_change_tells_better_from_worse_and_overlap(before: float, verdict: str, overlap: bool) -> None:
    now = {"value": 0.42, "low": 0.40, "high": 0.44}
    found = change(now, {"value": before, "low": before - 0.02, "high": before + 0.02}, False)
    assert found is not None
    assert (found.verdict, found.overlap) == (verdict, overlap)


def test_less_is_better_for_an_error() -> None:
    found = change({"value": 0.02}, {"value": 0.05}, True)
    assert found is not None
    assert (found.verdict, found.arrow, found.text, found.overlap) == ("better", "▼", "−0.030", None)


def test_change_that_is_written_as_nothing_is_none() -> None:
    found = change({"value": 0.4204}, {"value": 0.42}, False)
    assert found is not None
    assert (found.verdict, found.arrow) == ("same", "=")
    assert change({"value": None}, {"value": 0.42}, False) is None


def test_errors_stand_in_order_of_what_they_cost() -> None:
    rows = [("missed", 2, 0.1), ("background", 90, 0.4), ("both", 1, None), ("new_kind", 0, -0.01)]
    bars = error_bars({"errors": [{"name": name, "count": n, "delta_map_50": lost} for name, n, lost in rows]})
    assert [(bar.words.label, bar.width) for bar in bars] == [
        ("Background", 100.0),
        ("Missed", 25.0),
        ("Class and place", 0.0),
        ("New kind", 0.0),
    ]


def test_class_table_keeps_the_models_order_of_few_classes_and_has_no_bar_for_a_threshold() -> None:
    rows = [
        {"class_id": n, "class_name": NAMES[n], "targets": 4, "map": 0.5 - n / 10, "best_score": 0.3} for n in NAMES
    ]
    result = {"model": {"kind": "detection"}, "per_class": rows, "details": {}}
    table = class_table_of(result, None)
    assert [row.name for row in table.rows] == ["cat", "dog", "cow"]
    assert table.columns == ("AP", "At score")
    assert [cell.width for cell in table.rows[0].cells] == [50.0, None]
