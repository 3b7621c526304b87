"""What one worker does: reads the images of a part, has them answered, and boils the answers down.

Runs inside a Ray actor (`services.evaluation.worker_pool`), and knows nothing of Ray.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from models.datasets.samples import DatasetError, EvaluationSet, Target
from services.answers.image_problem import Problem
from services.evaluation.class_match import ClassMatch
from services.evaluation.lines import UNKNOWN_CLASS, Line, answered_line, failed_line
from services.evaluation.predictors import Predictor
from services.evaluation.scoring import Metric, MetricState, Record


@dataclass(frozen=True, slots=True)
class Chunk:
    """Images that one worker answers in one go.

    Attributes:
        number: From 0, in the order of the images.
        start: Index of the first image.
        stop: Index after that of the last.
    """

    number: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """What is the same for all parts of a job.

    Attributes:
        data: The images and what is known of them.
        match: From its classes to the model's.
        metric: Measures the answers.
        parameters: What the model is told, by the names of the HTTP API.
    """

    data: EvaluationSet
    match: ClassMatch
    metric: Metric
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class PartResult:
    """What became of a part.

    Attributes:
        part: Which.
        lines: One JSON object a line for every image: see `services.evaluation.lines`.
        columns: What the metric kept, as `numpy.savez` writes it.
        failures: Images without an answer.
        seconds: How long it took.
    """

    part: Chunk
    lines: bytes
    columns: bytes
    failures: int
    seconds: float


def answer_part(part: Chunk, work: Work, asker: Predictor) -> PartResult:
    """Answers and measures the images of a part; one that cannot be answered is told of in its line.

    Raises:
        TapetumError: the gateway answers no image.
    """
    started_at = time.perf_counter()
    reader = _Reader(work)
    records: list[Record] = []
    lines: list[Line] = []
    failures = 0
    for index, answer in asker.ask(range(part.start, part.stop), reader.read, work.parameters):
        loaded = reader.take(index)
        if isinstance(answer, Problem):
            lines.append(failed_line(index, loaded.name, answer))
            failures += answer.code != UNKNOWN_CLASS
            continue
        size = (answer["image"]["height"], answer["image"]["width"])
        assert loaded.target is not None
        record = Record(index, loaded.image_id, loaded.name, size, loaded.target, answer)
        records.append(record)
        lines.append(answered_line(record, work.data, work.match))
    return PartResult(
        part,
        b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines),
        pack(work.metric.update(records)),
        failures,
        time.perf_counter() - started_at,
    )


def pack(columns: MetricState) -> bytes:
    """Columns as bytes."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **columns)
    return file.getvalue()


def unpack(data: bytes) -> MetricState:
    """The inverse of `pack`."""
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@dataclass(frozen=True, slots=True, eq=False)
class _Loaded:
    image_id: int
    name: str
    target: Target | None


class _Reader:
    """Reads images in threads, and keeps what is known of each until its answer is there."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._loaded: dict[int, _Loaded] = {}

    def read(self, index: int) -> bytes | Problem:
        try:
            sample = self._work.data.load(index)
        except DatasetError as error:
            self._loaded[index] = _Loaded(-1, f"image {index}", None)
            return Problem("unreadable_file", str(error))
        target = self._work.match.translate(sample.target)
        self._loaded[index] = _Loaded(sample.image_id, sample.name, target)
        if target is None:
            return Problem(UNKNOWN_CLASS, "the model does not know the class of the image")
        return sample.image

    def take(self, index: int) -> _Loaded:
        return self._loaded.pop(index)
