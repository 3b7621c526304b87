"""The floor: Tapetum's adapter called in one process, with no server around it.

`python -m loadtests.systems.floor` reads a `FloorPlan` as JSON from stdin and prints a JSON list of `FloorResult`. Two
loops are run over full batches: a plain one, and one in which a thread pool decodes the next photos while the network
works on these. The faster of the two is the floor. With one photo at a time there is the plain loop alone.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from models.adapter import Adapter, ModelInput
from models.catalog.loading import load
from services.answers.wire import describe_prediction
from services.kinds.completion import complete
from services.model_deployment import ModelDeployment
from services.serve_file import read_serve_file

PLAIN = "plain loop"
OVERLAPPED = "decoding overlapped"
_BATCHES_AHEAD = 2


@dataclass(frozen=True)
class FloorPlan:
    """What to run.

    Attributes:
        config: Serve configuration file; its first deployment's first model is run, the way it says.
        photos: Name of a size to the files of that size.
        seconds: Length of each run.
    """

    config: str
    photos: dict[str, list[str]]
    seconds: float


@dataclass(frozen=True)
class FloorResult:
    """What one loop did.

    Attributes:
        photo: Name of the photos' size.
        loop: `PLAIN` or `OVERLAPPED`.
        batch_size: Photos in one run of the network.
        images_per_s: Photos per second, from bytes to predictions.
        cpu_ms: CPU milliseconds per photo.
        answers: To each photo, in their order, in the shape of the HTTP API's: `image` and `predictions`.
    """

    photo: str
    loop: str
    batch_size: int
    images_per_s: float
    cpu_ms: float
    answers: list[dict[str, Any]]


def plain(adapter: Adapter[Any, Any], photos: Iterator[bytes], batch_size: int) -> Iterator[int]:
    """Photos done, batch by batch, everything in this thread; endless."""
    while True:
        yield len(adapter.predict(list(itertools.islice(photos, batch_size))))


def overlapped(adapter: Adapter[Any, Any], photos: Iterator[bytes], batch_size: int) -> Iterator[int]:
    """Photos done, batch by batch, with a pool that decodes ahead; endless. The photos must be of one size."""
    entry = adapter.entry
    parameters = [complete(entry.kind, {}, entry.defaults, adapter.class_names)] * batch_size

    def prepare(data: bytes) -> ModelInput:
        return adapter.preprocess(adapter.decode(data))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        ahead: deque[Future[ModelInput]] = deque()
        while True:
            while len(ahead) < batch_size * (1 + _BATCHES_AHEAD):
                ahead.append(pool.submit(prepare, next(photos)))
            inputs = [ahead.popleft().result() for _ in range(batch_size)]
            yield len(adapter.postprocess(adapter.forward(inputs), inputs, parameters))


def time_loop(batches: Iterator[int], seconds: float) -> tuple[float, float]:
    """Photos per second and CPU milliseconds per photo, after one batch of warming up."""
    next(batches)
    images, started_at, cpu_at = 0, time.perf_counter(), time.process_time()
    while (took_s := time.perf_counter() - started_at) < seconds:
        images += next(batches)
    return images / took_s, (time.process_time() - cpu_at) / images * 1e3


def adapter_of(deployment: ModelDeployment) -> Adapter[Any, Any]:
    """The first model of a deployment, on the runtime that a replica would give it, with all cores."""
    spec = deployment.models[0]
    runtime = replace(deployment.runtime_of(spec), num_threads=None, num_streams=1)
    adapter = load(spec.name, runtime)
    adapter.warm_up(deployment.max_batch_size)
    return adapter


def run(plan: FloorPlan) -> list[FloorResult]:
    """Run every loop on every size of photo."""
    deployment = read_serve_file(Path(plan.config)).topology.deployments[0]
    adapter = adapter_of(deployment)
    full = deployment.max_batch_size
    loops: list[tuple[str, Callable[..., Iterator[int]], int]] = [
        (PLAIN, plain, 1),
        (PLAIN, plain, full),
        (OVERLAPPED, overlapped, full),
    ]
    results: list[FloorResult] = []
    for photo, files in plan.photos.items():
        bodies = [Path(file).read_bytes() for file in files]
        answers = [describe_prediction(prediction, adapter.class_names) for prediction in adapter.predict(bodies)]
        for name, loop, batch_size in loops:
            speed, cpu_ms = time_loop(loop(adapter, itertools.cycle(bodies), batch_size), plan.seconds)
            results.append(FloorResult(photo, name, batch_size, speed, cpu_ms, answers))
    return results


def main() -> None:
    """Run the plan that stdin holds."""
    document: dict[str, Any] = json.load(sys.stdin)
    print(json.dumps([asdict(result) for result in run(FloorPlan(**document))]))


if __name__ == "__main__":
    main()
