"""A closed-loop load generator: a fixed number of connections, each with one request in flight at all times.

It runs as a process of its own, `python -m loadtests.load`, which reads a `LoadPlan` as JSON from stdin and prints

    begin            the warm-up is over, the measured window opens
    end              the window has closed
    {…}              the `LoadResult` as JSON

so that whoever started it can read other clocks at the same two moments. It shares the machine with what it measures,
so it is written to cost little: bodies are made before the clock starts, a request is one write, and a response is
taken apart by `http_response`. Time, connections and the number of requests are bounded.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict

from loadtests.connection import Connection, Requests
from loadtests.http_response import Response
from loadtests.load_plan import LoadPlan, LoadResult, read_plan, requests_of
from loadtests.statistic import percentile

CONNECT_S = 10.0
DRAIN_S = 30.0
RECONNECT_S = 0.05


class Load:
    """One run of a plan.

    Args:
        plan: What to do.
    """

    def __init__(self, plan: LoadPlan) -> None:
        self.requests = requests_of(plan)
        self.closing = False
        self._plan = plan
        self._latencies_s: list[float] = []
        self._total = 0
        self._errors: Counter[str] = Counter()
        self._first_error: str | None = None
        self._full = asyncio.Event()
        self._connections: set[Requests] = set()
        self._connecting: set[asyncio.Task[None]] = set()

    async def run(self) -> LoadResult:
        """Warm up, measure, and let the last requests come to their end."""
        for _ in range(self._plan.concurrency):
            self._connect_soon(0.0)
        await asyncio.wait(self._connecting, timeout=CONNECT_S)
        await asyncio.sleep(self._plan.warm_up_s)
        latencies_s = self._latencies_s = []
        say("begin")
        started_at, cpu_at = time.perf_counter(), time.process_time()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._full.wait(), self._plan.seconds)
        seconds, load_cpu_s = time.perf_counter() - started_at, time.process_time() - cpu_at
        self._latencies_s = []
        say("end")
        await self._drain()
        return self._result(sorted(latencies_s), seconds, load_cpu_s)

    def count(self, response: Response, latency_s: float) -> None:
        """Count a response."""
        if response.status != 200:
            self.count_error(str(response.status), response.body.decode(errors="replace"))
            return
        self._total += 1
        self._latencies_s.append(latency_s)
        if len(self._latencies_s) >= self._plan.max_requests:
            self._full.set()

    def count_error(self, kind: str, text: str) -> None:
        """Count a request that was not answered with a 200."""
        self._errors[kind] += 1
        self._first_error = self._first_error or f"{kind}: {text[:300]}"

    def opened(self, connection: Requests) -> None:
        """A connection is there: send the first request."""
        self._connections.add(connection)
        self._send(connection)

    def answered(self, connection: Requests, response: Response) -> None:
        """A response has come: count it, and send the next request."""
        self.count(response, time.perf_counter() - connection.sent_at)
        self._send(connection)

    def failed(self, connection: Requests, kind: str, text: str) -> None:
        """A request has no response."""
        self.count_error(kind, text)

    def lost(self, connection: Requests) -> None:
        """A connection is gone: open another in its place."""
        self._connections.discard(connection)
        self._connect_soon(RECONNECT_S)

    def _send(self, connection: Requests) -> None:
        if connection.is_open and not self.closing:
            connection.send(next(self.requests))

    def _connect_soon(self, delay_s: float) -> None:
        if self.closing:
            return
        task = asyncio.get_running_loop().create_task(self._connect(delay_s))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        loop, plan = asyncio.get_running_loop(), self._plan
        try:
            await loop.create_connection(lambda: Connection(self), plan.host, plan.port)
        except OSError as error:
            self.count_error("connection", str(error))
            self._connect_soon(RECONNECT_S)

    async def _drain(self) -> None:
        self.closing = True
        give_up_at = time.monotonic() + DRAIN_S
        while any(connection.is_waiting for connection in self._connections) and time.monotonic() < give_up_at:
            await asyncio.sleep(0.01)
        for connection in self._connections:
            if connection.is_waiting:
                self.count_error("unanswered", f"no response within {DRAIN_S:g} s of the window's end")
            connection.close()
        for task in self._connecting:
            task.cancel()
        await asyncio.sleep(0.01)  # sockets are closed on the loop's next turn

    def _result(self, ordered_s: list[float], seconds: float, load_cpu_s: float) -> LoadResult:
        return LoadResult(
            requests=len(ordered_s),
            seconds=seconds,
            p50_ms=percentile(ordered_s, 0.50) * 1e3,
            p95_ms=percentile(ordered_s, 0.95) * 1e3,
            p99_ms=percentile(ordered_s, 0.99) * 1e3,
            errors=dict(self._errors),
            first_error=self._first_error,
            total_requests=self._total,
            load_cpu_s=load_cpu_s,
        )


def say(line: str) -> None:
    """Tell whoever started this process."""
    print(line, flush=True)


async def _run(plan: LoadPlan) -> LoadResult:
    if plan.form == "grpc":
        from loadtests.grpc_load import GrpcLoad

        return await GrpcLoad(plan).run()
    return await Load(plan).run()


def main() -> None:
    """Run the plan that stdin holds."""
    plan = read_plan(json.load(sys.stdin))
    gc.disable()
    try:
        from uvloop import run
    except ImportError:
        from asyncio import run
    say(json.dumps(asdict(run(_run(plan)))))


if __name__ == "__main__":
    main()
