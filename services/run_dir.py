"""The private folder of a running stack, and what becomes of one that was killed."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

_PREFIX = "tapetum-"
_STOP_TIMEOUT_S = 5.0


def make_run_dir() -> Path:
    """A private folder for one run. Its name begins with the process id, so that a later start knows whose it was."""
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))


def clean_up_after_crashes() -> None:
    """Remove the folders of runs that were killed, and end processes that were left running on them."""
    me = psutil.Process().username()
    for run_dir in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        pid = run_dir.name.removeprefix(_PREFIX).partition("-")[0]
        with suppress(OSError, KeyError):
            if pid.isdigit() and run_dir.owner() == me and not psutil.pid_exists(int(pid)):
                _end_processes_of(run_dir)
                shutil.rmtree(run_dir, ignore_errors=True)


def _end_processes_of(run_dir: Path) -> None:
    """End those that work on the files of this run: nobody else's can."""
    left: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            files = (*process.cmdline(), *(file.path for file in process.open_files()))
            if any(f"{run_dir}/" in file for file in files):
                process.kill()
                left.append(process)
    psutil.wait_procs(left, timeout=_STOP_TIMEOUT_S)
