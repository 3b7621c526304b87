"""Headers made to be expensive to read: each is worked on while another client asks `/healthz`."""

from __future__ import annotations

import time

import httpx

from loadtests.hardening.hostile_images import hostile_images
from loadtests.hardening.shape import error_problem
from loadtests.hardening.stack import Target
from loadtests.hardening.verdict import Verdict
from loadtests.hardening.watcher import watching

MAX_P99_MS = 50.0
SIZE_BYTES = 31 * 2**20
"""Of each file; the largest image that is accepted has 32 MiB."""

TIMES = 3
WATCH_S = 4.0
"""Least time that another client is watched beside each header, so that its 99th percentile means something."""


def check_headers(target: Target) -> list[Verdict]:
    """Send each hostile header `TIMES` times in a row, from one connection."""
    worst_p99_ms, worst_name, slowest_s = 0.0, "", 0.0
    problems: list[str] = []
    images = hostile_images(SIZE_BYTES)
    with target.client(timeout_s=60.0) as client:
        _send(client, next(iter(images.values())))  # the first large body makes the gateway's memory grow
        for name, image in images.items():
            started_at = time.monotonic()
            sent = 0
            with watching(target.port) as watched:
                while sent < TIMES or time.monotonic() - started_at < WATCH_S:
                    if problem := _send(client, image):
                        problems.append(f"{name}: {problem}")
                    sent += 1
            slowest_s = max(slowest_s, (time.monotonic() - started_at) / sent)
            if watched.p99_ms > worst_p99_ms:
                worst_p99_ms, worst_name = watched.p99_ms, name
            if watched.p99_ms > MAX_P99_MS or watched.failures:
                problems.append(f"{name}: {watched}")
    return [
        Verdict(
            "headers",
            f"{len(images)} headers that are expensive to read, sent without a pause",
            f"worst p99 of another client's /healthz {worst_p99_ms:.1f} ms ({worst_name}); "
            f"longest request {slowest_s:.2f} s",
            not problems,
            tuple(problems[:8]),
        )
    ]


def _send(client: httpx.Client, image: bytes) -> str | None:
    response = client.post("/v1/classify", content=image, headers={"content-type": "image/png"})
    if response.status_code == 200:
        return None
    if response.status_code not in (400, 413, 415):
        return f"status {response.status_code}"
    return error_problem(response.status_code, response.headers, response.content)
