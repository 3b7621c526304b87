"""Recorded evaluations: in a file that several write and somebody may have broken, and on a real server."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from structlog.testing import capture_logs

from services.accuracy.drift import Distribution, Summary
from services.accuracy.store import (
    MAX_RUNS,
    REDIS_HASH,
    RecordedRun,
    RunReader,
    StoreError,
    accuracy_file,
    read_runs,
    record_run,
)
from services.local.embedded_cache import EmbeddedCache
from services.settings import Settings

COUNTED = Distribution()
COUNTED.add(Summary(None, 0.0))
COUNTED.add(Summary(3, 0.7))
RUN = RecordedRun(
    model="person-net",
    version="1",
    weights_digest="abc",
    kind="detection",
    dataset="person/val",
    dataset_digest="0123456789abcdef",
    through="adapter",
    images=309,
    finished_at_s=1000.0,
    figures={"map": (0.5, 0.45, 0.55), "map_small": (math.nan, math.nan, math.nan)},
    protocol={"score_threshold": 0.001},
    reference=COUNTED.to_dict(),
    report="runs/1/report.html",
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(accuracy_file=tmp_path / "state" / "accuracy.jsonl", redis_url=None)


@pytest.fixture
def with_redis(tmp_path: Path, settings: Settings) -> Iterator[Settings]:
    server = EmbeddedCache(tmp_path, 8 * 2**20)
    server.start()
    yield settings.model_copy(update={"redis_url": server.url})
    server.stop()


def times(runs: list[RecordedRun]) -> list[float]:
    return [run.finished_at_s for run in runs]


def test_run_is_read_as_it_was_recorded(settings: Settings):
    assert record_run(RUN, settings) == str(settings.accuracy_file)
    (read,) = read_runs(settings)
    assert replace(read, figures={}) == replace(RUN, figures={})
    assert read.figures["map"] == (0.5, 0.45, 0.55)
    assert all(math.isnan(number) for number in read.figures["map_small"])


def test_newest_run_of_the_same_weights_and_data_counts_whenever_it_was_recorded(settings: Settings):
    for run in (RUN, replace(RUN, finished_at_s=3000.0), replace(RUN, finished_at_s=2000.0)):
        record_run(run, settings)
    for change in ({"dataset": "other"}, {"weights_digest": "def"}, {"version": "2"}, {"model": "x"}):
        record_run(replace(RUN, **change), settings)
    assert times(read_runs(settings)) == [3000.0, 1000.0, 1000.0, 1000.0, 1000.0]


def test_nothing_recorded_is_no_run(settings: Settings):
    assert read_runs(settings) == []


@pytest.mark.parametrize("garbage", [b"{", b"\xff\xfe", b"[]", b'{"model": "x"}', b"7", b"null"])
def test_broken_line_is_passed_over_and_the_others_are_read(settings: Settings, garbage: bytes):
    record_run(RUN, settings)
    path = accuracy_file(settings)
    path.write_bytes(garbage + b"\n\n" + path.read_bytes())
    with capture_logs() as logs:
        assert times(read_runs(settings)) == [1000.0]
    assert [line["place"] for line in logs] == ["accuracy.jsonl:1"]
    record_run(replace(RUN, dataset="other"), settings)
    assert len(read_runs(settings)) == 2


def test_reader_sees_changes_and_keeps_what_it_knows_while_reading_fails(settings: Settings):
    reader = RunReader(settings)
    assert reader.read() == []
    record_run(RUN, settings)
    assert times(reader.read()) == [1000.0]
    record_run(replace(RUN, finished_at_s=2000.0), settings)
    assert times(reader.read()) == [2000.0]
    path = accuracy_file(settings)
    path.rename(path.with_suffix(".moved"))
    path.mkdir()
    with capture_logs() as logs:
        assert times(reader.read()) == times(reader.read()) == [2000.0]
    assert [line["event"] for line in logs] == ["recorded runs cannot be read"], "once, not every few seconds"
    path.rmdir()
    assert reader.read() == [], "a file that was removed is no failure"


@pytest.mark.parametrize("kind", ["pipe", "huge", "strange"])
def test_what_is_no_file_of_runs_is_neither_read_nor_written_over(settings: Settings, kind: str):
    path = accuracy_file(settings)
    path.parent.mkdir()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(b"a line of something else\n" * (MAX_RUNS + 1))
    if kind == "huge":
        os.truncate(path, 500 * 2**20)
    with capture_logs() as logs:
        assert read_runs(settings) == []
    assert [line["event"] for line in logs] == ["recorded runs cannot be read"]
    with pytest.raises(StoreError):
        record_run(RUN, settings)
    assert kind == "pipe" or path.read_bytes().startswith(b"a line of something else\n")


def _record_many(settings: Settings, first: int) -> None:
    for number in range(first, first + 10):
        record_run(replace(RUN, dataset=f"data {number}"), settings)


def test_two_writers_lose_nothing(settings: Settings):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_record_many, args=(settings, first)) for first in (0, 10)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    assert {run.dataset for run in read_runs(settings)} == {f"data {number}" for number in range(20)}
    names = {path.name for path in accuracy_file(settings).parent.iterdir()}
    assert names == {"accuracy.jsonl", "accuracy.jsonl.lock"}, "nothing half-written is left"


def test_oldest_runs_make_room(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("services.accuracy.store.MAX_RUNS", 3)
    for number in range(5):
        record_run(replace(RUN, dataset=str(number), finished_at_s=float(number)), settings)
    assert times(read_runs(settings)) == [4.0, 3.0, 2.0]
    assert MAX_RUNS >= 100


def test_file_is_in_the_state_folder_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert accuracy_file(Settings(accuracy_file=None)) == tmp_path / "tapetum" / "accuracy.jsonl"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert accuracy_file(Settings(accuracy_file=None)) == tmp_path / ".local" / "state" / "tapetum" / "accuracy.jsonl"


def test_place_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/accuracy\.jsonl cannot be written"):
        record_run(RUN, Settings(accuracy_file=tmp_path / "file" / "accuracy.jsonl", redis_url=None))


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": ""},
        {"model": "x" * 201},
        {"version": "x" * 201},
        {"finished_at_s": math.nan},
        {"finished_at_s": 1e18},
        {"finished_at_s": -1.0},
        {"images": -1},
        {"images": 10**300},
        {"figures": {"x" * 201: (1.0, 1.0, 1.0)}},
        {"figures": {str(number): (1.0, 1.0, 1.0) for number in range(101)}},
        {"reference": {}},
    ],
)
def test_run_that_cannot_be_shown_is_refused(change: dict[str, Any], settings: Settings):
    with pytest.raises(ValueError, match=r"name|version|finished_at_s|images|figures|distribution"):
        replace(RUN, **change)
    record_run(RUN, settings)
    path = accuracy_file(settings)
    path.write_bytes(path.read_bytes() + json.dumps({**RUN.to_dict(), **change}).encode() + b"\n")
    assert times(read_runs(settings)) == [1000.0], "nor does it hide the others"


def test_redis_holds_runs_and_the_file_is_read_all_the_same(settings: Settings, with_redis: Settings):
    assert record_run(RUN, with_redis) == "Redis"
    record_run(replace(RUN, finished_at_s=500.0), with_redis)
    assert times(read_runs(with_redis)) == [1000.0], "an older run does not replace a newer one"
    assert read_runs(settings) == []
    record_run(replace(RUN, finished_at_s=2000.0), settings)
    record_run(replace(RUN, dataset="other", finished_at_s=100.0), with_redis)
    assert times(read_runs(with_redis)) == [2000.0, 100.0]


def test_redis_is_read_when_it_changed_and_its_garbage_is_passed_over(
    with_redis: Settings, monkeypatch: pytest.MonkeyPatch
):
    assert with_redis.redis_url
    redis = Redis.from_url(with_redis.redis_url)
    reader = RunReader(with_redis)
    record_run(RUN, with_redis)
    assert times(reader.read()) == [1000.0]
    redis.hset(REDIS_HASH, "garbage", "{")
    before = redis.info("commandstats")["cmdstat_hgetall"]["calls"]
    assert times(reader.read()) == [1000.0]
    assert redis.info("commandstats")["cmdstat_hgetall"]["calls"] == before, "nothing was said to have changed"
    monkeypatch.setattr("services.accuracy.store.MAX_RUNS", 1)
    record_run(replace(RUN, dataset="other", finished_at_s=2000.0), with_redis)
    assert times(reader.read()) == [2000.0]
    assert redis.hlen(REDIS_HASH) == 2, "the new run, and the garbage"


def test_redis_that_is_not_there_is_said_to_writers_and_not_to_readers(tmp_path: Path, settings: Settings):
    nowhere = settings.model_copy(update={"redis_url": f"unix://{tmp_path}/nowhere.sock"})
    with pytest.raises(StoreError, match="Redis failed"):
        record_run(RUN, nowhere)
    record_run(RUN, settings)
    assert times(read_runs(nowhere)) == [1000.0]
