"""The report's page: whole, harmless, without a network, and readable where there is little to show."""

from __future__ import annotations

import copy
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from services.evaluation.report.page import ReportInput, ReportPicture, render, write_report
from services.evaluation.report.pictures import Pair, ShownClass

EVIL = "<script>alert('é & \"')</script>"
SHARES = [point / 4 for point in range(5)]
KINDS = ["classification", "detection", "instance", "semantic"]
MAIN = {"classification": "top1", "detection": "map", "instance": "map", "semantic": "miou"}
COLUMNS = {
    "classification": ["precision", "recall", "f1", "average_precision", "roc_auc"],
    "detection": ["map", "map_50", "best_score", "precision"],
    "instance": ["map", "map_50", "best_score", "precision"],
    "semantic": ["iou", "dice", "boundary_iou"],
}


class Page(HTMLParser):
    """What a browser sees of a page: text by tag, and every address that it would fetch."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]
        if tag in ("style", "script"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            self.open.remove(tag)

    def handle_data(self, data: str) -> None:
        if not self.open and data.strip():
            self.text.append(" ".join(data.split()))

    @property
    def words(self) -> str:
        return " ".join(self.text)


def figure(value: float | None, half: float = 0.02) -> dict[str, float | None]:
    return {"value": value, "low": None, "high": None} if value is None else {
        "value": value, "low": value - half, "high": value + half
    }  # fmt: skip


def confusion(classes: int, background: bool = False) -> dict[str, Any]:
    class_ids: list[int | None] = [*range(classes), *([None] if background else [])]
    count = len(class_ids)
    rows = [[5 if row == column else 1 for column in range(count)] for row in range(count)]
    thresholds = {"iou_threshold": 0.5, "score_threshold": 0.4} if background else {}
    return {"class_ids": class_ids, "matrix": rows, **thresholds}


def details(kind: str, classes: int) -> dict[str, Any]:
    if kind == "semantic":
        return {"confusion": confusion(classes)}
    if kind == "classification":
        return {
            "confusion": confusion(classes) if classes <= 60 else None,
            "most_confused": [{"target": 0, "prediction": classes - 1, "count": 3}],
            "curves": [{"class_id": None, "recall": SHARES, "precision": SHARES[::-1]}],
            "reliability": {"edges": [0, 0.5, 1], "confidence": [None, 0.8], "accuracy": [None, 0.7], "count": [0, 9]},
        }
    ious = [round(0.5 + 0.05 * place, 2) for place in range(10)]
    return {
        "curves": [{"iou": iou, "recall": SHARES, "precision": SHARES[::-1]} for iou in ious],
        "class_curves": [{"class_id": 0, "recall": SHARES, "precision": SHARES[::-1], "scores": SHARES}],
        "confusion": confusion(classes, background=True),
        "errors": [
            {"name": "missed", "count": 7, "delta_map_50": 0.2},
            {"name": "background", "count": 70, "delta_map_50": 0.1},
        ],
        "f1_curve": {"scores": SHARES, "f1": [0.1, 0.5, 0.6, 0.2, None], "best_score": 0.5},
        "scores": {"edges": [0, 0.5, 1], "true": [3, 90], "false": [1000, 0]},
    }


def result(kind: str = "detection", names: list[str] | None = None) -> dict[str, Any]:
    names = ["person", "dog", "cat"] if names is None else names
    headline = {MAIN[kind]: figure(0.41), "precision": figure(0.75), "recall": figure(0.66), "map_large": figure(None)}
    rows = [
        {"class_id": place, "class_name": name, "targets": 10, **dict.fromkeys(COLUMNS[kind], 0.125)}
        for place, name in enumerate(names)
    ]
    return {
        "format": 1,
        "model": {"name": "finder", "version": "3", "task": "detection", "kind": kind, "weights_digest": "abc123",
                  "runtime": {"device": "cpu"}, "parameters": {"score_threshold": 0.001}},
        "data": {"name": "street/val", "spec": "street.json", "digest": "4fd1", "images": 1234,
                 "problems": {"count": 2, "by_kind": {"zero_area": 2}, "shown": ["street.json:4: no area"]},
                 "classes": {"measured": len(names), "unknown": ["cone"]}},
        "through": "gateway", "limit": None, "headline": headline, "per_class": rows,
        "details": details(kind, len(names)),
        "protocol": {"score_threshold": 0.001, "iou_threshold": 0.65, "max_detections": 100, "iou_type": "bbox",
                     "bootstrap": {"replicates": 1000}},
        "failed": {"count": 1, "shown": [{"name": "a.jpg", "reason": "truncated"}]},
        "time": {"started_at": "2026-05-03T14:02:11+00:00", "finished_at": "2026-05-03T14:03:00+00:00",
                 "seconds": 49.0, "images_per_s": 25.18, "workers": 2},
        "versions": {"tapetum": "0.1.0"},
    }  # fmt: skip


def drawn(name: str = "a.jpg") -> list[ReportPicture]:
    pair = Pair(b"RIFFtarget", b"RIFFprediction", (300, 480), ("2 of 3 found", "1 missed"))
    tile = Pair(b"RIFFtarget", None, (200, 300), (), (ShownClass("dog", 0.9, False), ShownClass(name, None, True)))
    return [
        ReportPicture("worst", name, "quality 0.100", pair),
        ReportPicture("confidently_wrong", name, "mistake at 0.900", tile),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_page_fetches_nothing(kind: str) -> None:
    text = render(ReportInput(result(kind), result(kind), drawn()))
    page = Page(text)
    assert {address[:5] for address in page.addresses if not address.startswith("#")} == {"data:"}
    assert not {"link", "iframe", "object", "embed", "form", "base"} & set(page.tags)
    assert not re.search(r"https?:|@import|url\(|//[a-z]", text)


@pytest.mark.parametrize("kind", KINDS)
def test_strangers_names_stay_text(kind: str) -> None:
    run = result(kind, [EVIL, "b", "c"])
    run["model"]["name"] = run["data"]["name"] = run["data"]["spec"] = EVIL
    run["data"]["problems"]["shown"] = [EVIL]
    run["data"]["problems"]["by_kind"] = {EVIL: 2}
    run["failed"]["shown"] = [{"name": EVIL, "reason": EVIL}]
    run["protocol"]["iou_type"] = EVIL
    run["versions"] = {EVIL: EVIL}
    other = copy.deepcopy(run)
    other["data"]["digest"] = EVIL
    pair = Pair(b"RIFF", b"RIFF", (10, 10), (EVIL,), (ShownClass(EVIL, 0.5, True),))
    text = render(ReportInput(run, other, [ReportPicture("best", EVIL, EVIL, pair)], [EVIL] * 3))
    assert text.count("<script>") == 1
    assert Page(text).tags.count("script") == 1
    assert "alert(" in Page(text).words


def test_policy_allows_the_pages_own_script_only() -> None:
    page = render(ReportInput(result()))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/]{43}=';", policy[1])


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_that_are_not_there_are_dashes(kind: str) -> None:
    run = result(kind)
    for row in run["per_class"]:
        row.update(dict.fromkeys(COLUMNS[kind], math.nan))
    run["headline"][MAIN[kind]] = figure(None)
    page = Page(render(ReportInput(run)))
    assert "nan" not in page.words.lower().split()
    assert "None" not in page.words.split()
    assert page.text.count("–") >= len(COLUMNS[kind]) * 3 + 1


@pytest.mark.parametrize("kind", KINDS)
def test_page_without_details_pictures_classes_or_figures_is_whole(kind: str) -> None:
    run = result(kind)
    run.update(details={}, per_class=[], headline={}, protocol={}, versions={}, failed={}, time={})
    run["data"].update(problems={}, classes={})
    page = Page(render(ReportInput(run)))
    assert "Every label could be used." in page.words
    assert "Every image was answered." in page.words
    assert "svg" not in page.tags
    assert "img" not in page.tags


def test_confusion_may_be_null() -> None:
    run = result("classification")
    run["details"]["confusion"] = None
    page = Page(render(ReportInput(run)))
    assert "taken for" in page.words
    assert "Rows: what is there." not in page.words


def test_single_class_has_a_matrix_with_nothing_and_no_extremes() -> None:
    page = Page(render(ReportInput(result("detection", ["person"]))))
    assert "nothing" in page.text
    assert "weakest" not in page.words


def test_an_extreme_class_is_named_where_it_is_the_only_one() -> None:
    run = result("classification", ["cat", "dog", "owl"])
    for row, f1 in zip(run["per_class"], (1.0, 0.2, 1.0), strict=True):
        row["f1"] = f1
    words = Page(render(ReportInput(run))).words
    assert "Weakest class: dog (0.200)." in words
    assert "trongest class" not in words


def test_thousand_classes_are_a_table_the_weakest_first_and_no_matrix() -> None:
    run = result("classification", [f"class number {place}" for place in range(1000)])
    run["per_class"][700]["f1"] = 0.001
    run["per_class"][5]["f1"] = None
    text = render(ReportInput(run))
    page = Page(text)
    names = [words for words in page.text if words.startswith("class number")][:1000]
    assert (names[0], names[-1]) == ("class number 700", "class number 5")
    assert "Rows: what is there." not in page.words
    assert len(text) < 1_000_000


def test_eighty_classes_of_objects_list_their_confusions_without_what_was_missed() -> None:
    page = Page(render(ReportInput(result("detection", [f"thing {place}" for place in range(80)]))))
    assert "taken for" in page.words
    assert "nothing" not in page.text


def test_protocol_stands_beside_the_figures() -> None:
    words = Page(render(ReportInput(result()))).words
    assert "score threshold 0.001 NMS IoU 0.65 max detections 100 IoU of boxes" in words
    assert "1 000 times (bootstrap)" in words


def test_limited_run_says_so() -> None:
    run = result()
    run["limit"] = 40
    assert "(limited)" in Page(render(ReportInput(run))).words
    assert "(limited)" not in Page(render(ReportInput(result()))).words


def test_baseline_shows_differences_and_whether_intervals_overlap() -> None:
    before = result()
    before["headline"]["map"] = figure(0.30)
    before["headline"]["recall"] = figure(0.65)
    words = Page(render(ReportInput(result(), before))).words
    assert "▲ +0.110 from 0.300, intervals apart" in words
    assert "▲ +0.010 from 0.650, intervals overlap" in words
    assert "baseline, IoU 0.50" in words


def test_baseline_on_other_data_is_named_and_not_compared() -> None:
    before = result()
    before["data"]["digest"] = "0000"
    before["headline"]["map"] = figure(0.30)
    words = Page(render(ReportInput(result(), before))).words
    assert "Cannot be compared with the baseline" in words
    assert "digest 0000, and not 4fd1" in words
    assert "▲" not in words


def test_pictures_are_inlined_in_their_groups_in_order() -> None:
    text = render(ReportInput(result(), pictures=drawn("street/7.jpg")))
    page = Page(text)
    assert [address for address in page.addresses if address.startswith("data:")] == [
        "data:image/webp;base64,UklGRnRhcmdldA==",
        "data:image/webp;base64,UklGRnByZWRpY3Rpb24=",
        "data:image/webp;base64,UklGRnRhcmdldA==",
    ]
    assert page.words.index("Worst") < page.words.index("Confidently wrong")
    assert "Best The images" not in page.words
    assert "1 missed" in page.words


def test_only_the_first_hundred_lines_of_problems_are_shown() -> None:
    run = result()
    run["data"]["problems"] = {"count": 500, "by_kind": {"zero_area": 500}, "shown": [f"line {n}" for n in range(500)]}
    words = Page(render(ReportInput(run))).words
    assert "500 labels were wrong, and left out or cut: zero area 500" in words
    assert "line 99" in words
    assert "line 100" not in words


def test_written_page_replaces_an_old_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    write_report(ReportInput(result()), path)
    assert path.read_text("utf-8").startswith("<!doctype html>")
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_page_that_cannot_be_made_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    run = result()
    del run["model"]
    with pytest.raises(KeyError):
        write_report(ReportInput(run), path)
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]
