"""A circuit breaker: after a failure calls are skipped for a pause, and then a single trial call decides.

Source: M. Nygard, Release It!, 2nd edition, section 5.2.
"""

from __future__ import annotations

import time
from typing import Final

import structlog

log = structlog.get_logger()

PAUSE_S: Final = 0.5
"""How long the circuit stays open after the first failure; twice as long after each further one."""

MAX_PAUSE_S: Final = 30.0


class Breaker:
    """A circuit breaker for calls to an external service.

    Args:
        what: Name of the service, for the log.
        max_pause_s: Longest time that the circuit stays open.
    """

    def __init__(self, what: str, max_pause_s: float = MAX_PAUSE_S) -> None:
        self._what = what
        self._max_pause_s = max_pause_s
        self._pause_s = 0.0
        self._resume_at = 0.0
        self._is_trial = False

    def allows(self) -> bool:
        """Whether to call now. After the pause one trial call is allowed; further ones once it has succeeded."""
        if not self._pause_s:
            return True
        now = time.monotonic()
        if now < self._resume_at:
            return False
        self._resume_at = now + self._pause_s
        self._is_trial = True
        return True

    def succeed(self) -> None:
        """Record a call that succeeded."""
        self._pause_s, self._is_trial = 0.0, False

    def fail(self, error: Exception) -> None:
        """Record a call that failed or timed out."""
        if self._pause_s and not self._is_trial:
            return  # the call began before the failure that opened the circuit
        self._is_trial, before_s = False, self._pause_s
        self._pause_s = min(max(PAUSE_S, 2 * self._pause_s), self._max_pause_s)
        self._resume_at = time.monotonic() + self._pause_s
        if self._pause_s == before_s:
            return  # as before: one line is enough
        log.warning("circuit breaker opened", service=self._what, reason=type(error).__name__, seconds=self._pause_s)
