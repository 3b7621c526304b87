"""The Linux control groups of this process: those of a container, a service or a user's session.

https://docs.kernel.org/admin-guide/cgroup-v2.html and, for version 1, https://docs.kernel.org/admin-guide/cgroup-v1/.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

_PROCESS: Final = Path("/proc/self/cgroup")
_MOUNTS: Final = Path("/sys/fs/cgroup")


class ControlGroup(NamedTuple):
    """A control group of this process, or one above it.

    Attributes:
        version: 1 or 2: which files the folder has.
        folder: The folder of its files, which need not exist.
    """

    version: int
    folder: Path


def control_groups(controller: str, process: Path = _PROCESS, mounts: Path = _MOUNTS) -> Iterator[ControlGroup]:
    """The control groups that limit this process.

    Args:
        controller: `cpu` or `memory`.
        process: File with the control groups of this process, lines of `id:controllers:path`.
        mounts: Where control groups are mounted.
    """
    with suppress(OSError):
        for line in process.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                for root in (mounts, mounts / "unified"):
                    yield from (ControlGroup(2, folder) for folder in _ways(root, path))
            elif controller in controllers.split(","):
                for root in (mounts / controllers, mounts / controller):
                    yield from (ControlGroup(1, folder) for folder in _ways(root, path))


def _ways(root: Path, path: str) -> Iterator[Path]:
    """Folders of a control group and of those above it; a container often sees its own as the root."""
    group = PurePosixPath(path.lstrip("/"))
    if ".." not in group.parts:
        yield from (root / step for step in (group, *group.parents))
