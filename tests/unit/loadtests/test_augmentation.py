"""The measurement of augmentation: sets of views, ratios, and a run over two built-in scenes."""

from __future__ import annotations

import sys

import pytest

from loadtests.augmentation import SHOWN, main, median_ratio, view_sets
from models.augmentation.augmented import View
from models.datasets.samples import Target
from services.evaluation.class_match import ClassMatch
from services.evaluation.kinds import KINDS


def test_ratio_is_the_median_over_images():
    assert median_ratio([2.0, 3.0, 100.0], [1.0, 1.0, 1.0]) == 3.0


def test_sets_of_views_begin_with_the_usual_input_and_repeat_no_view():
    for mirror in (False, True):
        for name, views in view_sets(mirror).items():
            assert views[0] == View() and len(set(views)) == len(views), name
    assert view_sets(True)["1 1m"] == [View(), View(mirrored=True)]
    assert not any(view.mirrored for views in view_sets(False).values() for view in views)


def test_model_is_measured_both_ways(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys, "argv", ["augmentation", "--model", "yolo-digits", "--data", "digits:0:4"])
    main()
    head, _, without, with_views = capsys.readouterr().out.splitlines()
    assert head.startswith("| yolo-digits | map | map_50 |")
    assert without.endswith("| × 1.00 | × 1.0 |") and without.startswith("| without |")
    assert float(with_views.split("|")[-3].strip(" ×")) > 3


def test_other_sets_of_views_are_measured_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    given = ["--model", "yolo-digits", "--data", "digits", "--limit", "1", "--views"]
    monkeypatch.setattr(sys, "argv", ["augmentation", *given])
    main()
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == ["without", "with", *view_sets(False)]


def test_images_before_a_last_one_of_an_unknown_class_count(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    translate, seen = ClassMatch.translate, []

    def all_but_the_last(match: ClassMatch, target: Target) -> Target | None:
        seen.append(target)
        return translate(match, target) if len(seen) < 3 else None

    monkeypatch.setattr(ClassMatch, "translate", all_but_the_last)
    monkeypatch.setattr(sys, "argv", ["augmentation", "--model", "yolo-digits", "--data", "digits:0:3"])
    main()
    without = capsys.readouterr().out.splitlines()[2]
    assert float(without.split("|")[2]) > 0.3


def test_every_kind_of_model_has_headline_figures():
    assert set(SHOWN) == set(KINDS)


def test_model_without_augmentation_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["augmentation", "--model", "noop", "--data", "digits"])
    with pytest.raises(SystemExit, match="noop has no test-time augmentation"):
        main()
