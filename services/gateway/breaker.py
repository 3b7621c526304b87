"""A circuit breaker: what has just failed is left alone for a while, and then tried by one request alone.

Source: M. Nygard, Release It!, 2nd edition, section 5.2.
"""

from __future__ import annotations

import time
from typing import Final

import structlog

log = structlog.get_logger()

PAUSE_S: Final = 0.5
"""How long something is left alone after its first failure; twice as long after each further one."""

MAX_PAUSE_S: Final = 30.0


class Breaker:
    """Says whether something outside may be asked.

    Args:
        what: What it is, for the log.
        max_pause_s: The longest pause.
    """

    def __init__(self, what: str, max_pause_s: float = MAX_PAUSE_S) -> None:
        self._what = what
        self._max_pause_s = max_pause_s
        self._pause_s = 0.0
        self._resume_at = 0.0
        self._is_trial = False

    def allows(self) -> bool:
        """Whether to ask now. After a pause one caller may; the others wait for how it fares."""
        if not self._pause_s:
            return True
        now = time.monotonic()
        if now < self._resume_at:
            return False
        self._resume_at = now + self._pause_s
        self._is_trial = True
        return True

    def succeed(self) -> None:
        """It answered."""
        self._pause_s, self._is_trial = 0.0, False

    def fail(self, error: Exception) -> None:
        """It failed, or took too long."""
        if self._pause_s and not self._is_trial:
            return  # it was asked before the failure that is already known
        self._is_trial = False
        self._pause_s = min(max(PAUSE_S, 2 * self._pause_s), self._max_pause_s)
        self._resume_at = time.monotonic() + self._pause_s
        log.warning(f"{self._what} is left alone", reason=type(error).__name__, seconds=self._pause_s)
