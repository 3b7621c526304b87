"""Limits the explanations in progress in one gateway."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from services.errors import Overloaded

MOST_CALLS: Final = 4
"""Explanations of one gateway at a time, those that wait included; one more gets a 503."""
MOST_OF_TENANT: Final = 2
"""Those of one API key, so that others find a place beside it. Requests without a key share all places."""
RETRY_AFTER_S: Final = 3.0


class Places:
    """The places for explanations in progress."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    def check(self, tenant: str) -> None:
        """Refuse a request before its body is read.

        Args:
            tenant: Id of its API key; empty without one.

        Raises:
            Overloaded: all places are taken, or those of the API key.
        """
        if self._taken.total() >= MOST_CALLS:
            message, most = f"{MOST_CALLS} explanations are in progress here already", MOST_CALLS
        elif tenant and self._taken[tenant] >= MOST_OF_TENANT:
            message, most = f"{MOST_OF_TENANT} explanations of your API key are in progress already", MOST_OF_TENANT
        else:
            return
        raise Overloaded(message, {"explanations": most}, RETRY_AFTER_S)

    @contextmanager
    def place(self, tenant: str) -> Generator[None]:
        """Hold a place while a request is handled, once its body has been read.

        Args:
            tenant: Id of its API key; empty without one.

        Raises:
            Overloaded: see `check`.
        """
        self.check(tenant)
        self._taken[tenant] += 1
        try:
            yield
        finally:
            self._taken[tenant] -= 1
            self._taken += Counter()  # without those that have none
