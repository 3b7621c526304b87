"""Prints the log lines of all processes of a node."""

from __future__ import annotations

import codecs
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final, TextIO

from services.log_lines import LOG_PIPE

_READ_BYTES: Final = 2**16


def start_log_printer(run_dir: Path, console: TextIO) -> None:
    """Create the named pipe of the logs, and print its lines as long as this process runs.

    Args:
        run_dir: Private folder of the node.
        console: Where to print.
    """
    pipe = run_dir / LOG_PIPE
    os.mkfifo(pipe, 0o600)
    end = os.open(pipe, os.O_RDWR)  # for writing too, so that it never reads as ended
    threading.Thread(target=_print_lines, args=(end, console), name="log printer", daemon=True).start()


def _print_lines(pipe: int, console: TextIO) -> None:
    """Print what is there at a time, which may be many lines."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while lines := os.read(pipe, _READ_BYTES):
        with suppress(OSError):  # nobody reads the console any more; the processes must not notice
            console.write(decoder.decode(lines))
            console.flush()
