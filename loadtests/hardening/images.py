"""Damaged images: each gets an answer or a client error, soon, and nobody else notices."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice

import httpx

from loadtests.hardening.mutations import mutants
from loadtests.hardening.shape import error_problem
from loadtests.hardening.stack import Target
from loadtests.hardening.verdict import Verdict
from loadtests.hardening.watcher import watching

CONNECTIONS = 4
PATHS = ("/v1/classify", "/v1/classify", "/v1/detect?model=yolo-digits", "/v1/segment?model=unet-nuclei")
ALLOWED = frozenset({200, 400, 413, 415})
SLOW_S = 5.0
SEED = 20_240_501
MAX_EXAMPLES = 5


def check_images(target: Target, count: int) -> list[Verdict]:
    """Send damaged images from `CONNECTIONS` connections, spread over the tasks.

    Args:
        target: The stack.
        count: How many.
    """
    statuses: Counter[int] = Counter()
    problems: list[str] = []
    with watching(target.port) as watched:
        slowest_s = asyncio.run(_send_all(target, count, statuses, problems))
    listed = ", ".join(f"{status}: {number}" for status, number in sorted(statuses.items()))
    return [
        Verdict(
            "images",
            f"{count:,} damaged images, {CONNECTIONS} connections",
            f"{listed}; longest {slowest_s:.2f} s; {watched}",
            not problems and not watched.failures,
            tuple(problems[:MAX_EXAMPLES]),
        )
    ]


async def _send_all(target: Target, count: int, statuses: Counter[int], problems: list[str]) -> float:
    images = enumerate(islice(mutants(SEED), count))
    async with target.async_client(CONNECTIONS) as client:
        slowest = await asyncio.gather(*(_send(client, images, statuses, problems) for _ in range(CONNECTIONS)))
    return max(slowest)


async def _send(
    client: httpx.AsyncClient, images: Iterator[tuple[int, bytes]], statuses: Counter[int], problems: list[str]
) -> float:
    slowest_s = 0.0
    for number, image in images:
        started_at = time.perf_counter()
        path = PATHS[number % len(PATHS)]
        try:
            response = await client.post(path, content=image, headers={"content-type": "image/png"})
        except httpx.HTTPError as error:
            problems.append(f"image {number}, {path}: {type(error).__name__}")
            continue
        took_s = time.perf_counter() - started_at
        slowest_s = max(slowest_s, took_s)
        statuses[response.status_code] += 1
        if problem := _problem(response, took_s):
            problems.append(f"image {number}, {path}: {problem}")
    return slowest_s


def _problem(response: httpx.Response, took_s: float) -> str | None:
    if response.status_code not in ALLOWED:
        return f"status {response.status_code}: {response.text[:80]}"
    if took_s > SLOW_S:
        return f"took {took_s:.1f} s"
    if response.status_code == 200:
        return None if "predictions" in response.json() else "200 without predictions"
    return error_problem(response.status_code, response.headers, response.content)
