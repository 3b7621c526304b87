"""Start-time fair queuing: shares the time of a device equally among models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from services.deployments.run_time import RunTime

K = TypeVar("K", bound=Hashable)

TURN_S = 0.1
"""Longest turn in seconds while several users share the device: bounds the wait of other users, regardless of batch
size. An image that takes longer runs alone."""

OTHERS_S = 5.0
"""Seconds after its last turn for which a user counts as active."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A run that has begun, and its expected duration."""

    user: Hashable
    expected_s: float


class FairTurns:
    """Shares the time of a device equally among active users, regardless of the cost of their runs.

    Start-time fair queuing (Goyal, Vin & Cheng 1996, section 2): each user has a start tag, which increases by the cost
    of its runs, and the smallest tag runs next. A user that was idle continues at the current virtual time, so that
    idle time is not credited. A run is never preempted, so batches are kept short while there are several users.
    """

    def __init__(self) -> None:
        self._tags: dict[Hashable, float] = {}
        self._now = 0.0
        self._run_times: defaultdict[Hashable, RunTime] = defaultdict(RunTime)
        self._begun_at: dict[Hashable, float] = {}

    def next(self, ready: Iterable[K], user_of: Callable[[K], Hashable]) -> K:
        """The key to run next; the first where several are equal.

        Args:
            ready: Keys with queued items, at least one.
            user_of: The user that a key is charged to.
        """
        return min(ready, key=lambda key: self._start_tag(user_of(key)))

    def most_images(self, user: Hashable, now_s: float) -> int | None:
        """The most images in a turn of `user`; None without a limit, where no other user is active."""
        if all(other == user or now_s - at > OTHERS_S for other, at in self._begun_at.items()):
            return None
        return self._run_times[user].images_within(TURN_S)

    def begin(self, user: Hashable, images: int, now_s: float) -> Turn:
        """Start a turn of `user`.

        It is charged the expected cost, so that another stream does not give the next turn to the same user.
        """
        turn = Turn(user, self._run_times[user].seconds(images))
        self._now = self._start_tag(user)
        self._tags[user] = self._now + turn.expected_s
        self._begun_at[user] = now_s
        return turn

    def end(self, turn: Turn, images: int, took_s: float) -> None:
        """Charge a turn its measured cost.

        Args:
            turn: Result of `begin`.
            images: Images of the run; fewer than expected where requests were cancelled.
            took_s: Device time in seconds.
        """
        self._tags[turn.user] += took_s - turn.expected_s
        if images:
            self._run_times[turn.user].see(images, took_s)

    def _start_tag(self, user: Hashable) -> float:
        return max(self._tags.get(user, 0.0), self._now)
