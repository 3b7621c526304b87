"""Another client: asks `/healthz` fifty times a second, in a process of its own, and tells how long it waited.

`python -m loadtests.hardening.watcher PORT` runs until its standard input ends, and prints a `Watched` as JSON.
"""

from __future__ import annotations

import http.client
import json
import select
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from loadtests.processes import LOOPBACK
from loadtests.statistic import percentile

INTERVAL_S = 0.02
GIVE_UP_S = 10.0


@dataclass
class Watched:
    """Latencies of `/healthz`, in milliseconds.

    Attributes:
        requests: How many were answered with 200.
        failures: How many were not.
        p50_ms: Median.
        p99_ms: 99th percentile.
        max_ms: The longest.
    """

    requests: int = 0
    failures: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0

    def __str__(self) -> str:
        failed = f", {self.failures} failed" if self.failures else ""
        return f"/healthz p50 {self.p50_ms:.1f} ms, p99 {self.p99_ms:.1f} ms, longest {self.max_ms:.0f} ms{failed}"


@contextmanager
def watching(port: int) -> Generator[Watched]:
    """Ask `/healthz` while the block runs; what is yielded has its figures once the block has ended."""
    watched = Watched()
    command = [sys.executable, "-m", "loadtests.hardening.watcher", str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the first answer has come
        try:
            yield watched
        finally:
            output, _ = process.communicate()
            vars(watched).update(json.loads(output))


def watch(port: int) -> Watched:
    """Ask until standard input ends."""
    latencies_s: list[float] = []
    failures = 0
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=GIVE_UP_S)
    while True:
        started_at = time.perf_counter()
        try:
            connection.request("GET", "/healthz")
            response = connection.getresponse()
            response.read()
            failures += response.status != 200
        except (OSError, http.client.HTTPException):
            failures += 1
            connection.close()
        latencies_s.append(time.perf_counter() - started_at)
        if len(latencies_s) == 1:
            print("watching", flush=True)
        if select.select([sys.stdin], [], [], max(0.0, INTERVAL_S - latencies_s[-1]))[0]:
            break
    ordered = sorted(latencies_s)
    p50_ms, p99_ms = (percentile(ordered, share) * 1e3 for share in (0.5, 0.99))
    return Watched(len(ordered) - failures, failures, p50_ms, p99_ms, ordered[-1] * 1e3)


if __name__ == "__main__":
    print(json.dumps(asdict(watch(int(sys.argv[1])))))
