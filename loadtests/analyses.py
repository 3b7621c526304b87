"""Measures one analysis against the single requests for the same tasks, at a running server.

python -m loadtests.analyses http://localhost:8000 photo.jpg

Every request has `Cache-Control: no-store`. The requests alternate: an analysis, then one request for each task, one
after another on one connection; and then the single requests at once, on a connection each.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from pathlib import Path
from typing import Final

import httpx

HEADERS: Final = {"content-type": "application/octet-stream", "cache-control": "no-store"}
TIMEOUT_S: Final = 60.0


async def _post(client: httpx.AsyncClient, path: str, image: bytes, params: dict[str, str]) -> float:
    """Milliseconds of one request."""
    started_at = time.perf_counter()
    response = await client.post(path, content=image, params=params, headers=HEADERS)
    response.raise_for_status()
    return (time.perf_counter() - started_at) * 1e3


async def measure(url: str, image: bytes, tasks: list[str], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each round: of an analysis, of the single requests in a row, and of these at once."""
    took_ms: dict[str, list[float]] = {
        "one analysis": [],
        "single requests in a row": [],
        "single requests at once": [],
    }
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as client:
        for number in range(rounds + 2):
            analysis_ms = await _post(client, "/v1/analyze", image, {"tasks": ",".join(tasks)})
            row_ms = sum([await _post(client, f"/v1/{task}", image, {}) for task in tasks])
            started_at = time.perf_counter()
            await asyncio.gather(*(_post(client, f"/v1/{task}", image, {}) for task in tasks))
            at_once_ms = (time.perf_counter() - started_at) * 1e3
            if number >= 2:  # the first ones warm up
                for name, value in zip(took_ms, (analysis_ms, row_ms, at_once_ms), strict=True):
                    took_ms[name].append(value)
    return took_ms


def main() -> None:
    """Print the median and the quartiles of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("photo", type=Path)
    parser.add_argument("--tasks", default="classify,detect,segment")
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    tasks = str(options.tasks).split(",")
    took_ms = asyncio.run(measure(options.url, options.photo.read_bytes(), tasks, options.rounds))
    for name, values in took_ms.items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"{name:26} {middle:7.1f} ms ({low:.1f} to {high:.1f})")


if __name__ == "__main__":
    main()
