"""Programs that come as Debian packages: installed where the tests run as root, and a skip by name elsewhere.

python -m tests.debian chromium       # installs what is missing; says so where it cannot, and never fails
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

import pytest

INSTALL_TIMEOUT_S: Final = 600.0
"""Time limit of one `apt-get`, in seconds."""

_OPTIONS: Final = ("-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=30")
_SYSTEM_FOLDERS: Final = "/usr/sbin:/sbin:/usr/lib/podman"


def need_programs(**packages: str) -> None:
    """Skip unless these programs are there, or can be installed.

    Args:
        packages: The Debian package of each program, by the program's name with `_` for `-`.
    """
    if reason := install_programs({name.replace("_", "-"): package for name, package in packages.items()}):
        pytest.skip(reason)


def install_programs(packages: Mapping[str, str]) -> str | None:
    """Installs the Debian packages of missing programs.

    Args:
        packages: The Debian package of each program, by the program's name.

    Returns:
        None if all programs are there now, else the reason in one line.
    """
    missing = {name: package for name, package in packages.items() if not _is_there(name)}
    if not missing:
        return None
    names = ", ".join(sorted(missing))
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return f"{names}: not installed, and only root on Debian can install them"
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *_OPTIONS, *sorted(set(missing.values()))]
    if not _run(install):
        return None
    _run(["apt-get", "update", *_OPTIONS])
    failure = _run(install)
    return f"{names}: apt-get install failed: {failure}" if failure else None


def _is_there(name: str) -> bool:
    return bool(shutil.which(name) or shutil.which(name, path=_SYSTEM_FOLDERS))


def _run(command: list[str]) -> str:
    """What went wrong, in a line; empty if nothing did."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return f"no end within {INSTALL_TIMEOUT_S:.0f} s"
    lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    return lines[-1] if done.returncode else ""


def main() -> None:
    """Install the packages that the command line names; a package has a program of its name."""
    if reason := install_programs({name: name for name in sys.argv[1:]}):
        print(f"{reason}; the tests that need it are skipped")


if __name__ == "__main__":
    main()
