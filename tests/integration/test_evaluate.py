"""`tapetum evaluate` as a user runs it: real Ray, real workers, real weights, and a real server for the other way."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from running import RunningStack, running_stack, write_config

pytestmark = pytest.mark.integration

MODEL = "yolo-digits"
IMAGES = 400
LAST_BITS = 1e-4
"""A network answers differently in its last bits where a batch is put together differently, and ranks may change."""
TAPETUM = str(Path(sys.executable).parent / "tapetum")


def environment(folder: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("TAPETUM_", "RAY_"))}
    return {**clean, "TAPETUM_ACCURACY_FILE": str(folder / "accuracy.jsonl")}


def command(output: Path, *options: str, images: int = IMAGES) -> list[str]:
    asked = [TAPETUM, "evaluate", "--model", MODEL, "--data", f"digits:0:{images}", "--output", str(output)]
    return [*asked, "--workers", "1", *options]


def evaluate(folder: Path, output: Path, *options: str, status: int = 0, images: int = IMAGES) -> dict[str, Any]:
    done = subprocess.run(
        command(output, *options, images=images), env=environment(folder), capture_output=True, text=True, timeout=240
    )
    assert done.returncode == status, done.stderr
    return {**json.loads((output / "result.json").read_bytes()), "stderr": done.stderr, "stdout": done.stdout}


def figures(result: dict[str, Any]) -> dict[str, float | None]:
    return {name: figure["value"] for name, figure in result["headline"].items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evaluations")


@pytest.fixture(scope="module")
def first(folder: Path) -> dict[str, Any]:
    """A run that nothing happens to."""
    return evaluate(folder, folder / "first")


def test_a_run_leaves_figures_predictions_and_a_page_and_nothing_else(first: dict[str, Any], folder: Path) -> None:
    assert {path.name for path in (folder / "first").iterdir()} == {
        "result.json",
        "predictions.json",
        "targets.json",
        "report.html",
    }
    assert first["headline"]["map_50"]["value"] > 0.5
    assert first["headline"]["map_50"]["low"] < first["headline"]["map_50"]["value"]
    assert (first["data"]["images"], first["failed"]["count"], first["through"]) == (IMAGES, 0, "adapter")
    page = (folder / "first" / "report.html").read_text()
    assert MODEL in page
    assert "://" not in page.replace("http://www.w3.org/", "")


def test_pycocotools_gets_the_same_numbers_from_the_files_of_the_run(first: dict[str, Any], folder: Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        targets = COCO(str(folder / "first" / "targets.json"))
        oracle = COCOeval(targets, targets.loadRes(str(folder / "first" / "predictions.json")), "bbox")
        oracle.evaluate()
        oracle.accumulate()
        oracle.summarize()
    names = [f"map{end}" for end in ("", "_50", "_75", "_small", "_medium", "_large")]
    names += [f"mar{end}" for end in ("_1", "_10", "_100", "_small", "_medium", "_large")]
    for name, expected in zip(names, oracle.stats, strict=True):
        value = first["headline"][name]["value"]
        assert (value is None) if expected == -1 else value == pytest.approx(expected, abs=1e-9), name


def test_augmented_run_is_recorded_by_itself(first: dict[str, Any], tmp_path: Path) -> None:
    augmented = evaluate(tmp_path, tmp_path / "augmented", "--augment", images=64)
    assert augmented["model"]["parameters"]["augment"] is True and augmented["protocol"]["augment"] is True
    assert "augment" not in first["protocol"]
    assert augmented["headline"]["map_50"]["value"] > 0.5
    (record,) = (json.loads(line) for line in (tmp_path / "accuracy.jsonl").read_bytes().splitlines())
    assert record["dataset"] == f"{augmented['data']['name']} (augmented)" and record["reference"] is None


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "ray::_Worker" in " ".join(child.cmdline()):  # with or without what it is doing just now
                found.append(child)
    return found


@contextlib.contextmanager
def started(folder: Path, output: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that has finished its first part, and more are to come."""
    process = subprocess.Popen(
        command(output),
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        give_up_at = time.monotonic() + 120
        while not list((output / "parts").glob("*.npz")):
            assert process.poll() is None, process.stderr
            assert time.monotonic() < give_up_at
            time.sleep(0.01)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
def test_workers_for_which_there_is_no_gpu_are_refused_at_once(folder: Path) -> None:
    asked = command(folder / "nowhere", "--device", "cuda", "--worker-gpus", "1")
    done = subprocess.run(asked, env=environment(folder), capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("GPU 0, which is enough for 0"), done.stderr


def test_a_lost_worker_costs_time_and_changes_no_number(first: dict[str, Any], folder: Path) -> None:
    with started(folder, folder / "shaken") as process:
        while not (workers := workers_of(process)):
            assert process.poll() is None
        workers[0].kill()
        _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert "1 workers lost" in errors or "1 worker lost" in errors
    shaken = json.loads((folder / "shaken" / "result.json").read_bytes())
    assert figures(shaken) == figures(first)
    assert shaken["per_class"] == first["per_class"]


def test_a_stopped_run_goes_on_with_what_is_done(first: dict[str, Any], folder: Path) -> None:
    output = folder / "stopped"
    with started(folder, output) as process:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "the same command goes on" in errors
    done = {path.name: path.stat().st_mtime_ns for path in (output / "parts").glob("*.npz")}
    assert 0 < len(done) < 13
    assert (
        "with another"
        in subprocess.run(
            command(output, images=100), env=environment(folder), capture_output=True, text=True, timeout=120
        ).stderr
    )
    assert {path.name: path.stat().st_mtime_ns for path in (output / "parts").glob("*.npz")} == done
    result = evaluate(folder, output)
    assert figures(result) == figures(first)
    assert f"{32 * len(done)}/{IMAGES}" in result["stderr"]


def test_gates_decide_on_the_status(first: dict[str, Any], folder: Path) -> None:
    passed = evaluate(folder, folder / "passed", "--fail-under", "map_50=0.5", "--baseline", str(folder / "first"))
    assert figures(passed) == figures(first)
    worse = evaluate(
        folder, folder / "worse", "--score-threshold", "0.9", "--no-record", "--fail-under", "map_50=0.99",
        "--baseline", str(folder / "first"), "--max-drop", "0.5", status=1,
    )  # fmt: skip
    assert "failed: map_50 is" in worse["stderr"]
    assert "points worse, and 0.5 are allowed" in worse["stderr"]


@pytest.mark.usefixtures("first")
def test_a_baseline_on_other_data_is_refused_before_anything_is_asked(folder: Path) -> None:
    done = subprocess.run(
        command(folder / "other", "--baseline", str(folder / "first"), images=100),
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert "there is no comparing" in done.stderr
    assert not (folder / "other" / "result.json").exists()


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[RunningStack]:
    """A server of the model, whose Ray takes jobs."""
    config = write_config(folder, models=("noop",), detectors=(MODEL,))
    with running_stack(config, "--jobs", TAPETUM_ACCURACY_FILE=str(folder / "accuracy.jsonl")) as made:
        yield made


def test_both_ways_give_the_same_numbers(stack: RunningStack, first: dict[str, Any], folder: Path) -> None:
    served = evaluate(folder, folder / "served", "--through", "gateway", "--url", stack.url)
    assert served["through"] == "gateway"
    assert served["model"]["weights_digest"] == first["model"]["weights_digest"]
    assert figures(served) == pytest.approx(figures(first), abs=LAST_BITS)
    for here, there in zip(first["per_class"], served["per_class"], strict=True):
        assert there["map"] == pytest.approx(here["map"], abs=LAST_BITS)
    ours, theirs = (json.loads((folder / way / "predictions.json").read_bytes()) for way in ("first", "served"))
    assert [row["image_id"] for row in theirs] == [row["image_id"] for row in ours]
    assert [row["score"] for row in theirs] == pytest.approx([row["score"] for row in ours], abs=1e-4)


def test_a_recorded_run_stands_beside_latency(stack: RunningStack, first: dict[str, Any]) -> None:
    expected = pytest.approx(first["headline"]["map_50"]["value"], abs=LAST_BITS)
    give_up_at = time.monotonic() + 30
    while stack.metric("tapetum_model_accuracy", model=MODEL, dataset="digits", metric="map_50") != expected:
        assert time.monotonic() < give_up_at
        time.sleep(0.5)
    assert stack.metric("tapetum_model_accuracy_age_seconds", model=MODEL, dataset="digits") > 0
    entry = httpx.get(f"{stack.url}/v1/models/{MODEL}").json()
    assert entry["measured_accuracy"][0]["dataset"] == "digits"


def test_workers_on_the_cluster_that_serves_give_the_same_numbers(
    stack: RunningStack, first: dict[str, Any], folder: Path
) -> None:
    (line,) = (line for line in stack.lines if " at 127.0.0.1:" in line)
    joined = evaluate(folder, folder / "joined", "--address", line.rpartition(" at ")[2])
    assert figures(joined) == figures(first)


def test_a_job_on_the_cluster_that_serves_gives_the_same_numbers(
    stack: RunningStack, first: dict[str, Any], folder: Path
) -> None:
    (line,) = (line for line in stack.lines if "jobs: http" in line)
    submitted = evaluate(folder, folder / "submitted", "--submit", "--address", line.rpartition("jobs: ")[2])
    assert figures(submitted) == figures(first)
    assert httpx.get(f"{stack.url}/readyz").status_code == 200
