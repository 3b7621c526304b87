"""Times between arrivals: at random, or at random in bursts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

BURST_SHARE: Final = 0.1
"""Share of the time that is a burst."""
BURST_S: Final = 1.0
"""Mean length of a burst."""


def gaps_s(rate: float, burst: float, chance: random.Random) -> Iterator[float]:
    """Times between arrivals, in seconds; endless.

    With `burst` 1 arrivals are a Poisson process. With more they are a Markov-modulated one (W. Fischer and K.
    Meier-Hellstern, "The Markov-modulated Poisson process cookbook", Performance Evaluation 18, 1993) of two states:
    for a tenth of the time the rate is `burst` times the mean.

    Args:
        rate: Mean rate, per second.
        burst: Rate of a burst over the mean rate, 1 to 10.
        chance: Source of randomness.

    Raises:
        ValueError: `burst` is out of its range.
    """
    if not 1 <= burst <= 1 / BURST_SHARE:
        raise ValueError(f"burst must be in [1, {1 / BURST_SHARE:g}], not {burst:g}")
    if burst == 1:
        while True:
            yield chance.expovariate(rate)
    rates = {True: rate * burst, False: rate * (1 - BURST_SHARE * burst) / (1 - BURST_SHARE)}
    lengths_s = {True: BURST_S, False: BURST_S * (1 - BURST_SHARE) / BURST_SHARE}
    is_burst, gap_s = False, 0.0
    left_s = chance.expovariate(1 / lengths_s[is_burst])
    while True:
        next_s = chance.expovariate(rates[is_burst]) if rates[is_burst] > 0 else float("inf")
        if next_s <= left_s:
            left_s -= next_s
            yield gap_s + next_s
            gap_s = 0.0
        else:  # the state ends first; what comes after it does not depend on what came before
            gap_s += left_s
            is_burst = not is_burst
            left_s = chance.expovariate(1 / lengths_s[is_burst])
