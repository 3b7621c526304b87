"""The history of ratios: what a run leaves, and what a comparison of two runs says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from loadtests import comparison
from loadtests.bench import Bench, Conditions
from loadtests.comparison import compare
from loadtests.history import HISTORY, Figure, Record, append, ratios_of, read, record_of
from loadtests.samples import Case, Sample

MACHINE: dict[str, Any] = {
    "date": "2026-12-01 10:00 UTC",
    "cpu": "a processor",
    "cores": 2,
    "memory_gib": 23.5,
    "system": "Linux 6.18 of a host",
    "python": "3.11.7",
    "packages": {"torch": "2.15.0"},
    "busy_before": 0.01,
}
RECORD = Record("abc", "2026-12-01 10:00 UTC", {"cpu": "a processor", "cores": 2}, "split", {}, {})


def bench_of(*rows: tuple[str, str, str, int, float]) -> Bench:
    bench = Bench(cast(Conditions, None))
    bench.samples += [Sample(Case(*case), speed) for *case, speed in rows]  # pyright: ignore[reportArgumentType]
    return bench


def test_a_ratio_has_a_value_for_every_repeat():
    rows = [("cache", "Tapetum", "P", 8), ("cache", "FastAPI + Redis", "P", 8)]
    bench = bench_of(*((*case, speed) for case, speed in zip(rows * 2, (60.0, 100.0, 50.0, 80.0), strict=True)))
    assert ratios_of(bench) == {"× FastAPI + Redis, cache, P, concurrency 8": Figure((0.6, 0.625), True)}


def test_a_record_says_nothing_of_whose_machine_it_was():
    record = record_of(bench_of(("models", "Tapetum", "unet-person", 8, 40.0)), MACHINE)
    assert set(record.machine) == {"cpu", "cores", "memory_gib", "python", "packages"}
    assert record.speeds == {"unet-person": Figure((40.0,), True)}


def test_records_are_appended_and_read_again(tmp_path: Path):
    path = tmp_path / "history.jsonl"
    first = replace(RECORD, ratios={"× floor": Figure((0.91234, 0.95), True), "CPU ms": Figure((1.5,), False)})
    append(first, path)
    append(replace(RECORD, commit="def"), path)
    assert [record.commit for record in read(path)] == ["abc", "def"]
    assert read(path)[0].ratios == {"× floor": Figure((0.9123, 0.95), True), "CPU ms": Figure((1.5,), False)}


def test_a_line_that_is_no_run_is_refused_with_its_number(tmp_path: Path):
    path = tmp_path / "history.jsonl"
    append(RECORD, path)
    path.write_text(path.read_text() + '{"commit": "x"}\n')
    with pytest.raises(ValueError, match=r"history\.jsonl, line 2"):
        read(path)


def test_the_history_of_the_repository_can_be_read():
    assert all(record.ratios for record in read(HISTORY))


@pytest.mark.parametrize(
    ("before", "last", "more_is_better", "verdict"),
    [
        ((1.0, 1.1, 1.2), (0.9, 0.95, 0.99), True, "worse"),
        ((1.0, 1.1, 1.2), (0.9, 0.95, 1.0), True, ""),
        ((1.0, 1.1, 1.2), (1.3, 1.4, 1.5), True, "better"),
        ((1.0, 1.1, 1.2), (1.3, 1.4, 1.5), False, "worse"),
    ],
)
def test_a_figure_is_worse_where_the_repeats_of_both_runs_do_not_overlap(
    before: tuple[float, ...], last: tuple[float, ...], more_is_better: bool, verdict: str
):
    earlier = replace(RECORD, ratios={"a": Figure(before, more_is_better)})
    later = replace(RECORD, ratios={"a": Figure(last, more_is_better)})
    (change,) = compare(earlier, later)
    assert change.verdict == verdict


def test_a_figure_of_one_run_alone_is_neither_better_nor_worse():
    (change,) = compare(RECORD, replace(RECORD, ratios={"a": Figure((1.0,), True)}))
    assert (change.before, change.verdict) == (None, "")


def test_speeds_are_compared_on_one_kind_of_machine_only():
    faster = replace(RECORD, speeds={"unet-person": Figure((40.0,), True)})
    assert [change.what for change in compare(RECORD, faster)] == ["photos a second, unet-person"]
    elsewhere = replace(faster, machine={"cpu": "another", "cores": 2})
    assert compare(RECORD, elsewhere) == []


def test_a_comparison_names_what_got_worse_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "history.jsonl"
    monkeypatch.setattr(comparison, "read", lambda: read(path))
    assert comparison.main() == 2
    for speeds in ((1.0, 1.1), (0.8, 0.9)):
        append(replace(RECORD, ratios={"× floor": Figure(speeds, True)}), path)
    assert comparison.main() == 1
    assert capsys.readouterr().out.splitlines()[-2:] == ["Worse by more than the spread:", "× floor"]
    append(read(path)[-1], path)
    assert comparison.main() == 0
