"""Prints the log lines of all processes of a stack."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import TextIO

from services.telemetry import LOG_PIPE


def start_log_printer(run_dir: Path) -> None:
    """Make the pipe that processes log through, and print what comes out of it for as long as this process runs."""
    pipe = run_dir / LOG_PIPE
    os.mkfifo(pipe, 0o600)
    end = os.open(pipe, os.O_RDWR)  # for writing too, so that it never reads as ended
    threading.Thread(target=_print_lines, args=(end, sys.stderr), name="log printer", daemon=True).start()


def _print_lines(pipe: int, console: TextIO) -> None:
    with os.fdopen(pipe, "r", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            console.write(line)
            console.flush()
