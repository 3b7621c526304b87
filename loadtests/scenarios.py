"""The three comparisons: the models, the no-op model, and cache hits. Each starts its systems one after the other.

Only one system is up at a time, for an idle one is not free: Ray's processes beat, and LitServe's workers poll.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from loadtests.contenders import (
    FLOOR,
    PAST_THE_CACHE,
    PREDICT_PATH,
    TAPETUM,
    Contender,
    bare_fastapi,
    fastapi,
    fastapi_with_redis,
    litserve,
    tapetum,
    with_one_model,
)
from loadtests.load_plan import LoadPlan
from loadtests.measuring import Measurement, measure
from loadtests.photos import LARGE, SMALL, body_of_100_kb, photos
from loadtests.processes import LOOPBACK, RunningSystem, SystemFailed, post
from loadtests.readings import Readings
from loadtests.samples import Case, Sample, sample_of
from loadtests.systems.floor import FloorPlan, FloorResult

PHOTOS = {"640×480": SMALL, "1920×1440": LARGE}
NOOP_PHOTO = "100 KB"
CACHED_BODIES = 256
"""More than requests are ever in flight, so that no two of them ask for the same at the same time."""
QUIET_CORES = 0.15
"""What other programs may use of the machine before a figure is called in question."""


@dataclass(frozen=True)
class Check:
    """Something that must hold for the figures to mean what they say.

    Attributes:
        what: One line.
        holds: Whether it does.
    """

    what: str
    holds: bool


@dataclass(frozen=True)
class Conditions:
    """How everything is measured.

    Attributes:
        config: Tapetum's Serve configuration file.
        concurrencies: Connections.
        seconds: Length of a measured window.
        warm_up_s: Requests go out this long before it.
        litserve_python: Interpreter of LitServe's environment; None leaves LitServe out.
        folder: Takes photos and logs.
        say: Takes lines of progress.
    """

    config: Path
    concurrencies: Sequence[int]
    seconds: float
    warm_up_s: float
    litserve_python: Path | None
    folder: Path
    say: Callable[[str], None]


class Bench:
    """Runs the comparisons and keeps what they showed.

    Args:
        conditions: How to measure.
    """

    def __init__(self, conditions: Conditions) -> None:
        self.samples: list[Sample] = []
        self.checks: list[Check] = []
        self._conditions = conditions
        self._photos = {name: photos(size) for name, size in PHOTOS.items()}
        self._best_classes: dict[str, list[int]] = {}

    def models(self, turn: int) -> None:
        """The model that ships: the floor, Tapetum, FastAPI, LitServe; `turn` says who begins, the floor aside."""
        self._floor()
        contenders = [tapetum(self._conditions.config, PAST_THE_CACHE), fastapi()]
        if self._conditions.litserve_python is not None:
            contenders.append(litserve(self._conditions.litserve_python))
        for contender in _turned(contenders, turn):
            with contender.running(self._conditions.folder) as (system, port):
                self._check_answers(contender, port)
                for photo, bodies in self._photos.items():
                    files = self._write(f"{contender.name} {photo}", [contender.encode(body) for body in bodies])
                    for concurrency in self._conditions.concurrencies:
                        plan = self._plan(contender, port, files, concurrency)
                        self._measure(Case("models", contender.name, photo, concurrency), plan, system)

    def noop(self, turn: int) -> None:
        """What surrounds a model: every body is new to the cache."""
        for contender in _turned([self._noop_tapetum(), bare_fastapi()], turn):
            with contender.running(self._conditions.folder) as (system, port):
                files = self._write("noop", [body_of_100_kb()])
                for concurrency in self._conditions.concurrencies:
                    plan = self._plan(contender, port, files, concurrency, distinct=0)
                    case = Case("noop", contender.name, NOOP_PHOTO, concurrency)
                    before = Readings.of(port)
                    measurement = self._measure(case, plan, system)
                    if contender.name == TAPETUM:
                        self._check_misses(concurrency, before.until(Readings.of(port)), measurement)

    def cache(self, turn: int) -> None:
        """Answers that are in the cache."""
        for contender in _turned([self._noop_tapetum(), fastapi_with_redis()], turn):
            with contender.running(self._conditions.folder) as (system, port):
                files = self._write("cache", [body_of_100_kb()])
                self._fill_cache(contender, port, files, system)
                for concurrency in self._conditions.concurrencies:
                    plan = self._plan(contender, port, files, concurrency, distinct=CACHED_BODIES)
                    case = Case("cache", contender.name, NOOP_PHOTO, concurrency)
                    before = Readings.of(port)
                    measurement = self._measure(case, plan, system)
                    if contender.name == TAPETUM:
                        self._check_hits(concurrency, before.until(Readings.of(port)), measurement)

    def _floor(self) -> None:
        files = {name: self._write(f"floor {name}", bodies) for name, bodies in self._photos.items()}
        plan = FloorPlan(
            str(self._conditions.config), {name: list(paths) for name, paths in files.items()}, self._conditions.seconds
        )
        done = subprocess.run(
            [sys.executable, "-m", "loadtests.systems.floor"],
            input=json.dumps(asdict(plan)),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemFailed(f"the floor could not be measured:\n{done.stderr[-2000:]}")
        for document in json.loads(done.stdout):
            result = FloorResult(**document)
            self._best_classes[result.photo] = result.class_ids
            case = Case("models", f"{FLOOR}, {result.loop}", result.photo, result.batch_size)
            self._keep(Sample(case, result.images_per_s, system_cpu_ms=result.cpu_ms))

    def _noop_tapetum(self) -> Contender:
        target = self._conditions.folder / "noop.yaml"
        return tapetum(with_one_model(self._conditions.config, "noop", target))

    def _fill_cache(self, contender: Contender, port: int, files: tuple[str, ...], system: RunningSystem) -> None:
        plan = LoadPlan(
            LOOPBACK, port, PREDICT_PATH, dict(contender.headers), files, 1, 60.0, 0.0, CACHED_BODIES, 2 * CACHED_BODIES
        )
        measure(plan, system)

    def _plan(
        self,
        contender: Contender,
        port: int,
        files: tuple[str, ...],
        concurrency: int,
        distinct: int | None = None,
    ) -> LoadPlan:
        return LoadPlan(
            host=LOOPBACK,
            port=port,
            path=PREDICT_PATH,
            headers=dict(contender.headers),
            bodies=files,
            concurrency=concurrency,
            seconds=self._conditions.seconds,
            warm_up_s=self._conditions.warm_up_s,
            distinct=distinct,
        )

    def _measure(self, case: Case, plan: LoadPlan, system: RunningSystem) -> Measurement:
        measurement = measure(plan, system)
        self._keep(sample_of(case, measurement))
        if measurement.other_cores > QUIET_CORES:
            where = f"{case.section}, {case.system}, {case.photo}, concurrency {case.concurrency}"
            self.checks.append(Check(f"{where}: other programs kept {measurement.other_cores:.2f} cores busy", False))
        if measurement.load.errors:
            self._conditions.say(f"the end of {case.system}'s log:\n{system.log_end()}")
        return measurement

    def _keep(self, sample: Sample) -> None:
        self.samples.append(sample)
        failed = f"   {sum(sample.errors.values())} errors, first {sample.first_error}" if sample.errors else ""
        section, system, photo, concurrency = sample.case
        self._conditions.say(
            f"{section:<7} {system:<28} {photo:<10} × {concurrency:<3} {sample.requests_per_s:8.1f}/s{failed}"
        )

    def _check_answers(self, contender: Contender, port: int) -> None:
        for photo, bodies in self._photos.items():
            answers = [_best_classes(contender, port, body) for body in bodies]
            same = sum(best in answer for answer, best in zip(answers, self._best_classes[photo], strict=True))
            what = f"{contender.name}, {photo}: the floor's best class among the best five for {same} of {len(bodies)}"
            self.checks.append(Check(what, same == len(bodies)))

    def _check_misses(self, concurrency: int, change: Readings, measurement: Measurement) -> None:
        answers = measurement.load.total_requests
        images_per_call = change.images_called / change.calls if change.calls else 0.0
        self.checks.append(
            Check(
                f"no-op, concurrency {concurrency}: {change.misses:.0f} cache misses for {answers} answers, "
                f"{change.failures:.0f} look-ups failed; {images_per_call:.1f} images a call",
                change.misses >= answers and not change.hits,
            )
        )

    def _check_hits(self, concurrency: int, change: Readings, measurement: Measurement) -> None:
        answers = measurement.load.total_requests
        self.checks.append(
            Check(
                f"cache, concurrency {concurrency}: {change.hits:.0f} hits for {answers} answers, "
                f"{change.failures:.0f} look-ups failed; {change.calls:.0f} calls to a replica",
                change.hits >= answers and not change.calls,
            )
        )

    def _write(self, name: str, bodies: Sequence[bytes]) -> tuple[str, ...]:
        paths = [self._conditions.folder / f"{name.replace(' ', '-')}-{number}" for number in range(len(bodies))]
        for path, body in zip(paths, bodies, strict=True):
            path.write_bytes(body)
        return tuple(map(str, paths))


def _best_classes(contender: Contender, port: int, photo: bytes) -> list[int]:
    status, body = post(port, PREDICT_PATH, contender.encode(photo), contender.headers)
    return [prediction["class_id"] for prediction in json.loads(body)["predictions"]] if status == 200 else []


def _turned(contenders: list[Contender], turn: int) -> list[Contender]:
    turn %= len(contenders)
    return contenders[turn:] + contenders[:turn]
