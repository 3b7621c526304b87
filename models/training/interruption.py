"""Stops a training run between two steps on SIGINT (Ctrl-C) or SIGTERM."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class RunStopped(Exception):
    """A run was asked to stop, and has.

    Args:
        number: The signal that asked.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.number).name}"


class Interruption:
    """While it is entered, signals wait until `check`; a second one interrupts the process where it is.

    In any thread but the main one, where Python allows no handlers, it does nothing.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._pending: int | None = None
        self._at_once = False

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Ends the run if that was asked for.

        Raises:
            RunStopped: It was.
        """
        if self._pending is not None:
            raise RunStopped(self._pending)

    @contextmanager
    def at_once(self) -> Generator[None, None, None]:
        """For work that may be broken off anywhere: within it signals do not wait."""
        self.check()
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._pending is not None:
            raise KeyboardInterrupt
        self._pending = number
        if self._at_once:
            raise RunStopped(number)
