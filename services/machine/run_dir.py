"""The private folder of a running stack or node: where it may lie, and what becomes of one whose stack was killed.

A process holds its folder by a lock on a file in it. The kernel lets go of the lock when the process ends, however that
ends, and knows the locks of all containers that share the folder, whose process ids mean nothing to each other.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

_PREFIX: Final = "tapetum-"
_LOCK: Final = "lock"
_STOP_TIMEOUT_S: Final = 5.0
_held: Final[dict[Path, int]] = {}
"""Locks of this process, by folder."""

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
    """A private folder for one run, held by this process.

    Raises:
        NoFolder: there is no place for it.
    """
    draft = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}{os.getpid()}-", dir=socket_folder()))
    run_dir = draft.with_name(draft.name.removeprefix("."))
    lock = _lock(draft)
    draft.rename(run_dir)  # only now does another start see it
    if lock is not None:
        _held[run_dir] = lock
    return run_dir


def hold(folder: Path) -> bool:
    """Hold a folder for as long as this process runs; False where another process holds it."""
    lock = _lock(folder)
    if lock is not None:
        _held[folder] = lock
    return lock is not None


def release(folder: Path) -> None:
    """Let go of a folder that this process holds."""
    if (lock := _held.pop(folder, None)) is not None:
        os.close(lock)


def _lock(folder: Path) -> int | None:
    """The descriptor of a locked file; None where another process has the lock."""
    lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def clean_up_after_crashes() -> None:
    """Remove the folders of runs that were killed, and end processes that were left running on them."""
    for run_dir in (found for folder in _folders() for found in folder.glob(f"{_PREFIX}*-*")):
        pid = run_dir.name.removeprefix(_PREFIX).partition("-")[0]
        with suppress(OSError):
            if pid.isdigit() and run_dir.stat().st_uid == os.getuid() and _is_left(run_dir, int(pid)):
                end_processes_of(run_dir)
                shutil.rmtree(run_dir, ignore_errors=True)


def _is_left(run_dir: Path, pid: int) -> bool:
    """Whether the process that made a folder has ended; a folder without a lock is of a version that made none."""
    if not (run_dir / _LOCK).exists():
        return not psutil.pid_exists(pid)
    if (lock := _lock(run_dir)) is None:
        return False
    os.close(lock)
    return True


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
