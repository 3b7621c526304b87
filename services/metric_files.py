"""Prometheus metric files whose blocks are allocated in advance, so that a full disk does not end the process.

`prometheus_client` maps files with holes into memory: where the disk is full, the first write to a page ends the
process with SIGBUS. Here all pages are allocated before they are mapped. Where that fails, the metrics of the process
stay in its memory and are missing from `/metrics`, and the process goes on.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
import sys
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import mmap_dict, values

_FIRST_BYTES = 64 * 1024
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_problems: list[str] = []


class AllocatedDict(mmap_dict.MmapedDict):  # pyright: ignore[reportUntypedBaseClass]
    """Values by key in a mapped file whose pages all exist, or in memory where the disk is full.

    Args:
        filename: Of the file; the process has it for itself.
        read_mode: Whether it is only read.
    """

    _f: Any
    _m: mmap.mmap
    _used: int
    _capacity: int

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        if read_mode:
            super().__init__(filename, read_mode)
            return
        try:
            _make_file(Path(filename))
            super().__init__(filename)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            self._f, self._fname, self._positions = None, filename, {}
            self._m, self._used, self._capacity = mmap.mmap(-1, _FIRST_BYTES), 8, _FIRST_BYTES
            self._m[:4] = struct.pack("i", self._used)
            _say_once(error)

    def _init_value(self, key: str) -> None:
        if self._used + len(key.encode()) + 32 > self._capacity:  # with length, padding, value and time
            self._grow(2 * self._capacity)
        super()._init_value(key)

    def _grow(self, capacity: int) -> None:
        try:
            if self._f is not None:
                allocate(Path(self._fname), capacity)
                self._m = mmap.mmap(self._f.fileno(), capacity)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            _say_once(error)
            self._f = None
        if self._f is None:
            known, self._m = self._m[: self._used], mmap.mmap(-1, capacity)
            self._m[: len(known)] = known
        self._capacity = capacity


def keep_metrics_from_full_disks() -> None:
    """Have `prometheus_client` use `AllocatedDict`; call it before a metric is made."""
    values.MmapedDict = AllocatedDict  # pyright: ignore[reportPrivateImportUsage]


def share_metrics(folder: Path) -> None:
    """Have `prometheus_client` keep the metrics of this process in files of a folder; call it before a metric is made.

    Args:
        folder: That all processes of a node share. It is not named in the environment that they inherit: Ray's own
            processes would keep their metrics there, too.
    """
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    values.ValueClass = values.MultiProcessValue()  # pyright: ignore[reportPrivateImportUsage]


def problem() -> str | None:
    """Why metrics of this process stay in its memory; None where they do not."""
    return _problems[0] if _problems else None


def _make_file(file: Path) -> None:
    """Make a file unless it is there; under its name only when it is whole, for others read it."""
    if file.exists() and file.stat().st_size:
        return
    draft = file.with_suffix(".new")
    try:
        allocate(draft, _FIRST_BYTES)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def allocate(path: Path, size: int) -> None:
    """Make a file at least so long, and all its blocks real.

    Raises:
        OSError: the disk has no room for them.
    """
    with path.open("ab") as file:
        missing = size - os.fstat(file.fileno()).st_size
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        elif missing > 0:
            file.write(bytes(missing))


def _say_once(error: OSError) -> None:
    """One line for each process: to its log, or where that is not set up yet, to stderr."""
    if _problems:
        return
    _problems.append(error.strerror or str(error))
    if structlog.is_configured():
        structlog.get_logger().warning("metrics stay in memory", reason=problem())
    else:
        print(f"metrics of process {os.getpid()} stay in its memory: {problem()}", file=sys.stderr, flush=True)
