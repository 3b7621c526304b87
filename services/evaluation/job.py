"""An evaluation from beginning to end: ask a model about every image of a data set, and measure what it says."""

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
from services.evaluation.run_folder import RESULT, RunFolder, replaced
from services.evaluation.scoring import Ranking
from services.evaluation.worker import Chunk, Work
from services.evaluation.worker_pool import Place, WorkerPool, cluster

PART_IMAGES: Final = 32
"""Images of a part: what is lost with a worker, and what a stopped job does again."""

_OF_STATE: Final = ("tapetum", "hotcoco")
"""Packages whose versions decide on what a part keeps."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be evaluated, and how.

    Attributes:
        asking: Which model, and by which way.
        data: As `models.datasets.opening.open_dataset` reads it.
        limit: The first so many images only.
        thresholds: For objects.
        place: Where the workers run.
        output: Folder of the run; None makes one in `evaluations/`, or goes on in one that was stopped.
        fresh: Whether to forget what a stopped job has done.
        strict: Whether to stop on a wrong label, rather than to leave it out.
        baseline: The result of an earlier run on the same data, if that is to be compared with.
        figures: Names of figures that are asked for afterwards, so that a wrong one is found out before.
        allow_outside: Whether labels may name files outside the data folder.
    """

    asking: PredictorConfig
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


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is.

    Attributes:
        done: Images that are answered, those of an earlier run too.
        total: All images.
        failures: Images without an answer.
        images_per_s: Since this run began to ask; 0 before the first answer.
        remaining_s: At that rate; NaN before the first answer.
        lost: Workers that ended before they should have.
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
        folder: Where it lies.
        result: As `result.json` has it.
        facts: Of the model.
        data: The images.
        match: From the data set's classes to the model's.
        ranking: Of the images.
        parts: That it was done in.
    """

    folder: RunFolder
    result: Mapping[str, Any]
    facts: ModelFacts
    data: EvaluationSet
    match: ClassMatch
    ranking: Ranking
    parts: Sequence[Chunk]

    def line(self, index: int) -> Line:
        """What was written down of an image, by its index in the data set."""
        part = self.parts[index // PART_IMAGES]
        return next(line for line in self.folder.lines([part]) if line["index"] == index)


def evaluate(
    plan: Plan,
    report: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda line: None,
) -> Finished:
    """Runs a job; one that was stopped goes on.

    Args:
        plan: What to do.
        report: Told how far it is.
        say: Told in one line what is being done.

    Returns:
        The run. Its folder keeps the parts until `RunFolder.clear`.

    Raises:
        WrongLabels: `plan.strict`, and there are some.
        DatasetError: The data cannot be measured on, or has no class in common with the model.
        GateError: The baseline was measured on other data, or is of another kind of model; or there is no such figure.
        ModelsError: The model cannot be loaded.
        TapetumError: The gateway does not answer, or not this.
        RunFolderError: Another run was stopped in the folder.
        CrewError: There is no cluster, or something ends the workers.
        OSError: The folder cannot be written.
    """
    started_at = datetime.now(UTC)
    with cluster(plan.place):
        crew = WorkerPool(plan.asking, plan.place)
        say(f"loading {plan.asking.model}")
        facts = crew.describe()
        say(f"reading {plan.data}")
        data = open_dataset(plan.data, facts.kind, plan.limit, facts.class_names, plan.allow_outside)
        if plan.strict and data.problems:
            raise WrongLabels(data.problems)
        if plan.baseline is not None:
            _check_baseline(plan.baseline, facts, data)
        match = ClassMatch.of(data, facts.name, facts.class_names)
        kind = KINDS[facts.kind]
        parameters = kind.parameters(facts, plan.thresholds)
        metric = kind.metric(facts.class_names, match.measured, plan.thresholds.max_detections)
        check_names(plan.figures, list(metric.compute([]).headline))
        folder = _open_folder(plan, facts, data, parameters)
        parts = _parts(len(data))
        asked_s, asked = _answer_all(crew, Work(data, match, metric, parameters), folder, parts, report)
    say("measuring")
    measured = metric.compute(folder.columns(parts))
    answered = write_answers(folder, parts, facts, data, match)
    result = {
        "format": FORMAT,
        "model": _describe_model(facts, parameters),
        "data": {**_describe_data(plan, data, match), "left_out": answered.left_out},
        "through": plan.asking.through,
        "limit": plan.limit,
        **describe_measured(replace(measured, protocol={**parameters, **kind.protocol, **measured.protocol})),
        "failed": {"count": answered.failures, "shown": answered.shown},
        "reference": answered.reference.to_dict(),
        "time": _describe_time(started_at, asked_s, asked, plan.place),
        "versions": versions(),
    }
    with replaced(folder.path / RESULT) as file:
        file.write(orjson.dumps(result, option=orjson.OPT_INDENT_2))
    return Finished(folder, result, facts, data, match, measured.ranking, parts)


def _check_baseline(baseline: Mapping[str, Any], facts: ModelFacts, data: EvaluationSet) -> None:
    check_comparable({"data": {"digest": data.digest, "images": len(data)}, "model": {"kind": facts.kind}}, baseline)


def _parts(images: int) -> list[Chunk]:
    starts = range(0, images, PART_IMAGES)
    return [Chunk(number, start, min(start + PART_IMAGES, images)) for number, start in enumerate(starts)]


def _open_folder(plan: Plan, facts: ModelFacts, data: EvaluationSet, parameters: Mapping[str, Any]) -> RunFolder:
    """The folder of the run, ready for its parts."""
    identity = {
        "model": _describe_model(facts, parameters),
        "data": data.digest,
        "images": len(data),
        "through": plan.asking.through,
        "part_images": PART_IMAGES,
        "versions": {name: found for name, found in versions().items() if name in _OF_STATE},
    }
    folder = RunFolder(plan.output) if plan.output else _free_folder(f"{facts.name}-{data.name}", identity)
    if plan.fresh:
        folder.clear()
    folder.open(identity)
    return folder


def _free_folder(stem: str, identity: Mapping[str, Any]) -> RunFolder:
    """`evaluations/STEM-N`: where exactly this run was stopped, or else the first that is not there."""
    name = "".join(letter if letter.isalnum() or letter in "-._" else "-" for letter in stem)
    number = 1
    while (path := Path("evaluations") / f"{name}-{number}").exists():
        if RunFolder(path).is_unfinished(identity):
            break
        number += 1
    return RunFolder(path)


def _answer_all(
    crew: WorkerPool, work: Work, folder: RunFolder, parts: Sequence[Chunk], report: Callable[[Progress], None]
) -> tuple[float, int]:
    """Have every part answered that is not yet.

    Returns:
        Seconds, and images that were answered in them.
    """
    total = len(work.data)
    missing = [part for part in parts if not folder.has(part)]
    before = done = total - sum(map(len, missing))
    failures = 0
    started_at = time.perf_counter()
    report(Progress(done, total, failures, 0.0, math.nan, 0))
    for result in crew.run(missing, work):
        folder.add(result)
        done += len(result.part)
        failures += result.failures
        rate = (done - before) / (time.perf_counter() - started_at)
        report(Progress(done, total, failures, rate, (total - done) / rate, crew.lost))
    return time.perf_counter() - started_at, done - before


def _describe_model(facts: ModelFacts, parameters: Mapping[str, Any]) -> dict[str, Any]:
    described = {key: value for key, value in asdict(facts).items() if key not in ("class_names", "defaults")}
    return {**described, "kind": facts.kind, "parameters": dict(parameters)}


def _describe_time(started_at: datetime, asked_s: float, asked: int, place: Place) -> dict[str, Any]:
    """Of this run: where it went on with a stopped one, `seconds` and `images_per_s` are of what was left."""
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
