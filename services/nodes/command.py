"""Runs the command of a node as an init process does.

It forwards signals, returns the exit status, converts the output to log lines, reaps orphaned processes, and leaves
none behind.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import FrameType
from typing import IO, Final

import psutil

from services.machine.run_dir import end_processes
from services.nodes.errors import NodeError

PASSED_ON: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that are forwarded to the command."""

STOPPING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_PR_SET_CHILD_SUBREAPER: Final = 36
_LAST_LINES_S: Final = 1.0


def run_command(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    take_line: Callable[[str], None],
    stopping: Callable[[], None],
) -> int:
    """Run a command in the foreground; call it in the main thread.

    Args:
        command: Program and arguments.
        environment: Its environment variables.
        take_line: Called with each line of its output.
        stopping: Called on a signal to stop, before it is forwarded.

    Returns:
        Its exit status; 128 and the number of the signal where one ended it.

    Raises:
        NodeError: the program cannot be started.
    """
    _adopt_orphans()
    running: list[int] = []
    early: list[int] = []

    def pass_on(number: int, _frame: FrameType | None = None) -> None:
        if number in STOPPING:
            stopping()
        if not running:
            early.append(number)
        for pid in running:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    before = {number: signal.signal(number, pass_on) for number in PASSED_ON}
    try:
        process = _start(command, environment)
        running.append(process.pid)
        for number in early:
            pass_on(number)
        assert process.stdout is not None
        printer = threading.Thread(target=_read_lines, args=(process.stdout, take_line), daemon=True)
        printer.start()
        status = _wait(process)
        running.clear()
        end_processes(psutil.Process().children(recursive=True))
        printer.join(_LAST_LINES_S)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return status if status >= 0 else 128 - status


def _start(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,  # a terminal's Ctrl-C comes once, by way of this process
        )
    except OSError as error:
        raise NodeError(f"{command[0]} cannot be started: {(error.strerror or str(error)).lower()}") from None


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for children until this one ends: a container's first process also gets orphaned ones."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == process.pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode


def _read_lines(output: IO[bytes], take_line: Callable[[str], None]) -> None:
    with output:
        for line in output:
            with suppress(OSError):  # nobody reads ours any more; the command must not wait for that
                take_line(line.decode("utf-8", "replace").rstrip("\r\n"))


def _adopt_orphans() -> None:
    """On Linux: become the parent of all orphaned descendants (PR_SET_CHILD_SUBREAPER, prctl(2))."""
    if platform.system() == "Linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
