"""Measures explanations: how long they take, and whether they slow predictions beside them.

    python -m loadtests.explanations                     # both parts
    python -m loadtests.explanations --only times --repeats 5
    python -m loadtests.explanations --only beside --seconds 20 --rounds 5

    times    of each bundled model, `gradcam` and `occlusion`: the first request, and the median of warm ones
    beside   latency of `/v1/classify` at a fixed rate, without and with one client that asks for explanations all the
             time, in turns of one run; the goal is a ratio of the 99th percentiles of at most 1.3

The first request of all starts the process of the explainer; the first of each model loads it. Predictions are sent
with `Cache-Control: no-store`, each at its time, whether or not the one before has been answered late.
"""

from __future__ import annotations

import http.client
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from statistics import median
from typing import Annotated, Final

import typer

from loadtests.contenders import JPEG, tapetum
from loadtests.photos import SMALL, photos
from loadtests.statistic import percentile
from models.catalog.lookup import bundled
from services.local.stack import DEFAULT_CONFIG

MOST_CLASSIFIER_S: Final = 1.0
"""Goal of a warm explanation of a classifier."""
MOST_RATIO: Final = 1.3
"""Goal of the p99 with explanations beside, in times of that without."""
RATE: Final = 20.0
"""Predictions a second."""
_PATIENCE: Final = {**JPEG, "X-Request-Timeout": "115"}
_UNCACHED: Final = {**JPEG, "Cache-Control": "no-store"}
_CLASSIFIER: Final = "efficientnet-lite0"


class Part(StrEnum):
    """What is measured, see the top of this module."""

    TIMES = "times"
    BESIDE = "beside"


def explanations(
    only: Annotated[list[Part] | None, typer.Option(help="Just this; may be given again.")] = None,
    repeats: Annotated[int, typer.Option(min=1, max=100, help="Warm explanations of each model.")] = 5,
    seconds: Annotated[float, typer.Option(min=1, help="Length of each turn of `beside`.")] = 20.0,
    rounds: Annotated[int, typer.Option(min=1, max=50, help="Turns without and with explanations.")] = 4,
    config: Annotated[Path, typer.Option(help="Tapetum's Serve configuration file.")] = DEFAULT_CONFIG,
) -> None:
    """Measure explanations and what they cost predictions; exit with 1 where a goal is missed."""
    parts, missed = only or list(Part), False
    coffee, astronaut = photos(SMALL, ["coffee", "astronaut"])
    with (
        tempfile.TemporaryDirectory(prefix="tapetum-explanations-") as folder,
        tapetum(config).running(Path(folder)) as (_, port),
    ):
        if Part.TIMES in parts:
            missed |= not _show_times(port, coffee, astronaut, repeats)
        if Part.BESIDE in parts:
            missed |= not _show_beside(port, coffee, seconds, rounds)
    raise typer.Exit(1 if missed else 0)


def _show_times(port: int, coffee: bytes, astronaut: bytes, repeats: int) -> bool:
    """Whether warm explanations of the classifier keep to their goal."""
    classifier_s = 0.0
    for model in (name for name in bundled() if name != "noop"):
        photo = coffee if model == _CLASSIFIER else astronaut
        for method in ("gradcam", "occlusion"):
            path = f"/v1/explain?model={model}&method={method}"
            try:
                first_s = _timed(port, path, photo)
                warm_s = median(_timed(port, path, photo) for _ in range(repeats))
            except RuntimeError as error:
                print(f"{model:20} {method:9}  {error}", flush=True)
                continue
            print(f"{model:20} {method:9}  first {first_s:6.2f} s  warm {warm_s:6.2f} s", flush=True)
            if (model, method) == (_CLASSIFIER, "gradcam"):
                classifier_s = warm_s
    is_met = 0 < classifier_s < MOST_CLASSIFIER_S
    print(f"classifier below {MOST_CLASSIFIER_S} s when warm: {'yes' if is_met else 'NO'}", flush=True)
    return is_met


def _show_beside(port: int, photo: bytes, seconds: float, rounds: int) -> bool:
    """Whether predictions keep their latency beside explanations."""
    path = f"/v1/explain?model={_CLASSIFIER}"
    _timed(port, path, photo)
    alone: list[float] = []
    beside: list[float] = []
    explained = 0
    for _ in range(rounds):
        alone += _latencies(port, photo, seconds)
        with _explaining(port, path, photo) as done:
            beside += _latencies(port, photo, seconds)
            explained += done()
    for name, found in (("alone", alone), ("beside explanations", beside)):
        ordered = sorted(found)
        shown = ", ".join(f"p{share * 100:g} {percentile(ordered, share) * 1e3:.1f} ms" for share in (0.5, 0.9, 0.99))
        print(f"/v1/classify {name}: {len(found)} requests, {shown}", flush=True)
    ratio = percentile(sorted(beside), 0.99) / percentile(sorted(alone), 0.99)
    is_met = ratio <= MOST_RATIO
    print(
        f"{explained} explanations beside; p99 ratio {ratio:.2f}, goal {MOST_RATIO}: {'yes' if is_met else 'NO'}",
        flush=True,
    )
    return is_met


def _latencies(port: int, photo: bytes, seconds: float) -> list[float]:
    """Seconds of each prediction at the fixed rate, from the time that it was due."""
    found: list[float] = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    started_at = time.perf_counter()
    for index in range(int(seconds * RATE)):
        due_at = started_at + index / RATE
        time.sleep(max(0.0, due_at - time.perf_counter()))
        _send(connection, "/v1/classify", photo, _UNCACHED)
        found.append(time.perf_counter() - due_at)
    connection.close()
    return found


@contextmanager
def _explaining(port: int, path: str, photo: bytes) -> Iterator[Callable[[], int]]:
    """Asks for explanations one after the other in a thread; yields what returns their number so far."""
    ended, counts = threading.Event(), [0]

    def ask() -> None:
        while not ended.is_set():
            _timed(port, path, photo)
            counts[0] += 1

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield lambda: counts[0]
    finally:
        ended.set()
        thread.join()


def _timed(port: int, path: str, photo: bytes) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=130)
    started_at = time.perf_counter()
    _send(connection, path, photo, _PATIENCE)
    connection.close()
    return time.perf_counter() - started_at


def _send(connection: http.client.HTTPConnection, path: str, photo: bytes, headers: dict[str, str]) -> None:
    connection.request("POST", path, photo, headers)
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise RuntimeError(f"status {response.status}: {body[:200].decode(errors='replace')}")


if __name__ == "__main__":
    typer.run(explanations)
