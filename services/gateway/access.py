"""Who may send requests: API keys, and rate limits of clients and of wrong keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.errors import Forbidden
from services.gateway.limits import ApiKeys, GuessLog, RateLimiter


@dataclass(frozen=True, slots=True)
class Access:
    """Lets clients in, the same by every protocol.

    Attributes:
        keys: Accepted API keys.
        limiter: Rate limit; None: no limit.
        open_probes: Whether probes and documents are answered without a key.
        guesses: Logs wrong keys.
    """

    keys: ApiKeys
    limiter: RateLimiter | None
    open_probes: bool
    guesses: GuessLog = field(default_factory=GuessLog)

    async def check(self, headers: Mapping[str, str], address: str, *, is_counted: bool = True) -> str:
        """Check the key of a request and count the request, and return an id of the client.

        Args:
            headers: With the key; see `ApiKeys.check`.
            address: Of the client.
            is_counted: Whether the request counts towards the rate limit; probes do not.

        Raises:
            Unauthorized: a key is required, and none was sent.
            Forbidden: the key is unknown.
            RateLimited: the client, or the wrong keys of its address, exceed the limit.
        """
        client = await self._check_key(headers, address)
        if self.limiter is not None and is_counted:
            await self.limiter.check(client or address)
        return client

    async def _check_key(self, headers: Mapping[str, str], address: str) -> str:
        if self.limiter is not None:
            await self.limiter.check_guesses(address)
        try:
            return self.keys.check(headers)
        except Forbidden:
            self.guesses.add(address)
            if self.limiter is not None:
                await self.limiter.count_guess(address)
            raise
