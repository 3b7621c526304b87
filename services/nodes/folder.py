"""The private folder of a node: emptied at each start, and locked by one node at a time."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from services.machine.run_dir import hold
from services.nodes.errors import NodeError
from services.nodes.haproxy import MOST_CHARACTERS
from services.telemetry import metrics_folder


def make_node_folder(folder: Path) -> Path:
    """Create an empty folder that only its owner can read, with a subfolder for metrics, or empty that of a former
    node.

    Args:
        folder: Its path.

    Returns:
        Its absolute path.

    Raises:
        NodeError: it cannot be created, has another owner, is in use, holds other files, or has too long a path.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100  # a symbolic link is refused, and not followed
    if len(str(folder)) > MOST_CHARACTERS:
        raise NodeError(f"{folder} is too long for the paths of sockets: at most {MOST_CHARACTERS} characters")
    try:
        folder.mkdir(0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise NodeError(f"{folder} is not a folder of this user; choose another with --folder")
        _check_content(folder)
        folder.chmod(0o700)
        if not hold(folder):
            raise NodeError(f"another node runs in {folder}; choose another with --folder")
        _empty(folder)
        metrics_folder(folder).mkdir()
    except OSError as error:
        raise NodeError(f"{error.filename or folder}: {error.strerror or error}") from None
    return folder


def _check_content(folder: Path) -> None:
    """Refuse to empty a folder that was not created by a node."""
    names = {path.name for path in folder.iterdir()}
    if names and "lock" not in names:
        raise NodeError(f"{folder} holds files of something else; choose an empty one with --folder")


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name == "lock":
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
