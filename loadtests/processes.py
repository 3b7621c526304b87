"""Starting a system, reading the CPU time of everything it consists of, and ending it without a trace."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 60.0
_MARK = "TAPETUM_BENCHMARK"


class SystemFailed(Exception):
    """A system did not start, or ended too early; the message holds the end of its log."""


def run_generator(module: str, plan: Mapping[str, Any]) -> str:
    """Run a load generator in a process of its own until it ends.

    Args:
        module: Python module that reads a plan as JSON from standard input.
        plan: The plan, JSON-able.

    Returns:
        Its standard output.

    Raises:
        SystemFailed: the generator exited with an error.
    """
    command = [sys.executable, "-m", module]
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}  # unbuffered, `print` drops what a full pipe does not take
    done = subprocess.run(command, input=json.dumps(plan), env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemFailed(f"the load generator broke off:\n{done.stderr[-2000:]}")
    return done.stdout


class RunningSystem:
    """One system as a process tree; a context manager that leaves nothing behind.

    A process belongs to the system if it inherited a mark in its environment, so those that a library detaches from
    their parent are counted and ended, too.

    Args:
        name: For messages.
        command: Program and arguments.
        environment: Variables besides those of this process.
        log: File that takes stdout and stderr.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._name = name
        self._command = list(command)
        self._mark = uuid.uuid4().hex
        self._environment = {**os.environ, **environment, _MARK: self._mark}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RunningSystem:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        left = self.processes()
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            if error is None:
                raise SystemFailed(f"{self._name} did not end within {STOP_TIMEOUT_S:g} s") from None
        finally:
            for process in {*left, *self.processes()}:
                with suppress(psutil.Error):
                    process.kill()
            self._process.wait()

    def wait_until_ready(self, port: int, path: str) -> None:
        """Return when a GET of `path` answers 200.

        Raises:
            SystemFailed: it ended, or did not answer in time.
        """
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while get(port, path)[0] != 200:
            assert self._process is not None
            if self._process.poll() is not None:
                raise SystemFailed(f"{self._name} ended while it started:\n{self.log_end()}")
            if time.monotonic() > give_up_at:
                raise SystemFailed(f"{self._name} was not ready after {START_TIMEOUT_S:g} s:\n{self.log_end()}")
            time.sleep(0.1)

    def cpu_s(self) -> dict[int, float]:
        """CPU time (user and system, in seconds) of every process of the system since its start, by process id."""
        times: dict[int, float] = {}
        for process in self.processes():
            with suppress(psutil.Error):
                used = process.cpu_times()
                times[process.pid] = used.user + used.system
        return times

    def log_end(self) -> str:
        """The last lines of the log."""
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])

    def is_running(self) -> bool:
        """Whether the process that was started runs."""
        return self._process is not None and self._process.poll() is None

    def processes(self) -> set[psutil.Process]:
        """Every process of the system: those with its mark, and its children, for some write over their environment."""
        marked = {process for process in psutil.process_iter() if self._is_ours(process)}
        with suppress(psutil.Error):
            marked |= set(psutil.Process(self._process.pid).children(recursive=True)) if self._process else set()
        return marked

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(_MARK) == self._mark
        except psutil.Error:
            return False


def cpu_between(before: Mapping[int, float], after: Mapping[int, float]) -> float:
    """CPU seconds that a system used between two readings of `RunningSystem.cpu_s`.

    A process that began in between counts from its start; one that ended in between is not counted.
    """
    return sum(used - before.get(pid, 0.0) for pid, used in after.items())


def free_port() -> int:
    """A port of the loopback interface that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body of a GET; status 0 where nobody answers."""
    return _ask(port, "GET", path, None, {})


def post(port: int, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """Status and body of a POST; status 0 where nobody answers."""
    return _ask(port, "POST", path, body, headers)


def _ask(port: int, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30.0)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()
