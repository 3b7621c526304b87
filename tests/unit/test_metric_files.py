"""Metric files where there is room, and where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, multiprocess

from services.metric_files import AllocatedDict

pytestmark = pytest.mark.slow

COUNT = """
import services.telemetry as telemetry
for task in range(700):
    telemetry.IMAGE_ERRORS.labels(task=f"task {task} " + 60 * "x", reason="none").inc()
samples = (sample for family in telemetry.IMAGE_ERRORS.collect() for sample in family.samples)
print(sum(sample.value for sample in samples if sample.name.endswith("_total")))
"""


def count_in(folder: Path) -> subprocess.CompletedProcess[str]:
    """A process that counts to 700 in so many series, more than the first pages of a file hold."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    return subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, env=environment, check=False)


def counted_in(folder: Path) -> float:
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, path=str(folder))
    samples = (sample for family in registry.collect() for sample in family.samples)
    return sum(sample.value for sample in samples if sample.name.endswith("_total"))


def test_every_page_of_a_metric_file_exists(tmp_path: Path):
    counted = count_in(tmp_path)
    assert counted.stdout == "700.0\n", counted.stderr
    assert counted_in(tmp_path) == 700.0
    for file in tmp_path.iterdir():
        assert file.stat().st_blocks * 512 >= file.stat().st_size, "a hole is a SIGBUS on a full disk"


def test_values_survive_that_their_file_is_opened_again(tmp_path: Path):
    file = str(tmp_path / "counter_1.db")
    first = AllocatedDict(file)
    first.write_value("key", 3.0, 0.0)
    first.close()
    again = AllocatedDict(file)
    assert again.read_value("key") == (3.0, 0.0)
    again.close()


@pytest.mark.parametrize("left", [0, 100 * 1024, 300 * 1024])
def test_full_disk_costs_metrics_and_not_the_process(small_disk: Path, left: int):
    (small_disk / "ballast").write_bytes(bytes(2**20 - left))
    counted = count_in(small_disk)
    assert counted.returncode == 0, counted.stderr
    assert counted.stdout == "700.0\n"
    assert "No space left on device" in counted.stderr
    assert len(counted.stderr.splitlines()) == 1
    assert counted_in(small_disk) <= 700.0, "what is left of the files can be read"
