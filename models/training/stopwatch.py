"""Counts the steps of a training run and their time."""

import time
from collections.abc import Mapping, Sequence

from torch import Tensor


class Stopwatch:
    """Counts the steps of one start of a run, a few at a time.

    Args:
        trained_s: Time that earlier starts of the run took.

    Attributes:
        trained_s: Time that all starts took.
        images_per_s: Speed of this one.
    """

    def __init__(self, trained_s: float = 0.0) -> None:
        self.trained_s = trained_s
        self._rows: list[dict[str, Tensor]] = []
        self._started_at = 0.0
        self._seconds = 0.0
        self._steps = 0
        self.images_per_s = 0.0

    @property
    def steps(self) -> int:
        """Steps since `start`."""
        return len(self._rows)

    def start(self) -> None:
        """Begins to count."""
        self._rows = []
        self._started_at = time.monotonic()

    def tick(self, row: dict[str, Tensor]) -> None:
        """Counts a step, with what is to be remembered of it."""
        self._rows.append(row)

    def stop(self, batch_size: int) -> tuple[Sequence[Mapping[str, Tensor]], float]:
        """Ends the count; gives what was counted, and its images in a second."""
        rows, seconds = self._rows, max(time.monotonic() - self._started_at, 1e-9)
        self._rows = []
        self._seconds += seconds
        self._steps += len(rows)
        self.trained_s += seconds
        self.images_per_s = self._steps * batch_size / self._seconds
        return rows, len(rows) * batch_size / seconds

    def seconds_for(self, steps: int) -> float:
        """What steps will take, going by those so far."""
        return steps * self._seconds / self._steps
