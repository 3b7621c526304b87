"""Runs an evaluation: predicts every image of a data set in chunks on a worker pool, and computes the metrics."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from models.datasets.label_problems import WrongLabels
from models.datasets.opening import open_dataset
from models.datasets.samples import EvaluationSet
from models.files import replaced
from models.kinds import KINDS as PREDICTION_KINDS
from services.evaluation.answer_files import write_answers
from services.evaluation.class_match import ClassMatch
from services.evaluation.gates import check_comparable, check_names
from services.evaluation.kinds import KINDS
from services.evaluation.kinds.kind_evaluation import Thresholds
from services.evaluation.lines import Line
from services.evaluation.predictors import ModelFacts, PredictorConfig
from services.evaluation.result import (
    FORMAT,
    describe_measured,
    describe_problems,
    versions,
)
from services.evaluation.run_folder import RESULT, RunFolder
from services.evaluation.scoring import Ranking
from services.evaluation.worker import Chunk, Work
from services.evaluation.worker_pool import Place, WorkerPool, cluster

CHUNK_IMAGES: Final = 32
"""Images of a chunk, the unit of retries and of resuming a stopped job."""

_OF_STATE: Final = ("tapetum", "hotcoco")
"""Packages whose versions the metric state of a chunk depends on."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The configuration of an evaluation.

    Attributes:
        predictor: The model, and whether it runs in the workers or behind a gateway.
        data: As `models.datasets.opening.open_dataset` reads it.
        limit: Evaluate only the first images, this many.
        thresholds: Request parameters of detectors and instance segmenters.
        place: Where the workers run.
        output: Folder of the run; None makes one in `evaluations/`, or resumes a stopped run there.
        fresh: Whether to discard the chunks of a stopped job.
        strict: Whether to stop on a wrong label instead of dropping it.
        baseline: The result of an earlier run on the same data, to compare with.
        figures: Names of figures that release gates need; an unknown one is an error before the run starts.
        allow_outside: Whether labels may name files outside the data folder.
        augment: Whether images are predicted with test-time augmentation.
    """

    predictor: PredictorConfig
    data: str
    limit: int | None = None
    thresholds: Thresholds = field(default_factory=Thresholds)
    place: Place = field(default_factory=Place)
    output: Path | None = None
    fresh: bool = False
    strict: bool = False
    baseline: Mapping[str, Any] | None = None
    figures: tuple[str, ...] = ()
    allow_outside: bool = False
    augment: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a job.

    Attributes:
        done: Images that are predicted, including those of a resumed run.
        total: All images.
        failures: Images without a prediction.
        images_per_s: Since the first chunk of this run was started; 0 before the first result.
        remaining_s: At that rate; NaN before the first result.
        lost: Workers that ended unexpectedly.
    """

    done: int
    total: int
    failures: int
    images_per_s: float
    remaining_s: float
    lost: int


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """A finished run.

    Attributes:
        folder: Its folder.
        result: As `result.json` has it.
        facts: Of the model.
        data: The images.
        match: From the data set's classes to the model's.
        ranking: Of the images.
        chunks: All chunks of the run.
    """

    folder: RunFolder
    result: Mapping[str, Any]
    facts: ModelFacts
    data: EvaluationSet
    match: ClassMatch
    ranking: Ranking
    chunks: Sequence[Chunk]

    def line(self, index: int) -> Line:
        """The record of an image, by its index in the data set."""
        chunk = self.chunks[index // CHUNK_IMAGES]
        return next(line for line in self.folder.lines([chunk]) if line["index"] == index)


def evaluate(
    plan: Plan,
    report: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda line: None,
) -> Finished:
    """Runs an evaluation; a stopped one is resumed.

    Args:
        plan: The configuration.
        report: Called with the progress.
        say: Called with one line about the current step.

    Returns:
        The run. Its folder keeps the chunks until `RunFolder.clear`.

    Raises:
        WrongLabels: `plan.strict`, and there are some.
        DatasetError: The data cannot be read, or has no class in common with the model.
        GateError: The baseline was measured on other data, or is of another kind of model; or there is no such figure.
        ModelsError: The model cannot be loaded.
        TapetumError: The gateway does not answer, or refuses the requests.
        RunFolderError: The folder holds another, stopped run.
        WorkerPoolError: There is no cluster, or workers end again and again.
        OSError: The folder cannot be written.
        ValueError: `plan.augment`, and the kind of the model has no augmentation; or the kind has no evaluation.
    """
    started_at = datetime.now(UTC)
    with cluster(plan.place):
        pool = WorkerPool(plan.predictor, plan.place)
        say(f"loading {plan.predictor.model}")
        facts = pool.describe()
        _check_kind(plan, facts)
        say(f"reading {plan.data}")
        data = _open_data(plan, facts)
        match = ClassMatch.of(data, facts.name, facts.class_names)
        kind = KINDS[facts.kind]
        parameters = {**kind.parameters(facts, plan.thresholds), **({"augment": True} if plan.augment else {})}
        metric = kind.metric(facts.class_names, match.measured, plan.thresholds.max_detections)
        check_names(plan.figures, list(metric.compute([]).headline))
        folder = _open_folder(plan, facts, data, parameters)
        chunks = _chunks(len(data))
        asked_s, asked = _answer_all(pool, Work(data, match, metric, parameters), folder, chunks, report)
    say("measuring")
    measured = metric.compute(folder.columns(chunks))
    answered = write_answers(folder, chunks, facts, data, match)
    result = {
        "format": FORMAT,
        "model": _describe_model(facts, parameters),
        "data": {**_describe_data(plan, data, match), "left_out": answered.left_out},
        "through": plan.predictor.through,
        "limit": plan.limit,
        **describe_measured(replace(measured, protocol={**parameters, **kind.protocol, **measured.protocol})),
        "failed": {"count": answered.failures, "shown": answered.shown},
        "reference": answered.reference.to_dict(),
        "time": _describe_time(started_at, asked_s, asked, plan.place),
        "versions": versions(),
    }
    with replaced(folder.path / RESULT) as file:
        file.write(orjson.dumps(result, option=orjson.OPT_INDENT_2))
    return Finished(folder, result, facts, data, match, measured.ranking, chunks)


def _check_kind(plan: Plan, facts: ModelFacts) -> None:
    if facts.kind not in KINDS:
        raise ValueError(f"{facts.name}: there is no evaluation of models for {facts.kind}, which make images")
    if plan.augment and not PREDICTION_KINDS[facts.kind].has_augmentation:
        raise ValueError(f"{facts.name}: there is no test-time augmentation for {facts.kind}; leave --augment out")


def _open_data(plan: Plan, facts: ModelFacts) -> EvaluationSet:
    data = open_dataset(plan.data, facts.kind, plan.limit, facts.class_names, plan.allow_outside)
    if plan.strict and data.problems:
        raise WrongLabels(data.problems)
    if plan.baseline is not None:
        _check_baseline(plan.baseline, facts, data)
    return data


def _check_baseline(baseline: Mapping[str, Any], facts: ModelFacts, data: EvaluationSet) -> None:
    check_comparable({"data": {"digest": data.digest, "images": len(data)}, "model": {"kind": facts.kind}}, baseline)


def _chunks(images: int) -> list[Chunk]:
    starts = range(0, images, CHUNK_IMAGES)
    return [Chunk(number, start, min(start + CHUNK_IMAGES, images)) for number, start in enumerate(starts)]


def _open_folder(plan: Plan, facts: ModelFacts, data: EvaluationSet, parameters: Mapping[str, Any]) -> RunFolder:
    """Opens the folder of the run."""
    identity = {
        "model": _describe_model(facts, parameters),
        "data": data.digest,
        "images": len(data),
        "through": plan.predictor.through,
        "part_images": CHUNK_IMAGES,
        "versions": {name: found for name, found in versions().items() if name in _OF_STATE},
    }
    folder = RunFolder(plan.output) if plan.output else _free_folder(f"{facts.name}-{data.name}", identity)
    if plan.fresh:
        folder.clear()
    folder.open(identity)
    return folder


def _free_folder(stem: str, identity: Mapping[str, Any]) -> RunFolder:
    """`evaluations/STEM-N`: the folder in which this run was stopped, or else the first free number."""
    name = "".join(letter if letter.isalnum() or letter in "-._" else "-" for letter in stem)
    number = 1
    while (path := Path("evaluations") / f"{name}-{number}").exists():
        if RunFolder(path).is_unfinished(identity):
            break
        number += 1
    return RunFolder(path)


def _answer_all(
    pool: WorkerPool, work: Work, folder: RunFolder, chunks: Sequence[Chunk], report: Callable[[Progress], None]
) -> tuple[float, int]:
    """Predict all chunks that are not in the run folder yet.

    Returns:
        Seconds, and images that were predicted in them.
    """
    total = len(work.data)
    missing = [chunk for chunk in chunks if not folder.has(chunk)]
    before = done = total - sum(map(len, missing))
    failures = 0
    started_at = time.perf_counter()
    report(Progress(done, total, failures, 0.0, math.nan, 0))
    for result in pool.run(missing, work):
        folder.add(result)
        done += len(result.chunk)
        failures += result.failures
        rate = (done - before) / (time.perf_counter() - started_at)
        report(Progress(done, total, failures, rate, (total - done) / rate, pool.lost))
    return time.perf_counter() - started_at, done - before


def _describe_model(facts: ModelFacts, parameters: Mapping[str, Any]) -> dict[str, Any]:
    described = {key: value for key, value in asdict(facts).items() if key not in ("class_names", "defaults")}
    return {**described, "kind": facts.kind, "parameters": dict(parameters)}


def _describe_time(started_at: datetime, asked_s: float, asked: int, place: Place) -> dict[str, Any]:
    """Times of this run; of a resumed one, `seconds` and `images_per_s` cover the remaining chunks only."""
    return {
        "started_at": started_at.isoformat(timespec="seconds"),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(asked_s, 3),
        "images_per_s": round(asked / asked_s, 3) if asked else None,
        "workers": place.workers,
    }


def _describe_data(plan: Plan, data: EvaluationSet, match: ClassMatch) -> dict[str, Any]:
    return {
        "name": data.name,
        "spec": plan.data,
        "digest": data.digest,
        "images": len(data),
        "problems": describe_problems(data.problems),
        "classes": {"measured": len(match.measured), "unknown": list(match.unknown)},
    }
