"""Input and output of a load generator: the plan, the result, and the request bytes."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from loadtests import tensor_requests
from loadtests.photos import STAMP_BYTES, split_for_stamp

MAX_REQUESTS = 1_000_000

Form = Literal["body", "tensor", "grpc"]
"""A photo is the body of a request; or an input of the Open Inference Protocol, in binary over HTTP, or over gRPC."""


@dataclass(frozen=True)
class RequestPlan:
    """What to send.

    Attributes:
        host: Where the system listens.
        port: Likewise.
        path: Target of every request, which is a POST.
        headers: Sent besides Host and Content-Length.
        bodies: Files that hold the bodies; they are sent in turn.
        distinct: None sends the bodies as they are. A number n sends JPEG bodies stamped so that exactly n of them
            differ, and 0 such that no two are ever the same.
        form: What a request is made of.
        model: Name of the model, for a request over gRPC.
    """

    host: str
    port: int
    path: str
    headers: dict[str, str]
    bodies: tuple[str, ...]
    distinct: int | None = field(default=None, kw_only=True)
    form: Form = field(default="body", kw_only=True)
    model: str = field(default="", kw_only=True)


@dataclass(frozen=True)
class LoadPlan(RequestPlan):
    """What to send, and for how long, from a fixed number of connections.

    Attributes:
        concurrency: Connections, each with one request in flight at all times.
        seconds: Length of the measured window.
        warm_up_s: Time before it in which requests go out and only errors are counted.
        max_requests: The measured window closes after this many responses even if there is time left.
    """

    concurrency: int
    seconds: float
    warm_up_s: float = 0.0
    max_requests: int = MAX_REQUESTS


def filling(
    host: str, port: int, path: str, headers: dict[str, str], bodies: tuple[str, ...], distinct: int
) -> LoadPlan:
    """A plan that sends each of `distinct` bodies twice, one after the other, so that a cache has them all."""
    return LoadPlan(
        host, port, path, headers, bodies, distinct=distinct, concurrency=1, seconds=60.0, max_requests=2 * distinct
    )


@dataclass(frozen=True)
class ArrivalPlan(RequestPlan):
    """What to send, and at which rate, whether or not earlier requests were answered.

    Attributes:
        phases: (rate, seconds) one after the other: arrivals a second, and for how long.
        connections: Most connections; an arrival that finds them all in use waits for one, and its latency counts on.
        max_unanswered: The run ends early once more arrivals than this have no answer.
        drain_s: Longest wait for the last answers.
        seed: Of the arrival times.
    """

    phases: tuple[tuple[float, float], ...]
    connections: int = 256
    max_unanswered: int = 10_000
    drain_s: float = 10.0
    seed: int = 1


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


def read_arrival_plan(document: dict[str, Any]) -> ArrivalPlan:
    """The same for arrivals at a rate.

    Raises:
        TypeError: a member is unknown or missing.
    """
    phases = tuple((float(rate), float(seconds)) for rate, seconds in document["phases"])
    return ArrivalPlan(**{**document, "bodies": tuple(document["bodies"]), "phases": phases})


def requests_of(plan: RequestPlan) -> Iterator[tuple[bytes, ...]]:
    """The requests of a plan, each as the pieces of one write; endless.

    Raises:
        OSError: a body cannot be read.
    """
    bodies = [Path(name).read_bytes() for name in plan.bodies]
    if plan.distinct is None:
        return itertools.cycle([(b"".join(_framed(plan, body, b"", b"")),) for body in bodies])
    return _stamped(plan, [split_for_stamp(body) for body in bodies])


def _stamped(plan: RequestPlan, halves: list[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, ...]]:
    pieces = [_framed(plan, before, bytes(STAMP_BYTES), after) for before, after in halves]
    first = 0 if plan.distinct else int.from_bytes(os.urandom(5), "big") << 20
    for number in itertools.count():
        stamp = first + (number % plan.distinct if plan.distinct else number)
        before, after = pieces[stamp % len(pieces)]
        yield before, stamp.to_bytes(STAMP_BYTES, "big"), after


def _framed(plan: RequestPlan, before: bytes, stamp: bytes, after: bytes) -> tuple[bytes, bytes]:
    """What goes before and after the stamp of a request with a photo."""
    size = len(before) + len(stamp) + len(after)
    if plan.form == "grpc":
        return tensor_requests.grpc_message(plan.model, before, stamp, after)
    text = tensor_requests.json_of(size) if plan.form == "tensor" else b""
    return _head(plan, size, text) + before, after


def _head(plan: RequestPlan, photo_bytes: int, text: bytes) -> bytes:
    """Everything before a photo: the head of the request, and of a tensor its JSON and length."""
    prefix = text + tensor_requests.length_of(photo_bytes) if text else b""
    host = f"[{plan.host}]" if ":" in plan.host else plan.host
    headers = {"Host": f"{host}:{plan.port}", "Content-Length": str(len(prefix) + photo_bytes), **plan.headers}
    if text:
        headers["Inference-Header-Content-Length"] = str(len(text))
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {plan.path} HTTP/1.1\r\n{fields}\r\n".encode("latin-1") + prefix
