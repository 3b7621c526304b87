"""Comparisons of Tapetum with all its models: how fast each one is, and how fast an evaluation through the gateway."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import httpx
import psutil

from loadtests.bench import Bench, turned
from loadtests.contenders import ADAPTER, JPEG, PAST_THE_CACHE, TAPETUM, tapetum, tapetum_of
from loadtests.evaluation_job import DATA, MODEL, run_job
from loadtests.goals import Layout
from loadtests.processes import LOOPBACK, RunningSystem, SystemFailed
from loadtests.samples import Case, Sample
from loadtests.workloads import WORKLOADS, Workload, photos_of
from services.serve_file import read_serve_file

PHOTO: Final = "640×480"
CONCURRENCY: Final = 8
WINDOWS: Final = 2
"""How many times as long a model is asked as in the other comparisons: some answer three photos a second."""
EVALUATED_IMAGES: Final = 640
_LOAD_S: Final = 120.0
_REPLICA: Final = "ServeReplica:"
_GATEWAY: Final = "ServeReplica:tapetum:Gateway"


def compare_bundled_models(bench: Bench, turn: int) -> None:
    """Every model of the configuration, one after the other in one Tapetum, and in that of another checkout."""
    contenders = [tapetum(bench.conditions.config)]
    if bench.conditions.checkout is not None:
        contenders.append(tapetum_of(bench.conditions.checkout))
    for contender in turned(contenders, turn):
        with contender.running(bench.conditions.folder) as (system, port):
            for model, workload in _models(bench.conditions.config):
                files = bench.write(f"{workload.task} {PHOTO}", photos_of(workload)[PHOTO])
                asked = replace(contender, path=f"{workload.path}?model={model}", headers={**JPEG, **PAST_THE_CACHE})
                _load(port, asked.path, Path(files[0]))
                plan = bench.plan(asked, port, files, CONCURRENCY)
                plan = replace(plan, seconds=WINDOWS * plan.seconds)
                bench.measure(Case("models", contender.name, model, CONCURRENCY), plan, system)


def compare_evaluation(bench: Bench, turn: int) -> None:
    """`tapetum evaluate` through the gateway and through the adapter, with as many workers as there are cores."""
    workers = os.cpu_count() or 1
    for name in turned([TAPETUM, ADAPTER], turn):
        if name == ADAPTER:
            _evaluate(bench, name, workers, [])
            continue
        with tapetum(bench.config_for(MODEL)).running(bench.conditions.folder) as (_, port):
            _evaluate(bench, name, workers, ["--through", "gateway", "--url", f"http://{LOOPBACK}:{port}"])


def layout_of(system: RunningSystem) -> Layout:
    """Whether Tapetum has replicas besides those of the gateway."""
    names: list[str] = []
    for process in system.processes():
        with suppress(psutil.Error):
            names.append(" ".join(process.cmdline()))
    is_split = any(_REPLICA in name and _GATEWAY not in name for name in names)
    return "split" if is_split else "colocated"


def _evaluate(bench: Bench, name: str, workers: int, options: list[str]) -> None:
    try:
        run = run_job(MODEL, DATA, EVALUATED_IMAGES, workers, options)
    except subprocess.CalledProcessError as error:
        raise SystemFailed(f"the evaluation failed:\n{str(error.output)[-2000:]}") from None
    bench.keep(Sample(Case("evaluation", name, MODEL, workers), run.images_per_s))


def _load(port: int, path: str, photo: Path) -> None:
    """Ask once, so that a model that is loaded on demand is there."""
    answer = httpx.post(
        f"http://{LOOPBACK}:{port}{path}", content=photo.read_bytes(), headers=JPEG, timeout=_LOAD_S, trust_env=False
    )
    if answer.status_code != 200:
        raise SystemFailed(f"{path}: {answer.text[:500]}")


def _models(config: Path) -> Iterator[tuple[str, Workload]]:
    for deployment in read_serve_file(config).topology.deployments:
        for spec in deployment.models:
            yield spec.name, WORKLOADS[deployment.task]
