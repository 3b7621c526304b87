"""Structured logging: one event a line, of all processes of a node through one pipe.

Lines that are only informative wait up to `LINGER_S` for others, so that a line for each request does not wake the
process that prints them each time; a warning or an error is written at once, with those that wait.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import re
import select
import sys
import threading
import traceback
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, Final, Protocol

import orjson
import structlog

from services import metric_files
from services.settings import Settings

LOG_PIPE: Final = "log.pipe"
"""Name of the pipe in the run folder through which all processes of a stack log."""

LINGER_S: Final = 0.05
"""How long an informative line of an event loop waits for others to be written with."""

_TRACEBACK_CHARS: Final = 2500
_PLAIN: Final = re.compile(r"[^\s\"'=\x00-\x1f\x7f-\x9f]*")
"""A value that is shown as it is: without spaces, control characters, quotes and `=`."""


class Lines(Protocol):
    """Takes whole lines."""

    def write(self, text: str, /) -> object:
        """Write lines."""
        ...

    def flush(self) -> object:
        """Write what is buffered."""
        ...


class LogPipe:
    """A log file that writes whole lines to the named pipe of a running stack, without blocking.

    The process at the other end prints them. Without a reader, or with a slow one, lines are dropped.

    Args:
        path: The pipe.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pipe: int | None = None

    def write(self, text: str) -> None:
        """Write lines, as many at a time as `PIPE_BUF` has room for, up to which writes of processes are atomic; a
        longer line is truncated."""
        together = b""
        for line in text.encode().splitlines(keepends=True):
            line = line if len(line) <= select.PIPE_BUF else line[: select.PIPE_BUF - 4] + b"...\n"
            if len(together) + len(line) > select.PIPE_BUF:
                self._write(together)
                together = b""
            together += line
        self._write(together)

    def flush(self) -> None:
        """Does nothing: there is no buffer."""

    def _write(self, lines: bytes) -> None:
        try:
            if self._pipe is None:
                self._pipe = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
            os.write(self._pipe, lines)
        except BlockingIOError:
            pass
        except OSError:
            if self._pipe is not None:
                os.close(self._pipe)
            self._pipe = None


class LineLogger:
    """The logger that structlog hands rendered events to.

    Args:
        lines: Takes the lines.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._waiting: list[str] = []
        self._lock = threading.Lock()

    def info(self, line: str) -> None:
        """Write a line soon; at once where no event loop runs."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.warning(line)
            return
        with self._lock:
            is_first = not self._waiting
            self._waiting.append(line)
        if is_first:
            loop.call_later(LINGER_S, self.flush)

    debug = info

    def warning(self, line: str) -> None:
        """Write a line at once, behind those that wait."""
        with self._lock:
            self._waiting.append(line)
        self.flush()

    error = exception = critical = fatal = warn = msg = warning

    def flush(self) -> None:
        """Write the lines that wait."""
        with self._lock:
            if self._waiting:
                self._lines.write("\n".join(self._waiting) + "\n")
                self._lines.flush()
                self._waiting = []


def configure_logging(settings: Settings) -> None:
    """Configure structured logging, one event a line, to the running stack's console; call once per process."""
    pipe = settings.run_dir / LOG_PIPE if settings.run_dir else None
    logger = LineLogger(LogPipe(pipe) if pipe and pipe.exists() else sys.stderr)
    atexit.register(logger.flush)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _with_traceback,
            _as_json if settings.log_format == "json" else _as_text,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log_level.upper()]),
        logger_factory=lambda *_: logger,
        cache_logger_on_first_use=True,
    )
    if reason := metric_files.problem():
        structlog.get_logger().warning("metrics stay in memory", reason=reason)


def _with_traceback(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the end of the traceback, with the cause, to the event: as much as one atomic write to a pipe holds."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event["exception"] = "".join(traceback.format_exception(error))[-_TRACEBACK_CHARS:]
    return event


def _as_json(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    return orjson.dumps(event, default=str).decode()


def _as_text(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """Time, level, event, and the other values by name; a traceback follows in lines of its own."""
    exception = event.pop("exception", None)
    head = f"{event.pop('timestamp')} [{event.pop('level'):<9}] {event.pop('event')}"
    line = " ".join([head, *(f"{name}={_shown(value)}" for name, value in sorted(event.items()))])
    return f"{line}\n{exception}" if exception else line


def _shown(value: object) -> str:
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else repr(value)
    return repr(value)
