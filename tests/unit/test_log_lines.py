"""Log lines: their text, and when they are written."""

from __future__ import annotations

import asyncio
import io
import time
from pathlib import Path
from typing import Any

import pytest
import structlog

from services import log_lines
from services.log_lines import LINGER_S, LineLogger, LogPipe
from services.nodes.log_printer import start_log_printer

EVENTS: list[dict[str, Any]] = [
    {"event": "request", "model": "noop", "images": 1, "ms": 1.25, "request_id": "f00-1"},
    {"event": "two words", "text": "a b", "empty": "", "equals": "a=b", "quotes": 'it\'s "so"', "nothing": None},
    {"event": "forged", "request_id": "x\n2026 [error] y", "umlaut": "ü", "list": [1, "a"]},
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event["event"])
def test_text_is_that_of_structlogs_console_renderer(event: dict[str, Any]):
    line = {**event, "timestamp": "2026-11-29T15:31:49.929589Z", "level": "info"}
    expected = structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0)(None, "info", dict(line))
    assert log_lines._as_text(None, "info", dict(line)) == expected


async def test_informative_lines_are_written_together_and_a_warning_at_once_behind_them():
    written = _Written()
    logger = LineLogger(written)
    logger.info("first")
    logger.info("second")
    assert written.texts == []
    logger.warning("third")
    assert written.texts == ["first\nsecond\nthird\n"]
    logger.info("fourth")
    await asyncio.sleep(2 * LINGER_S)
    assert written.texts[1:] == ["fourth\n"]


def test_line_is_written_at_once_where_no_event_loop_runs():
    written = _Written()
    LineLogger(written).info("line")
    assert written.texts == ["line\n"]


def test_lines_come_out_of_the_pipe_whole_and_a_long_one_is_truncated(tmp_path: Path):
    lines = [f"{n} " + "x" * 1000 for n in range(10)]
    console = io.StringIO()
    start_log_printer(tmp_path, console)
    LogPipe(tmp_path / log_lines.LOG_PIPE).write("\n".join([*lines, "y" * 5000]) + "\n")
    expected = "\n".join([*lines, "y" * 4092 + "..."]) + "\n"
    for _ in range(1000):
        if len(console.getvalue()) >= len(expected):
            break
        time.sleep(0.001)
    assert console.getvalue() == expected


class _Written:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def write(self, text: str) -> None:
        self.texts.append(text)

    def flush(self) -> None:
        pass
