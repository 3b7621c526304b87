"""An open-loop load generator: requests arrive at a rate, whether or not earlier ones were answered.

A closed loop waits for a slow answer before it sends the next request, so it sends least when the service is slowest,
and the requests that it did not send are missing from its percentiles: *coordinated omission* (G. Tene, "How NOT to
measure latency", 2013, and the README of wrk2). Here arrivals are a Poisson process, as those of many independent
users are, and a latency counts **from the moment at which the request was due**: whatever makes it late, a slow
answer before it, a missing connection or this program itself, is in the figure.

How late this program was is measured for every request (`Arrival.late_s`). It is no property of the service, so a run
in which it was large is discarded: see `loadtests.point`.

It runs as a process of its own, `python -m loadtests.arrivals`, which reads an `ArrivalPlan` as JSON from stdin and
prints an `Offered` as JSON.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import random
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

from loadtests.connection import Connection, Requests
from loadtests.http_response import Response
from loadtests.load_plan import ArrivalPlan, read_arrival_plan, requests_of
from loadtests.processes import run_generator

START_S: Final = 0.05
TIMER_S: Final = 0.0005
"""uvloop rounds times to milliseconds: half of one added, and no request leaves before it is due."""


class Arrival(NamedTuple):
    """What became of one request; all times in seconds.

    Attributes:
        due_s: When it was due, from the start of the run.
        late_s: How much later this program sent it, or queued it for want of a connection.
        took_s: From when it was due to the last byte of its response, or to its failure.
        outcome: Status of the response, such as `200`; or `connection`, `malformed` or `unanswered`.
    """

    due_s: float
    late_s: float
    took_s: float
    outcome: str


@dataclass(frozen=True)
class Offered:
    """What came of a plan.

    Attributes:
        arrivals: Every request, in the order in which they ended.
        ended_early: Why the run ended before its time; None where it did not.
        cpu_s: CPU time that the generator itself used.
        connections: Connections that it opened.
        first_error: The beginning of the first response without a status 200, or of the first failure.
    """

    arrivals: Sequence[Arrival]
    ended_early: str | None
    cpu_s: float
    connections: int
    first_error: str | None


def due_times(phases: Sequence[tuple[float, float]], seed: int) -> Iterator[float]:
    """Arrival times of a Poisson process, in seconds from its start.

    Args:
        phases: (rate, seconds) one after the other; in each the gaps are exponential with mean 1 / rate.
        seed: The same seed gives the same times.
    """
    chance = random.Random(seed)
    begins_at = 0.0
    for rate, seconds in phases:
        due = begins_at + chance.expovariate(rate)
        while due < begins_at + seconds:
            yield due
            due += chance.expovariate(rate)
        begins_at += seconds


class Arrivals:
    """One run of a plan.

    Args:
        plan: What to do.
    """

    def __init__(self, plan: ArrivalPlan) -> None:
        self._plan = plan
        self._requests = requests_of(plan)
        self._started_at = 0.0
        self._done: list[Arrival] = []
        self._in_flight: dict[Requests, tuple[float, float]] = {}
        self._waiting: deque[tuple[float, float]] = deque()
        self._idle: list[Requests] = []
        self._open: set[Requests] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._opened = 0
        self._first_error: str | None = None

    @property
    def unanswered(self) -> int:
        """Arrivals that have no answer yet."""
        return len(self._in_flight) + len(self._waiting)

    async def run(self) -> Offered:
        """Send every request when it is due, and wait for the last answers."""
        self._started_at = time.perf_counter() + START_S
        ended_early = None
        for due_s in due_times(self._plan.phases, self._plan.seed):
            wait_s = due_s - self._now_s()
            await asyncio.sleep(wait_s + TIMER_S if wait_s > 0 else 0.0)
            self._arrive(due_s)
            if self.unanswered > self._plan.max_unanswered:
                ended_early = f"{self.unanswered} requests had no answer after {self._now_s():.1f} s"
                break
        await self._drain()
        return Offered(self._done, ended_early, time.process_time(), self._opened, self._first_error)

    def opened(self, connection: Requests) -> None:
        """See `loadtests.connection.Caller`."""
        self._open.add(connection)
        self._opened += 1
        self._take_next(connection)

    def answered(self, connection: Requests, response: Response) -> None:
        """See `loadtests.connection.Caller`."""
        if response.status != 200:
            self._note(f"{response.status}: {response.body[:300].decode(errors='replace')}")
        self._end(self._in_flight.pop(connection), str(response.status))
        if connection.is_open:
            self._take_next(connection)

    def failed(self, connection: Requests, kind: str, text: str) -> None:
        """See `loadtests.connection.Caller`."""
        self._note(f"{kind}: {text[:300]}")
        self._end(self._in_flight.pop(connection), kind)

    def lost(self, connection: Requests) -> None:
        """See `loadtests.connection.Caller`."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._waiting:
            self._connect_soon()

    def _now_s(self) -> float:
        return time.perf_counter() - self._started_at

    def _arrive(self, due_s: float) -> None:
        self._waiting.append((due_s, self._now_s() - due_s))
        if self._idle:
            self._take_next(self._idle.pop())
        else:
            self._connect_soon()

    def _take_next(self, connection: Requests) -> None:
        if not self._waiting:
            self._idle.append(connection)
            return
        self._in_flight[connection] = self._waiting.popleft()
        connection.send(next(self._requests))

    def _end(self, arrival: tuple[float, float], outcome: str) -> None:
        due_s, late_s = arrival
        self._done.append(Arrival(due_s, late_s, self._now_s() - due_s, outcome))

    def _note(self, error: str) -> None:
        self._first_error = self._first_error or error

    def _connect_soon(self) -> None:
        if len(self._open) + len(self._connecting) < self._plan.connections:
            task = asyncio.get_running_loop().create_task(self._connect())
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: Connection(self), self._plan.host, self._plan.port
            )
        except OSError as error:
            self._note(f"connection: {error}")
            if self._waiting:
                self._end(self._waiting.popleft(), "connection")

    async def _drain(self) -> None:
        give_up_at = time.monotonic() + self._plan.drain_s
        while self.unanswered and time.monotonic() < give_up_at:
            await asyncio.sleep(0.01)
        for arrival in itertools.chain(self._in_flight.values(), self._waiting):
            self._end(arrival, "unanswered")
        self._waiting.clear()
        for task in self._connecting:
            task.cancel()
        for connection in list(self._open):
            connection.close()
        await asyncio.sleep(0.01)  # sockets are closed on the loop's next turn


def offer(plan: ArrivalPlan) -> Offered:
    """Run a plan in a process of its own.

    Raises:
        SystemFailed: the generator broke off.
    """
    return read_offered(json.loads(run_generator("loadtests.arrivals", asdict(plan))))


def read_offered(document: dict[str, Any]) -> Offered:
    """What came of a plan, from its JSON form."""
    return Offered(**{**document, "arrivals": [Arrival(*arrival) for arrival in document["arrivals"]]})


async def _run(plan: ArrivalPlan) -> Offered:
    return await Arrivals(plan).run()


def main() -> None:
    """Run the plan that stdin holds."""
    plan = read_arrival_plan(json.load(sys.stdin))
    gc.disable()
    try:
        from uvloop import run
    except ImportError:
        from asyncio import run
    offered = run(_run(plan))
    print(json.dumps({**vars(offered), "arrivals": offered.arrivals}))


if __name__ == "__main__":
    main()
