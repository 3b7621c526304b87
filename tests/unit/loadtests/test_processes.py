"""A measured system that does not end is killed, and hides no error that was raised before."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from loadtests import processes
from loadtests.processes import RunningSystem, SystemFailed

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(60)
"""


@pytest.fixture
def stubborn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunningSystem:
    monkeypatch.setattr(processes, "STOP_TIMEOUT_S", 0.2)
    return RunningSystem("it", [sys.executable, "-c", STUBBORN], {}, tmp_path / "log")


def _wait(tmp_path: Path) -> None:
    while not (tmp_path / "log").read_text():
        time.sleep(0.05)


def test_system_that_does_not_end_is_killed_and_told(stubborn: RunningSystem, tmp_path: Path):
    with pytest.raises(SystemFailed, match="it did not end within"), stubborn:
        _wait(tmp_path)
    assert not stubborn.is_running()


def test_system_that_does_not_end_hides_no_other_error(stubborn: RunningSystem, tmp_path: Path):
    with pytest.raises(ValueError, match="mine"), stubborn:
        _wait(tmp_path)
        raise ValueError("mine")
    assert not stubborn.is_running()
