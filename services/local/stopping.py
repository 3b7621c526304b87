"""Shutdown by signals: graceful after the first, immediate after the second.

first SIGINT or SIGTERM    StopRequested in the main thread: what is in flight is answered
second                     every process is killed, whatever the main thread is doing
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

import psutil

from services.machine.run_dir import end_processes, end_processes_of

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_END_TIMEOUT_S: Final = 1.0
_SAME_S: Final = 0.1
"""Seconds within which repeated signals count as one: a terminal and a wrapper such as `uv run` both send one."""


class StopRequested(BaseException):
    """SIGINT or SIGTERM was received; a BaseException, so that libraries do not catch it as an error."""


@contextmanager
def unwrapped() -> Generator[None]:
    """Raises StopRequested for what Ray makes of a signal: a SystemError in its C code, an exit by its own handler."""
    try:
        yield
    except SystemError as error:
        if isinstance(error.__cause__, StopRequested):
            raise error.__cause__ from None
        raise
    except SystemExit as error:
        if error.code == signal.SIGTERM:  # of the handler that Ray has while it starts
            raise StopRequested from None
        raise


class StopSignals:
    """Handles SIGINT and SIGTERM between `open` and `close`, which the main thread must call.

    Args:
        run_dir: Folder of the stack that a second signal ends.
    """

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._raises = False
        self._before: dict[int, Any] = {}
        self._receiver, self._sender = socket.socketpair()

    def open(self) -> None:
        """Install the signal handlers; the first signal raises."""
        self._before = {number: signal.getsignal(number) for number in _SIGNALS}
        self._sender.setblocking(False)
        signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="stop signals", daemon=True).start()
        self.listen()

    def close(self) -> None:
        """Restore the previous handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        self._sender.close()

    def listen(self) -> None:
        """From now on the first signal raises; call it again after Ray has installed its own handlers."""
        self._raises = True
        for number in _SIGNALS:
            signal.signal(number, self._handle)

    def hold(self) -> None:
        """From now on no signal raises, as the stack shuts down; one more still ends it at once."""
        self._raises = False
        for number in _SIGNALS:
            signal.signal(number, self._handle)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self._raises:
            self._raises = False
            raise StopRequested

    def _watch(self) -> None:
        """Read the numbers of signals, which arrive even while the main thread is inside of Ray's C++."""
        first_at: float | None = None
        while received := self._receiver.recv(1):
            if received[0] not in _SIGNALS:
                continue
            now = time.monotonic()
            if first_at is None:
                first_at = now
            elif now - first_at > _SAME_S:
                end_at_once(self._run_dir, 128 + received[0])
        self._receiver.close()


def end_at_once(run_dir: Path, status: int) -> NoReturn:
    """Kill every process of a stack, remove its folder, and end this process.

    Args:
        run_dir: Of the stack.
        status: Exit status.
    """
    with Path(os.devnull).open("wb") as nowhere:  # Ray's threads in this process report all that they lose
        os.dup2(nowhere.fileno(), 2)
    end_processes(psutil.Process().children(recursive=True), _END_TIMEOUT_S)
    end_processes_of(run_dir)
    shutil.rmtree(run_dir, ignore_errors=True)
    os._exit(status)
