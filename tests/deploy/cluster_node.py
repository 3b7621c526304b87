"""A machine of the test's cluster: processes with a network, process ids and temporary folders of their own."""

from __future__ import annotations

import ctypes
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

_STOP_TIMEOUT_S = 60.0
_PR_SET_PDEATHSIG = 1


class Node:
    """One machine. It runs one command at a time, which can be started again after it has ended.

    Args:
        name: For messages, and for its log.
        namespace: Its network namespace.
        address: Its address there.
        folder: Gets its `/tmp` and its log; must exist.
    """

    def __init__(self, name: str, namespace: str, address: str, folder: Path) -> None:
        self.name = name
        self.address = address
        self._namespace = namespace
        self._folder = folder
        self._tmp = folder / name
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Of its HAProxy."""
        return f"http://{self.address}:8000"

    @property
    def log(self) -> Path:
        """What its command has printed, over all its starts."""
        return self._folder / f"{self.name}.log"

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start a command as the first process of the machine; the whole machine ends with it.

        `/tmp` and `/dev/shm` are mounts of its own, for Ray keeps its state there and would take other nodes' for its.
        """
        self._tmp.mkdir(exist_ok=True)
        mounts = f"mount --bind {shlex.quote(str(self._tmp))} /tmp && mount -t tmpfs -o size=2g tmpfs /dev/shm"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("ip", "netns", "exec", self._namespace),
                    *("unshare", "--pid", "--fork", "--mount", "--mount-proc", "--kill-child"),
                    *("sh", "-c", f"{mounts} && exec {shlex.join(command)}"),
                ],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def run(self, command: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> str:
        """Run a command in its network, and return what it printed.

        Raises:
            AssertionError: it failed; the message is what it printed.
        """
        done = subprocess.run(
            ["ip", "netns", "exec", self._namespace, *command],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
        )
        assert done.returncode == 0, f"{shlex.join(command)}: status {done.returncode}\n{done.stdout}"
        return done.stdout

    def is_running(self) -> bool:
        """Whether its command runs."""
        return self._process is not None and self._process.poll() is None

    def has_ended(self) -> bool:
        """Whether its command has ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def processes(self) -> list[psutil.Process]:
        """Its processes; the first is its command."""
        if self._process is None:
            return []
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self._process.pid).children(recursive=True)
        return []

    def process(self, name: str) -> psutil.Process:
        """Its process of this name, such as `raylet`.

        Raises:
            LookupError: there is none.
        """
        for process in self.processes():
            with suppress(psutil.Error):
                if process.name() == name and process.status() != psutil.STATUS_ZOMBIE:
                    return process
        raise LookupError(f"{self.name} has no process {name}\n{self.log_end()}")

    def kill(self) -> None:
        """Kill every process at once, as a power cut does."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait(_STOP_TIMEOUT_S)
        self._process = None

    def terminate(self) -> None:
        """Send its command SIGTERM, as Kubernetes does to stop a pod."""
        self.processes()[0].send_signal(signal.SIGTERM)

    def wait(self, timeout_s: float) -> int:
        """Wait for the end of its command, and return the exit status."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def log_end(self) -> str:
        """The last lines of its log."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return "\n".join([f"log of {self.name}:", *text.splitlines()[-25:]])


def die_with_parent() -> None:
    """In a child: be killed when the test process is, so that no node outlives it. See prctl(2)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
