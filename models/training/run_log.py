"""The log of a training run as JSON lines, for plots."""

import json
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_DIGITS = 6


class RunLog:
    """Rows of numbers.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, row: Mapping[str, float]) -> None:
        """Appends a row, and the time (seconds since 1970) before it; what is NaN is left out, as JSON has none."""
        rounded = {key: round(value, _DIGITS) for key, value in row.items() if not math.isnan(value)}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"time": round(time.time(), 1), **rounded}) + "\n")

    def rewind(self, step: int) -> None:
        """Drops the rows of later steps, which a run that goes on from an older checkpoint does once more.

        Args:
            step: The last one whose rows stay.
        """
        if self._path.exists():
            kept = "".join(f"{line}\n" for line in self._until(step))
            self._path.write_text(kept, encoding="utf-8")

    def _until(self, step: int) -> Iterator[str]:
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                row: dict[str, Any] = json.loads(line)
            except ValueError:  # the last line of a run that was killed
                return
            if row.get("step", 0) > step:
                return
            yield line
