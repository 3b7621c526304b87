"""Runs the model on a chunk of images and reduces the predictions to metric state.

Runs inside a Ray actor (`services.evaluation.worker_pool`), and does not depend on Ray.
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
    """A range of images that one worker predicts at a time.

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
    """The data, metric and parameters of a job, the same for all chunks.

    Attributes:
        data: The images and their ground truth.
        match: From its classes to the model's.
        metric: Reduces the predictions to metric state.
        parameters: Request parameters, by the names of the HTTP API.
    """

    data: EvaluationSet
    match: ClassMatch
    metric: Metric
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class ChunkResult:
    """The result of a chunk.

    Attributes:
        chunk: The chunk.
        lines: One JSON object a line for every image: see `services.evaluation.lines`.
        columns: The metric state, as `numpy.savez` writes it.
        failures: Images without a prediction.
        seconds: Duration.
    """

    chunk: Chunk
    lines: bytes
    columns: bytes
    failures: int
    seconds: float


def answer_chunk(chunk: Chunk, work: Work, predictor: Predictor) -> ChunkResult:
    """Predicts the images of a chunk and updates the metric; a failed image has the reason in its line.

    Raises:
        TapetumError: the gateway is unreachable, or refuses every image.
    """
    started_at = time.perf_counter()
    reader = _Reader(work)
    records: list[Record] = []
    lines: list[Line] = []
    failures = 0
    for index, answer in predictor.ask(range(chunk.start, chunk.stop), reader.read, work.parameters):
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
    return ChunkResult(
        chunk,
        b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines),
        pack(work.metric.update(records)),
        failures,
        time.perf_counter() - started_at,
    )


def pack(columns: MetricState) -> bytes:
    """Serialises metric state."""
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
    """Reads images in threads, and keeps the ground truth of each until its prediction arrives."""

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
