"""Programs that come as Debian packages, installed where the tests run as root, and a skip by name elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def need_programs(**packages: str) -> None:
    """Skip unless these programs are there, or can be installed.

    Args:
        packages: The Debian package of each program, by the program's name with `_` for `-`.
    """
    missing = {name.replace("_", "-"): package for name, package in packages.items() if not _is_there(name)}
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        pytest.skip(f"{', '.join(sorted(missing))}: not installed, and only root on Debian can install them")
    install = ["apt-get", "install", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (install, ["apt-get", "update"], install):
        full = [*command, *sorted(set(missing.values()))] if command is install else command
        done = subprocess.run(full, env=environment, capture_output=True, text=True, check=False)
        if command is install and done.returncode == 0:
            return
    pytest.skip(f"{', '.join(sorted(missing))}: apt-get install failed: {done.stderr.strip().splitlines()[-1:]}")


def _is_there(name: str) -> bool:
    program = name.replace("_", "-")
    return bool(shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin:/usr/lib/podman"))
