"""LitServe's own virtual environment, for its dependencies need not agree with ours."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".venv-litserve"
REQUIREMENTS = Path(__file__).parent / "requirements-litserve.txt"
CONSTRAINTS = ROOT / "constraints.txt"


class NoLitServe(Exception):
    """The environment cannot be made; the message says why."""


def litserve_python(say: Callable[[str], None]) -> Path:
    """The interpreter of an environment that holds LitServe, made where it is missing or out of date.

    Args:
        say: Takes a line of progress.

    Raises:
        NoLitServe: there is no uv, or a package cannot be installed.
    """
    python = FOLDER / "bin" / "python"
    stamp = FOLDER / ".ready"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + CONSTRAINTS.read_bytes()).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    say(f"making {FOLDER.name} for LitServe")
    uv = _find_uv()
    _run([uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(FOLDER)])
    _run([uv, "pip", "install", "--quiet", "--python", str(python), "-c", str(CONSTRAINTS), "-r", str(REQUIREMENTS)])
    stamp.write_text(wanted, encoding="utf-8")
    return python


def _find_uv() -> str:
    """The `uv` of the search path, or the one that the Makefile installs."""
    beside = Path(sys.prefix) / "uv" / "bin" / "uv"
    found = shutil.which("uv") or (str(beside) if os.access(beside, os.X_OK) else None)
    if found is None:
        raise NoLitServe("uv is not installed")
    return found


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoLitServe(f"{' '.join(command[:3])} failed: {done.stderr.strip()[-500:]}")
