"""An open load on a cluster: photos at a fixed rate, all different, each retried once through another node.

Requests go out when they are due, whatever became of earlier ones, and latencies count from the moment they were due.
A retry follows after the pause that Tapetum's client makes.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import re
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

import httpx

from loadtests.photos import SMALL, STAMP_BYTES, photos, split_for_stamp
from loadtests.statistic import percentile
from services.client.calls import FIRST_BACKOFF_S

RATE_PER_S = 16.0
MOST_SECONDS = 300.0
_TIMEOUT_S = 30.0
_STAMPS = itertools.count(time.time_ns())
"""Numbers that no other load of any test run sends."""


@dataclass
class LoadReport:
    """What became of the requests of a load.

    Attributes:
        latencies_s: From the due time of each answered request to its answer, a retry included.
        failures: What happened to first attempts that got no 200.
        lost: What happened to requests that got none at the second attempt, either.
    """

    latencies_s: list[float] = field(default_factory=list[float])
    failures: list[str] = field(default_factory=list[str])
    lost: list[str] = field(default_factory=list[str])

    @property
    def requests(self) -> int:
        """Requests that were made."""
        return len(self.latencies_s) + len(self.lost)

    @property
    def allowed_failures(self) -> int:
        """First attempts that may fail: one in 500, rounded up."""
        return math.ceil(self.requests / 500)

    def __str__(self) -> str:
        ordered = sorted(self.latencies_s)
        p50, p99 = (percentile(ordered, share) * 1e3 for share in (0.5, 0.99))
        return (
            f"{self.requests} requests, {len(self.failures)} failed at first {dict(Counter(self.failures))}, "
            f"{len(self.lost)} lost {dict(Counter(self.lost))}, p50 {p50:.0f} ms, p99 {p99:.0f} ms"
        )


class OpenLoad:
    """Sends photos for as long as it is open, `MOST_SECONDS` at most; a context manager.

    Args:
        entrances: URLs of the nodes that are asked in turn; a retry goes to the next one.
        keys: API keys that are used in turn.
        rate_per_s: Requests a second.

    Attributes:
        report: Complete once the context has ended.
    """

    def __init__(self, entrances: Sequence[str], keys: Sequence[str], rate_per_s: float = RATE_PER_S) -> None:
        assert len(entrances) >= 2, "a retry needs another node"
        self.report = LoadReport()
        self._entrances = list(entrances)
        self._keys = itertools.cycle(keys)
        self._pause_s = 1 / rate_per_s
        self._halves = [split_for_stamp(photo) for photo in photos(SMALL, ("astronaut", "chelsea", "coffee", "rocket"))]
        self._closing = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._main, daemon=True)

    def __enter__(self) -> OpenLoad:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join(3 * _TIMEOUT_S)
        if self._failure is not None and error is None:
            raise self._failure

    def _main(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as error:
            self._failure = error

    async def _run(self) -> None:
        async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as client, asyncio.TaskGroup() as group:
            started_at = time.monotonic()
            for number in itertools.count():
                due_at = started_at + number * self._pause_s
                await asyncio.sleep(due_at - time.monotonic())
                if self._closing.is_set() or due_at - started_at > MOST_SECONDS:
                    return
                group.create_task(self._request(client, number, due_at))

    async def _request(self, client: httpx.AsyncClient, number: int, due_at: float) -> None:
        before, after = self._halves[number % len(self._halves)]
        body = before + next(_STAMPS).to_bytes(STAMP_BYTES, "big") + after
        headers = {"content-type": "image/jpeg", "x-api-key": next(self._keys)}
        for attempt in range(2):
            entrance = self._entrances[(number + attempt) % len(self._entrances)]
            failure = await _ask(client, entrance, body, headers)
            if failure is None:
                self.report.latencies_s.append(time.monotonic() - due_at)
                return
            (self.report.lost if attempt else self.report.failures).append(failure)
            await asyncio.sleep(FIRST_BACKOFF_S)


async def _ask(client: httpx.AsyncClient, entrance: str, body: bytes, headers: dict[str, str]) -> str | None:
    """What happened in place of an answer with status 200; None where there was one."""
    try:
        response = await client.post(f"{entrance}/v1/classify", content=body, headers=headers)
    except httpx.HTTPError as error:
        return type(error).__name__
    if response.status_code == 200:
        return None
    code = re.search(r'"code":"(\w+)"', response.text)
    return f"{response.status_code} {code[1] if code else response.text[:100]}"
