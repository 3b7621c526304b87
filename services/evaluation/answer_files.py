"""Writes predictions and ground truth of a run as COCO files, and counts failures and the reference distribution."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from models.datasets.samples import EvaluationSet
from models.entries.skeletons import Skeleton
from models.files import replaced
from services.accuracy.drift import Distribution, summarise
from services.evaluation.class_match import ClassMatch
from services.evaluation.kinds import KINDS
from services.evaluation.lines import UNKNOWN_CLASS, Line, category_ids, coco_results
from services.evaluation.predictors import ModelFacts
from services.evaluation.result import SHOWN
from services.evaluation.run_folder import PREDICTIONS, TARGETS, JsonList, RunFolder
from services.evaluation.worker import Chunk
from services.kinds.completion import complete


@dataclass(slots=True)
class Answered:
    """Failures of a run, and the distribution of its predictions.

    Attributes:
        left_out: Images whose class the model does not have.
        failures: Images without a prediction.
        shown: The first of them, with the reason.
        reference: Distribution of scores and classes at the model's default parameters, for drift detection.
    """

    left_out: int = 0
    failures: int = 0
    shown: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    reference: Distribution = field(default_factory=Distribution)


def write_answers(
    folder: RunFolder, chunks: Sequence[Chunk], facts: ModelFacts, data: EvaluationSet, match: ClassMatch
) -> Answered:
    """Write the predictions, and the ground truth of objects, as COCO files that pycocotools reads.

    Args:
        folder: Of the run; its chunks are read, one at a time.
        chunks: All of them.
        facts: Of the model.
        data: The images.
        match: From the data set's classes to the model's.

    Raises:
        OSError: the files cannot be written.
    """
    answered = Answered()
    categories = category_ids(data, match)
    least_score = _served_threshold(facts)
    with replaced(folder.path / PREDICTIONS) as file, JsonList(file) as predictions:
        for line in folder.lines(chunks):
            if "problem" in line:
                if line["problem"]["code"] == UNKNOWN_CLASS:
                    answered.left_out += 1
                    continue
                answered.failures += 1
                if len(answered.shown) < SHOWN:
                    answered.shown.append({"name": line["name"], "reason": line["problem"]["message"]})
                continue
            for row in coco_results(line, categories):
                predictions.add(row)
            summary = summarise(_as_served(line["answer"], least_score))
            if summary is not None:
                answered.reference.add(summary)
    if KINDS[facts.kind].writes_targets:
        named = {categories[class_id]: facts.class_names[class_id] for class_id in match.measured}
        _write_targets(folder, chunks, named, getattr(data, "skeleton", None))
    return answered


def _served_threshold(facts: ModelFacts) -> float:
    """The default score threshold of the served model."""
    told = complete(facts.kind, {}, facts.defaults, facts.class_names)
    return float(getattr(told, "score_threshold", 0.0))


def _as_served(answer: Mapping[str, Any], least_score: float) -> Mapping[str, Any]:
    """The predictions at the default score threshold of the served model."""
    rows = [row for row in answer["predictions"] if row.get("score", 1.0) >= least_score]
    return {**answer, "predictions": rows}


def _write_targets(
    folder: RunFolder, chunks: Sequence[Chunk], names: Mapping[int, str], skeleton: Skeleton | None
) -> None:
    with replaced(folder.path / TARGETS) as file:
        file.write(b'{"images":')
        with JsonList(file) as images:
            for line in _answered(folder, chunks):
                height, width = line["size"]
                images.add({"id": line["image_id"], "file_name": line["name"], "height": height, "width": width})
        posed: dict[str, Any] = {}
        if skeleton is not None:
            edges = [[start + 1, end + 1] for start, end in skeleton.edges]  # which COCO counts from 1
            posed = {"keypoints": skeleton.names, "skeleton": edges}
        categories = [{"id": number, "name": name, **posed} for number, name in sorted(names.items())]
        file.write(b',"categories":' + orjson.dumps(categories) + b',"annotations":')
        with JsonList(file) as annotations:
            for line in _answered(folder, chunks):
                for row in line["target"]:
                    annotations.add({"id": annotations.rows + 1, **row})
        file.write(b"}\n")


def _answered(folder: RunFolder, chunks: Sequence[Chunk]) -> Iterator[Line]:
    return (line for line in folder.lines(chunks) if "problem" not in line)
