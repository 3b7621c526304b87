"""What is drawn: the parts of an answer, the same whether it comes from a model here or as JSON from a server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.drawing.palette import Color, color_of
from models.predictions import Classification, Prediction


@dataclass(frozen=True, slots=True)
class Mark:
    """One part of an answer: a class of the whole picture, or an object in it.

    A mask joins as one more optional member beside `box`.

    Attributes:
        class_id: Marks of equal ids have equal colours in every picture.
        class_name: Text in any script.
        score: Probability or score, 0 to 1.
        box: x_min, y_min, x_max, y_max in pixels of the upright original; None where the whole picture is meant.
        color_key: Decides the colour instead of `class_id`.
    """

    class_id: int
    class_name: str
    score: float
    box: tuple[float, float, float, float] | None = None
    color_key: int | None = None

    @property
    def color(self) -> Color:
        """What it is drawn in."""
        return color_of(self.class_id if self.color_key is None else self.color_key)


def marks_of(prediction: Prediction, class_names: Sequence[str]) -> list[Mark]:
    """Makes the marks of a prediction, best first.

    Args:
        prediction: From a model in this process.
        class_names: The model's name of every class id.

    Returns:
        One mark for each class or object. A class has one colour in every picture; where a model knows a single class,
        so that colour would tell nothing, every object of a picture has its own.
    """
    is_whole = isinstance(prediction, Classification)
    class_ids: list[int] = prediction.class_ids.tolist()
    scores: list[float] = (prediction.probabilities if is_whole else prediction.scores).tolist()
    boxes: list[Any] = [None] * len(scores) if is_whole else [tuple(box) for box in prediction.boxes.tolist()]
    return [
        Mark(class_id, class_names[class_id], score, box, place if len(class_names) == 1 else None)
        for place, (class_id, score, box) in enumerate(zip(class_ids, scores, boxes, strict=True))
    ]


def marks_of_answer(answer: Mapping[str, Any], class_count: int | None = None) -> list[Mark]:
    """Makes the marks of an answer of the HTTP API, best first.

    Args:
        answer: The JSON object of one image: with `predictions`, each of which has `class_id`, `class_name`, and
            `probability`, or `score` and `box`.
        class_count: How many classes the model knows; None where that is not known, which gives colours by class.

    Returns:
        As `marks_of`.
    """
    return [
        _mark_of(prediction, place if class_count == 1 else None)
        for place, prediction in enumerate(answer["predictions"])
    ]


def _mark_of(prediction: Mapping[str, Any], color_key: int | None) -> Mark:
    class_id, class_name = prediction["class_id"], prediction["class_name"]
    if "box" not in prediction:
        return Mark(class_id, class_name, prediction["probability"], None, color_key)
    box = prediction["box"]
    corners = (box["x_min"], box["y_min"], box["x_max"], box["y_max"])
    return Mark(class_id, class_name, prediction["score"], corners, color_key)
