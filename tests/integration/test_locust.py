"""The Locust users against a real stack: every kind of request, the thresholds, the page, and the exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from running import RunningStack, free_port, running_stack, write_config

from loadtests.thresholds import KINDS, TASKS
from tests.checkout import ROOT

pytestmark = pytest.mark.integration

COMMAND = (sys.executable, "-m", "locust", "-f", str(ROOT / "loadtests" / "locustfile.py"), "--only-summary")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack with one model of each task."""
    config = write_config(
        tmp_path_factory.mktemp("stack"),
        models=("efficientnet-lite0",),
        detectors=("yolo-person",),
        segmenters=("unet-person",),
    )
    with running_stack(config) as made:
        yield made


def _bounds(tmp_path: Path, p95_ms: float) -> Path:
    path = tmp_path / f"{p95_ms:g}.yaml"
    path.write_text(
        yaml.safe_dump({"error_share": 0.0, "p95_ms": {task: dict.fromkeys(KINDS, p95_ms) for task in TASKS}})
    )
    return path


def _start(*options: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [*COMMAND, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        env=environment,
    )


def _end(locust: subprocess.Popen[str]) -> tuple[int, str]:
    try:
        output, _ = locust.communicate(timeout=90)
    finally:
        locust.kill()
    return locust.returncode, output


def test_users_of_all_tasks_get_what_they_must_for_twenty_seconds(stack: RunningStack, tmp_path: Path):
    figures = tmp_path / "locust.json"
    status, output = _end(
        _start(
            *("--headless", "--host", stack.url, "--users", "6", "--spawn-rate", "6", "--run-time", "20s"),
            *("--thresholds", str(_bounds(tmp_path, 30_000)), "--json-file", str(figures.with_suffix(""))),
        )
    )
    assert status == 0 and "all thresholds kept" in output, output
    entries: list[dict[str, Any]] = json.loads(figures.read_text())
    assert all(entry["num_failures"] == 0 for entry in entries), output
    asked = {entry["name"] for entry in entries}
    assert {f"{task} {kind}" for task in TASKS for kind in ("repeated", "new")} <= asked
    assert {kind for name in asked for kind in KINDS if name.endswith(f" {kind}")} == set(KINDS)
    assert stack.metric("tapetum_cache_requests_total", outcome="hit") > 0
    assert stack.metric("tapetum_feedback_total", outcome="ok") > 0


def test_page_answers_and_a_broken_threshold_is_the_exit_status(stack: RunningStack, tmp_path: Path):
    port = free_port()
    locust = _start(
        *("--host", stack.url, "--users", "2", "--spawn-rate", "2", "--run-time", "3s", "--autostart"),
        *("--autoquit", "1", "--web-host", "127.0.0.1", "--web-port", str(port)),
        *("--thresholds", str(_bounds(tmp_path, 0.001))),
    )
    try:
        page = _page(port)
    finally:
        status, output = _end(locust)
    assert "<title>Locust</title>" in page
    assert status == 1 and "classify repeated: p95" in output, output


def _page(port: int) -> str:
    give_up_at = time.monotonic() + 30
    while True:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).raise_for_status().text
        except httpx.TransportError:
            assert time.monotonic() < give_up_at, "the page does not answer"
            time.sleep(0.1)


def test_misspelt_threshold_ends_the_run_before_anything_is_sent(tmp_path: Path):
    path = _bounds(tmp_path, 100)
    path.write_text(path.read_text().replace("detect:", "detekt:"))
    status, output = _end(
        _start("--headless", "--host", "http://127.0.0.1:1", "--run-time", "5s", "--thresholds", str(path))
    )
    assert status != 0 and "p95_ms.detect is missing" in output, output
