"""Whose turn it is on a shared device: the one that has had the least of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


class FairTurns:
    """Shares the time of a device equally among those that have work, whatever one run of each costs.

    Start-time fair queuing (Goyal, Vin & Cheng 1996, section 2): each user has a start tag, which the cost of its runs
    moves on, and the smallest goes next. One that had no work for a while continues at the present tag, so that nobody
    saves up time. A run is never interrupted: one that comes waits for the runs that have begun, and for no more than
    its share of others.
    """

    def __init__(self) -> None:
        self._tags: dict[Hashable, float] = {}
        self._now = 0.0

    def next(self, ready: Iterable[K], user_of: Callable[[K], Hashable]) -> K:
        """What is to run now; of equals the first.

        Args:
            ready: What could run, at least one.
            user_of: Who pays for it.
        """
        chosen = min(ready, key=lambda key: self._start_tag(user_of(key)))
        self._now = self._tags[user_of(chosen)] = self._start_tag(user_of(chosen))
        return chosen

    def charge(self, user: Hashable, cost_s: float) -> None:
        """Count seconds of a run that has had its turn; negative where more was counted before than it took."""
        self._tags[user] += cost_s

    def _start_tag(self, user: Hashable) -> float:
        return max(self._tags.get(user, 0.0), self._now)
