"""The private folder of a running stack: where it may lie, and what becomes of one whose stack was killed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

_PREFIX: Final = "tapetum-"
_STOP_TIMEOUT_S: Final = 5.0

MOST_CHARACTERS: Final = 13
"""Length of a folder in which the paths of all sockets still fit.

HAProxy takes paths of 97 characters: the folder, `/tapetum-1234567-12345678`, 56 digits of the node's id, `/h`. Ray
takes 107 (103 on macOS): `/r/session_2026-01-31_23-59-59_123456_1234567/sockets/plasma_store` after the folder.
"""


class NoFolder(Exception):
    """Nowhere can sockets be made; the message is one line for a person."""


def socket_folder() -> Path:
    """The folder for temporary files, or another in which the paths of sockets are short enough.

    Raises:
        NoFolder: there is none that can be written to.
    """
    for folder in _folders():
        if len(str(folder)) <= MOST_CHARACTERS and os.access(folder, os.W_OK | os.X_OK):
            return folder
    usual = tempfile.gettempdir()
    raise NoFolder(f"TMPDIR is too long for the paths of sockets, and /tmp cannot be written to: {usual}")


def make_run_dir() -> Path:
    """A private folder for one run. Its name begins with the process id, so that a later start knows whose it was.

    Raises:
        NoFolder: there is no place for it.
    """
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=socket_folder()))


def clean_up_after_crashes() -> None:
    """Remove the folders of runs that were killed, and end processes that were left running on them."""
    me = psutil.Process().username()
    for run_dir in (found for folder in _folders() for found in folder.glob(f"{_PREFIX}*-*")):
        pid = run_dir.name.removeprefix(_PREFIX).partition("-")[0]
        with suppress(OSError, KeyError):
            if pid.isdigit() and run_dir.owner() == me and not psutil.pid_exists(int(pid)):
                end_processes_of(run_dir)
                shutil.rmtree(run_dir, ignore_errors=True)


def end_processes_of(run_dir: Path) -> None:
    """Kill the processes that work on the files of this run: nobody else's do."""
    end_processes(process for process in psutil.process_iter() if _works_in(process, run_dir))


def end_processes(processes: Iterable[psutil.Process], timeout_s: float = _STOP_TIMEOUT_S) -> None:
    """Kill processes, and wait for their end, which zombies of others reach late."""
    killed: list[psutil.Process] = []
    for process in processes:
        with suppress(psutil.Error):
            process.kill()
            killed.append(process)
    psutil.wait_procs(killed, timeout=timeout_s)


def _works_in(process: psutil.Process, run_dir: Path) -> bool:
    with suppress(psutil.Error):
        files = (*process.cmdline(), *(file.path for file in process.open_files()))
        return process.pid != os.getpid() and any(f"{run_dir}/" in file for file in files)
    return False


def _folders() -> Iterator[Path]:
    """Where runs may lie, the best first."""
    folders = [tempfile.gettempdir(), "/tmp", os.environ.get("XDG_RUNTIME_DIR", ""), "/dev/shm", "/var/tmp"]
    yield from (Path(folder) for folder in dict.fromkeys(folders) if folder and Path(folder).is_dir())
