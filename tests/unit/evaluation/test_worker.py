"""What a worker makes of a part: records for the metric, and a line for every image, whatever became of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
import pytest

from models.datasets.digits import DigitScenes
from models.datasets.samples import DatasetError, Kind, ObjectTarget, Sample
from services.answers.image_problem import Problem
from services.evaluation.class_match import ClassMatch
from services.evaluation.lines import category_ids, coco_annotations, coco_results
from services.evaluation.predictors import ModelFacts, Read
from services.evaluation.scoring import Measured, MetricState, Record
from services.evaluation.worker import Chunk, Work, answer_chunk, unpack

NAMES = tuple("0123456789")
BOX = {"x_min": 1.0, "y_min": 2.0, "x_max": 4.0, "y_max": 8.0}


class Metric:
    """Keeps which records it was given."""

    def update(self, records: Sequence[Record]) -> MetricState:
        return {"indices": np.array([record.index for record in records], np.int64)}

    def compute(self, chunks: Sequence[MetricState]) -> Measured:
        raise NotImplementedError


class Model:
    """Finds the same in every image that can be read."""

    facts = ModelFacts("model", "1", "detection", None, NAMES, {}, "0" * 64, {})

    def ask(
        self, indices: Iterable[int], read: Read, parameters: Mapping[str, Any]
    ) -> Iterator[tuple[int, Mapping[str, Any] | Problem]]:
        for index in indices:
            image = read(index)
            found = {"box": BOX, "class_id": 3, "class_name": "3", "score": 0.5}
            answer = {"image": {"height": 320, "width": 320}, "predictions": [found]}
            yield index, image if isinstance(image, Problem) else answer


class Torn(DigitScenes):
    """Scenes of which the second cannot be read."""

    def load(self, index: int) -> Sample:
        if index == 1:
            raise DatasetError("000001.jpg: gone")
        return super().load(index)


def work(data: DigitScenes, *names: str) -> Work:
    return Work(data, ClassMatch.of(data, "model", names or NAMES), Metric(), {})


def lines_of(data: DigitScenes, *names: str, images: int = 3) -> list[dict[str, Any]]:
    result = answer_chunk(Chunk(0, 0, images), work(data, *names), Model())
    return [orjson.loads(line) for line in result.lines.splitlines()]


def test_every_image_has_a_line_and_every_answer_a_record() -> None:
    result = answer_chunk(Chunk(2, 4, 7), work(DigitScenes("detection", count=9)), Model())
    assert [orjson.loads(line)["index"] for line in result.lines.splitlines()] == [4, 5, 6]
    assert unpack(result.columns)["indices"].tolist() == [4, 5, 6]
    assert (result.failures, result.chunk.number) == (0, 2)


def test_an_image_that_cannot_be_read_fails_alone_and_is_told_of() -> None:
    result = answer_chunk(Chunk(0, 0, 3), work(Torn("detection", count=3)), Model())
    lines = [orjson.loads(line) for line in result.lines.splitlines()]
    assert unpack(result.columns)["indices"].tolist() == [0, 2]
    assert (result.failures, lines[1]["problem"]["message"]) == (1, "000001.jpg: gone")


def test_the_kinds_of_data_give_targets_of_their_own() -> None:
    kinds: tuple[Kind, ...] = ("detection", "instance")
    for kind in kinds:
        (line,) = lines_of(DigitScenes(kind, count=1), images=1)
        assert ("segmentation" in line["target"][0]) == (kind == "instance")
    assert "target" not in lines_of(DigitScenes("classification", count=1), images=1)[0]


def test_lines_say_what_coco_files_say_in_the_numbers_of_the_data_set() -> None:
    data = DigitScenes("detection", count=1)
    match = ClassMatch.of(data, "model", ("9", "3"))
    categories = category_ids(data, match)
    assert categories == {0: 10, 1: 4}
    found = [{"box": BOX, "class_id": class_id, "class_name": "", "score": 0.5} for class_id in (1, 7)]
    assert coco_results({"image_id": 5, "answer": {"predictions": found}}, categories) == [
        {"image_id": 5, "category_id": 4, "bbox": [1.0, 2.0, 3.0, 6.0], "score": 0.5}
    ]
    target = ObjectTarget(np.array([[0, 0, 2, 3.5]]), np.array([1]), np.array([6.0]), np.array([True]))
    assert coco_annotations(target, 5, categories) == [
        {"image_id": 5, "category_id": 4, "bbox": [0.0, 0.0, 2.0, 3.5], "area": 6.0, "iscrowd": 1}
    ]


def test_masks_and_classes_are_results_too() -> None:
    mask = {"size": [2, 2], "counts": "04"}
    line = {
        "image_id": 1,
        "answer": {"predictions": [{"class_id": 1, "mask": mask}, {"class_id": 1, "probability": 0.9}]},
    }
    assert coco_results(line, {1: 2}) == [
        {"image_id": 1, "category_id": 2, "segmentation": mask},
        {"image_id": 1, "category_id": 2, "score": 0.9},
    ]


def test_what_ends_the_job_is_not_taken_for_a_bad_image() -> None:
    class Refused(Model):
        def ask(self, indices: Iterable[int], read: Read, parameters: Mapping[str, Any]) -> Any:
            raise ConnectionError("no server")

    with pytest.raises(ConnectionError):
        answer_chunk(Chunk(0, 0, 1), work(DigitScenes("detection", count=1)), Refused())
