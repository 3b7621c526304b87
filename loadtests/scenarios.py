"""The comparisons: each task's model, the no-op model, and cache hits. Each starts its systems one after the other.

Only one system is up at a time, for an idle one is not free: Ray's processes beat, and LitServe's workers poll. For the
same reason Tapetum has no other model than the one in question; those of `loadtests.whole_service` have them all.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Final

from loadtests.agreement import judge, prediction_from
from loadtests.bench import Bench, turned
from loadtests.contenders import (
    FLOOR,
    TAPETUM,
    TAPETUM_SPLIT,
    Contender,
    bare_fastapi,
    fastapi,
    fastapi_with_redis,
    tapetum,
    tapetum_with_grpc,
    tapetum_without_cache,
)
from loadtests.load_plan import filling
from loadtests.measuring import Measurement, measure
from loadtests.photos import body_of_100_kb
from loadtests.processes import LOOPBACK, RunningSystem, SystemFailed, free_port, post
from loadtests.readings import Readings
from loadtests.samples import Case, Sample
from loadtests.systems.floor import FloorPlan, FloorResult
from loadtests.whole_service import compare_bundled_models, compare_evaluation, layout_of
from loadtests.workloads import WORKLOADS, Workload, photos_of
from models.predictions import Prediction

NOOP_PHOTO = "100 KB"
CACHED_BODIES = 256
"""More than requests are ever in flight, so that no two of them ask for the same at the same time."""


def compare_models(workload: Workload, bench: Bench, turn: int) -> None:
    """One task's model: the floor, Tapetum, FastAPI, and the peers that are asked for.

    Args:
        workload: The task.
        bench: Takes the samples and the checks.
        turn: Says who begins, the floor aside.
    """
    expected = _run_floor(workload, bench)
    config = bench.config_for(workload.model)
    peers = [peer.contender(python, workload, config) for peer, python in bench.conditions.peers.items()]
    for contender in turned([tapetum_without_cache(config, workload), fastapi(workload), *peers], turn):
        with contender.running(bench.conditions.folder) as (system, port):
            for photo, bodies in photos_of(workload).items():
                answers = [_ask(workload, contender, port, body) for body in bodies]
                bench.check(*judge(f"{workload.task}, {contender.name}, {photo}", expected[photo], answers))
            for photo, bodies in photos_of(workload).items():
                files = bench.write(f"{contender.name} {photo}", [contender.encode(body) for body in bodies])
                for concurrency in bench.conditions.concurrencies:
                    plan = bench.plan(contender, port, files, concurrency)
                    bench.measure(Case(workload.task, contender.name, photo, concurrency), plan, system)


def compare_noop(bench: Bench, turn: int) -> None:
    """What surrounds a model: every body is new to the cache."""
    config = bench.config_for("noop")
    for contender in turned([tapetum(config), tapetum(config, "split"), bare_fastapi()], turn):
        with contender.running(bench.conditions.folder) as (system, port):
            if contender.name == TAPETUM:
                bench.layout = layout_of(system)
            files = bench.write("noop", [body_of_100_kb()])
            for concurrency in bench.conditions.concurrencies:
                plan = bench.plan(contender, port, files, concurrency, distinct=0)
                before = Readings.of(port)
                measurement = bench.measure(Case("noop", contender.name, NOOP_PHOTO, concurrency), plan, system)
                if contender.name in (TAPETUM, TAPETUM_SPLIT):
                    _check_misses(bench, concurrency, before.until(Readings.of(port)), measurement)


def compare_cache(bench: Bench, turn: int) -> None:
    """Answers that are in the cache."""
    for contender in turned([tapetum(bench.config_for("noop")), fastapi_with_redis()], turn):
        with contender.running(bench.conditions.folder) as (system, port):
            files = bench.write("cache", [body_of_100_kb()])
            _fill_cache(contender, port, files, system)
            for concurrency in bench.conditions.concurrencies:
                plan = bench.plan(contender, port, files, concurrency, distinct=CACHED_BODIES)
                before = Readings.of(port)
                measurement = bench.measure(Case("cache", contender.name, NOOP_PHOTO, concurrency), plan, system)
                if contender.name == TAPETUM:
                    _check_hits(bench, concurrency, before.until(Readings.of(port)), measurement)


def compare_protocols(bench: Bench, turn: int) -> None:
    """The same requests by each protocol, to one Tapetum: every body new to the cache, and answers that are in it."""
    grpc_port = free_port()
    contender = tapetum_with_grpc(bench.config_for("noop"), grpc_port)
    with contender.running(bench.conditions.folder) as (system, port):
        files = bench.write("protocols", [body_of_100_kb()])
        whole = bench.plan(contender, port, files, 1)
        tensor = replace(whole, path="/v2/models/noop/infer", headers={}, form="tensor")
        grpc = replace(tensor, port=grpc_port, form="grpc", model="noop")
        protocols = [("HTTP /v1", whole), ("HTTP /v2, binary", tensor), ("gRPC", grpc)]
        for protocol, plan in turned(protocols, turn):
            measure(replace(plan, distinct=CACHED_BODIES, seconds=60.0, max_requests=2 * CACHED_BODIES), system)
            for concurrency in bench.conditions.concurrencies:
                for photo, distinct in ((f"{NOOP_PHOTO}, new", 0), (f"{NOOP_PHOTO}, cached", CACHED_BODIES)):
                    sent = replace(plan, concurrency=concurrency, distinct=distinct)
                    before = Readings.of(port)
                    measurement = bench.measure(Case("protocols", protocol, photo, concurrency), sent, system)
                    check = _check_hits if distinct else _check_misses
                    check(bench, concurrency, before.until(Readings.of(port)), measurement)


SECTIONS: Final[Mapping[str, Callable[[Bench, int], None]]] = {
    **{task: partial(compare_models, workload) for task, workload in WORKLOADS.items()},
    "noop": compare_noop,
    "cache": compare_cache,
    "protocols": compare_protocols,
    "models": compare_bundled_models,
    "evaluation": compare_evaluation,
}
"""Every comparison, by its name."""


def _run_floor(workload: Workload, bench: Bench) -> dict[str, list[Prediction]]:
    """Measures the floor; what it answers to each photo, by the name of their size."""
    files = {name: list(bench.write(f"floor {name}", bodies)) for name, bodies in photos_of(workload).items()}
    plan = FloorPlan(str(bench.config_for(workload.model)), files, bench.conditions.seconds)
    done = subprocess.run(
        [sys.executable, "-m", "loadtests.systems.floor"],
        input=json.dumps(asdict(plan)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemFailed(f"the floor could not be measured:\n{done.stderr[-2000:]}")
    expected: dict[str, list[Prediction]] = {}
    for document in json.loads(done.stdout):
        result = FloorResult(**document)
        expected[result.photo] = [prediction_from(workload.task, answer) for answer in result.answers]
        case = Case(workload.task, f"{FLOOR}, {result.loop}", result.photo, result.batch_size)
        bench.keep(Sample(case, result.images_per_s, system_cpu_ms=result.cpu_ms))
    return expected


def _ask(workload: Workload, contender: Contender, port: int, photo: bytes) -> Prediction | None:
    """The answer to one photo; None where there is none."""
    status, body = post(port, contender.path, contender.encode(photo), contender.headers)
    return prediction_from(workload.task, json.loads(body)) if status == 200 else None


def _fill_cache(contender: Contender, port: int, files: tuple[str, ...], system: RunningSystem) -> None:
    measure(filling(LOOPBACK, port, contender.path, dict(contender.headers), files, CACHED_BODIES), system)


def _check_misses(bench: Bench, concurrency: int, change: Readings, measurement: Measurement) -> None:
    answers = measurement.load.total_requests
    images_per_call = change.images_called / change.calls if change.calls else 0.0
    bench.check(
        f"no-op, concurrency {concurrency}: {change.misses:.0f} cache misses for {answers} answers, "
        f"{change.failures:.0f} look-ups failed; {images_per_call:.1f} images a call",
        change.misses >= answers and not change.hits,
    )


def _check_hits(bench: Bench, concurrency: int, change: Readings, measurement: Measurement) -> None:
    answers = measurement.load.total_requests
    bench.check(
        f"cache, concurrency {concurrency}: {change.hits:.0f} hits for {answers} answers, "
        f"{change.failures:.0f} look-ups failed; {change.calls:.0f} calls to a replica",
        change.hits >= answers and not change.calls,
    )
