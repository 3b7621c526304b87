"""`tapetum evaluate` as a process: its result, its time, and the memory of its processes."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

MODEL: Final = "yolo-digits"
DATA: Final = "digits:0:20000"
"""The built-in scenes: so many of the first ones as `--limit` says."""
_SAMPLE_S: Final = 0.5


class Run(NamedTuple):
    """What a job was seen to take.

    Attributes:
        result: As `result.json` has it.
        seconds: From its start to its end.
        driver_bytes: The most resident memory of the process that measures.
        worker_bytes: The most of any worker.
    """

    result: dict[str, Any]
    seconds: float
    driver_bytes: int
    worker_bytes: int

    @property
    def images_per_s(self) -> float:
        """Images a second, from when the first chunk is sent to a worker."""
        return self.result["time"]["images_per_s"]


def run_job(model: str, data: str, images: int, workers: int, options: Sequence[str] = ()) -> Run:
    """Evaluates a model on the first so many images, and watches the memory of the processes.

    Args:
        model: Name of the model.
        data: Labelled images, as `tapetum evaluate` reads them.
        images: How many of them.
        workers: Processes that ask.
        options: Further options of `tapetum evaluate`.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "services.cli", "evaluate", "--model", model, "--data", data]
        command += ["--limit", str(images), "--workers", str(workers), "--output", folder, "--no-record", "--json"]
        command += options
        started_at = time.perf_counter()
        with (Path(folder) / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as job:
            most = _watch(job)
        seconds = time.perf_counter() - started_at
        if job.returncode:
            raise subprocess.CalledProcessError(job.returncode, command, (Path(folder) / "log").read_text())
        result = json.loads((Path(folder) / "result.json").read_bytes())
    return Run(result, seconds, most["driver"], most["worker"])


def _watch(job: subprocess.Popen[bytes]) -> dict[str, int]:
    most = {"driver": 0, "worker": 0}
    while job.poll() is None:
        with contextlib.suppress(psutil.Error):
            driver = psutil.Process(job.pid)
            most["driver"] = max(most["driver"], driver.memory_info().rss)
            for process in driver.children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if "_Worker" in " ".join(process.cmdline()):
                        most["worker"] = max(most["worker"], process.memory_info().rss)
        time.sleep(_SAMPLE_S)
    return most
