"""The store of what each version has answered, which all gateways share: counts that only grow, on Redis or in memory.

A hash for each model has a field for each count of a version: `VERSION requests`, `VERSION failed` and one for each
bucket of latencies.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final, Protocol, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.rollout.latencies import LARGEST
from services.rollout.traffic import Traffic

TTL_S: Final = 30 * 24 * 3600
"""Time to live of the counts of a model without requests."""

_REQUESTS, _FAILED = "requests", "failed"


class TrafficStoreFailed(Exception):
    """The store is down or slow; its argument names the reason."""


class TrafficStore(Protocol):
    """The interface of the store."""

    async def add(self, name: str, traffic: Mapping[str, Traffic]) -> None:
        """Add to the counts of a model.

        Args:
            name: The model.
            traffic: By version.

        Raises:
            TrafficStoreFailed: nothing, or perhaps all of it, was added.
        """
        ...

    async def read(self, name: str) -> Mapping[str, Traffic]:
        """The counts of a model, by version.

        Raises:
            TrafficStoreFailed
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class MemoryTrafficStore:
    """A store of one process, for tests and for a gateway on its own."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, Traffic]] = defaultdict(dict)

    async def add(self, name: str, traffic: Mapping[str, Traffic]) -> None:
        """Add to the counts of a model."""
        counts = self._counts[name]
        for version, more in traffic.items():
            counts[version] = counts.get(version, Traffic()) + more

    async def read(self, name: str) -> Mapping[str, Traffic]:
        """The counts of a model, by version."""
        return dict(self._counts[name])

    async def close(self) -> None:
        """Forget everything."""
        self._counts.clear()


class RedisTrafficStore:
    """A store on a Redis-compatible server, for one stack; several stacks may share the server.

    Args:
        redis: The connection.
        stack: Name of the stack.
    """

    def __init__(self, redis: Redis, stack: str) -> None:
        self._redis = redis
        self._prefix = f"tapetum:traffic:{stack}:"

    async def add(self, name: str, traffic: Mapping[str, Traffic]) -> None:
        """Add to the counts of a model, all at once."""
        pipeline = self._redis.pipeline()
        for version, more in traffic.items():
            for member, count in _members(more):
                pipeline.hincrby(f"{self._prefix}{name}", f"{version} {member}", count)
        pipeline.expire(f"{self._prefix}{name}", TTL_S)
        try:
            await pipeline.execute()
        except RedisError as error:
            raise TrafficStoreFailed(type(error).__name__) from None

    async def read(self, name: str) -> Mapping[str, Traffic]:
        """The counts of a model, by version; malformed fields are skipped."""
        try:
            fields = cast(Mapping[bytes, bytes], await self._redis.hgetall(f"{self._prefix}{name}"))  # pyright: ignore[reportGeneralTypeIssues]
        except RedisError as error:
            raise TrafficStoreFailed(type(error).__name__) from None
        counts: dict[str, dict[str, int]] = defaultdict(dict)
        for field, value in fields.items():
            version, _, member = field.decode(errors="replace").rpartition(" ")
            if value.isdigit() and _is_member(member):
                counts[version][member] = int(value)
        return {version: _traffic(members) for version, members in counts.items()}

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


def _members(traffic: Traffic) -> Iterator[tuple[str, int]]:
    counts = {_REQUESTS: traffic.requests, _FAILED: traffic.failed}
    yield from ((member, count) for member, count in counts.items() if count)
    yield from ((str(bucket), count) for bucket, count in traffic.latencies.items())


def _is_member(member: str) -> bool:
    return member in (_REQUESTS, _FAILED) or (member.isdecimal() and int(member) <= LARGEST)


def _traffic(members: Mapping[str, int]) -> Traffic:
    latencies = {int(member): count for member, count in members.items() if member.isdecimal()}
    return Traffic(members.get(_REQUESTS, 0), members.get(_FAILED, 0), latencies)
