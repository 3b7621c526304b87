"""Fair queuing: shares the time of a device among models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from services.deployments.run_time import RunTime

K = TypeVar("K", bound=Hashable)

TURN_S = 0.1
"""Longest turn while others use the device too: what comes then waits for no more than that, however large batches are.
An image that takes longer has a turn of its own."""

OTHERS_S = 5.0
"""How long one counts as a user of the device after its last turn."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A run that has begun, and its expected duration."""

    user: Hashable
    expected_s: float


class FairTurns:
    """Shares the time of a device equally among those that have work, whatever one run of each costs.

    Start-time fair queuing (Goyal, Vin & Cheng 1996, section 2): each user has a start tag, which the cost of its runs
    moves on, and the smallest goes next. One that had no work for a while continues at the present tag, so that nobody
    saves up time. A run is never interrupted, so batches are kept short while there are several users.
    """

    def __init__(self) -> None:
        self._tags: dict[Hashable, float] = {}
        self._now = 0.0
        self._run_times: defaultdict[Hashable, RunTime] = defaultdict(RunTime)
        self._begun_at: dict[Hashable, float] = {}

    def next(self, ready: Iterable[K], user_of: Callable[[K], Hashable]) -> K:
        """The key to run next; the first where several are equal.

        Args:
            ready: Keys that could run, at least one.
            user_of: The user that a key is charged to.
        """
        return min(ready, key=lambda key: self._start_tag(user_of(key)))

    def most_images(self, user: Hashable, now_s: float) -> int | None:
        """Images that fill a turn of `user`; None where there is no bound, for no other uses the device."""
        if all(other == user or now_s - at > OTHERS_S for other, at in self._begun_at.items()):
            return None
        return self._run_times[user].images_within(TURN_S)

    def begin(self, user: Hashable, images: int, now_s: float) -> Turn:
        """Give `user` its turn.

        It is charged before its cost is known, so that another stream does not give the next turn to the same user.
        """
        turn = Turn(user, self._run_times[user].seconds(images))
        self._now = self._start_tag(user)
        self._tags[user] = self._now + turn.expected_s
        self._begun_at[user] = now_s
        return turn

    def end(self, turn: Turn, images: int, took_s: float) -> None:
        """Charge a turn by what it took.

        Args:
            turn: What `begin` returned.
            images: Images that were run; fewer than expected where clients have gone.
            took_s: Seconds of the device.
        """
        self._tags[turn.user] += took_s - turn.expected_s
        if images:
            self._run_times[turn.user].see(images, took_s)

    def _start_tag(self, user: Hashable) -> float:
        return max(self._tags.get(user, 0.0), self._now)
