"""Virtual environments of systems that are no dependencies of ours: LitServe, mosec, NVIDIA Triton and KServe.

`python -m loadtests.environments triton` makes one and says how long that took; whatever needs one makes it, too.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
INSTALL_TIMEOUT_S: Final = 600.0


class NoEnvironment(Exception):
    """The environment cannot be made; the message says why."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment in a folder of this checkout, kept between runs.

    Attributes:
        name: The folder is `.venv-NAME`, its requirements are in `loadtests/requirements-NAME.txt`.
        options: Further options of `uv pip install`.
        machines: The only values of `platform.machine()` on which its packages exist; empty: all.
        sees_ours: Whether it has the packages of this interpreter, too, after its own.
    """

    name: str
    options: Sequence[str] = ()
    machines: frozenset[str] = frozenset()
    sees_ours: bool = False

    @property
    def folder(self) -> Path:
        return ROOT / f".venv-{self.name}"

    @property
    def requirements(self) -> Path:
        return Path(__file__).parent / f"requirements-{self.name}.txt"

    def python(self, say: Callable[[str], None]) -> Path:
        """The interpreter of the environment, which is made where it is missing or out of date.

        Args:
            say: Takes lines of progress.

        Raises:
            NoEnvironment: there is no uv, a package cannot be installed, or this machine is of another kind.
        """
        if self.machines and (platform.system() != "Linux" or platform.machine() not in self.machines):
            raise NoEnvironment(f"{self.name} needs Linux on {' or '.join(sorted(self.machines))}")
        python = self.folder / "bin" / "python"
        stamp = self.folder / ".ready"
        with _locked(self.folder):
            if python.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == self._digest():
                return python
            say(f"making {self.folder.name}")
            started_at = time.monotonic()
            uv = _find_uv()
            _run([uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(self.folder)])
            packages = [*self.options, "-r", str(self.requirements)]
            _run([uv, "pip", "install", "--quiet", "--python", str(python), *packages])
            if self.sees_ours:
                self._show_ours()
            stamp.write_text(self._digest(), encoding="utf-8")
            say(f"made {self.folder.name} in {time.monotonic() - started_at:.0f} s")
        return python

    def _show_ours(self) -> None:
        """Adds the packages of this interpreter, by a path file (https://docs.python.org/3/library/site.html)."""
        (packages,) = self.folder.glob("lib/python*/site-packages")
        (packages / "ours.pth").write_text("\n".join(_our_packages()) + "\n", encoding="utf-8")

    def _digest(self) -> str:
        """Of everything that the environment depends on."""
        given = [*self.options, platform.python_version(), *(_our_packages() if self.sees_ours else ())]
        files = [self.requirements, *(Path(option) for option in self.options if Path(option).is_file())]
        return hashlib.sha256(b"\0".join([*map(str.encode, given), *(file.read_bytes() for file in files)])).hexdigest()


LITSERVE: Final = Environment("litserve", ("-c", str(ROOT / "constraints.txt")))
MOSEC: Final = Environment("mosec", LITSERVE.options, frozenset({"x86_64", "aarch64"}), sees_ours=True)
TRITON: Final = Environment("triton", ("--no-deps",), frozenset({"x86_64"}))
KSERVE: Final = Environment("kserve", ("--no-deps",))


def _our_packages() -> list[str]:
    """Folders of the packages of this interpreter."""
    return sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds a lock, so that of several test processes one makes the environment and the others wait."""
    folder.mkdir(exist_ok=True)
    with (folder / ".being-made").open("w") as file:  # `.lock` is uv's own
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _find_uv() -> str:
    """The `uv` of the search path, or the one that the Makefile installs."""
    beside = Path(sys.prefix) / "uv" / "bin" / "uv"
    found = shutil.which("uv") or (str(beside) if os.access(beside, os.X_OK) else None)
    if found is None:
        raise NoEnvironment("uv is not installed")
    return found


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise NoEnvironment(f"{' '.join(command[:3])} took longer than {INSTALL_TIMEOUT_S:g} s") from None
    if done.returncode:
        raise NoEnvironment(f"{' '.join(command[:3])} failed: {done.stderr.strip()[-500:]}")


if __name__ == "__main__":
    by_name = {environment.name: environment for environment in (LITSERVE, MOSEC, TRITON, KSERVE)}
    try:
        for wanted in sys.argv[1:]:
            by_name[wanted].python(print)
    except NoEnvironment as error:
        sys.exit(f"error: {error}")
