"""What a load generator is told, what it reports, and the bytes that it sends."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.photos import STAMP_BYTES, split_for_stamp

MAX_REQUESTS = 1_000_000


@dataclass(frozen=True)
class LoadPlan:
    """What to send, and for how long.

    Attributes:
        host: Where the system listens.
        port: Likewise.
        path: Target of every request, which is a POST.
        headers: Sent besides Host and Content-Length.
        bodies: Files that hold the bodies; they are sent in turn.
        concurrency: Connections, each with one request in flight at all times.
        seconds: Length of the measured window.
        warm_up_s: Time before it in which requests go out and only errors are counted.
        distinct: None sends the bodies as they are. A number n sends JPEG bodies stamped so that exactly n of them
            differ, and 0 such that no two are ever the same.
        max_requests: The measured window closes after this many responses even if there is time left.
    """

    host: str
    port: int
    path: str
    headers: dict[str, str]
    bodies: tuple[str, ...]
    concurrency: int
    seconds: float
    warm_up_s: float = 0.0
    distinct: int | None = None
    max_requests: int = MAX_REQUESTS


@dataclass(frozen=True)
class LoadResult:
    """What came of a plan.

    Attributes:
        requests: Responses with status 200 within the measured window.
        seconds: Length of the window.
        p50_ms: Half of them took this long or less, from the request's write to the response's last byte; nan where
            there was no response.
        p95_ms: The same for 95 in 100.
        p99_ms: The same for 99 in 100.
        errors: Everything but a 200, of the whole run, by its status or `connection`, `malformed` or `unanswered`.
        first_error: The beginning of the first of them.
        total_requests: Responses with status 200 of the whole run, warm-up and drain included.
        load_cpu_s: CPU time that the generator itself used in the window.
    """

    requests: int
    seconds: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    errors: dict[str, int]
    first_error: str | None
    total_requests: int
    load_cpu_s: float


def read_plan(document: dict[str, Any]) -> LoadPlan:
    """A plan from its JSON form.

    Raises:
        TypeError: a member is unknown or missing.
    """
    return LoadPlan(**{**document, "bodies": tuple(document["bodies"])})


def requests_of(plan: LoadPlan) -> Iterator[tuple[bytes, ...]]:
    """The requests of a plan, each as the pieces of one write; endless.

    Raises:
        OSError: a body cannot be read.
    """
    bodies = [Path(name).read_bytes() for name in plan.bodies]
    if plan.distinct is None:
        return itertools.cycle([(_head(plan, len(body)) + body,) for body in bodies])
    return _stamped(plan, [split_for_stamp(body) for body in bodies])


def _stamped(plan: LoadPlan, halves: list[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, ...]]:
    pieces = [(_head(plan, len(before) + STAMP_BYTES + len(after)) + before, after) for before, after in halves]
    first = 0 if plan.distinct else int.from_bytes(os.urandom(5), "big") << 20
    for number in itertools.count():
        stamp = first + (number % plan.distinct if plan.distinct else number)
        before, after = pieces[stamp % len(pieces)]
        yield before, stamp.to_bytes(STAMP_BYTES, "big"), after


def _head(plan: LoadPlan, body_bytes: int) -> bytes:
    headers = {"Host": f"{plan.host}:{plan.port}", "Content-Length": str(body_bytes), **plan.headers}
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {plan.path} HTTP/1.1\r\n{fields}\r\n".encode("latin-1")
