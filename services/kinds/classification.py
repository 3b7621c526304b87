"""Classification in the service: how a prediction is written, its request parameters, schemas and endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pydantic import Field

from models.predictions import Classification as Prediction
from services.kinds.request_parameters import Count, PredictionParameters
from services.kinds.schemas import PROBABILITY_DIGITS, Answered, Cached, Found, ItemError, Listed, Schema
from services.kinds.task_api import TaskApi


def write_classes(prediction: Prediction, class_names: Sequence[str], _: object) -> dict[str, Any]:
    """The classes of an image, best first."""
    rows = zip(prediction.class_ids.tolist(), prediction.probabilities.tolist(), strict=True)
    return {
        "predictions": [
            {
                "class_id": class_id,
                "class_name": class_names[class_id],
                "probability": round(probability, PROBABILITY_DIGITS),
            }
            for class_id, probability in rows
        ]
    }


class ClassifyParameters(PredictionParameters):
    """Classifies an image: send it as the raw body, as multipart field `image`, or in base64 in JSON."""

    top_k: Count | None = Field(
        default=None,
        description="How many classes to answer with, best first; the model's own default, mostly 5.",
    )


class ClassPrediction(Schema):
    """One predicted class."""

    class_id: int = Field(ge=0)
    class_name: str
    probability: float = Field(ge=0, le=1)


class FoundClasses(Found[ClassPrediction]):
    """The predicted classes of one image."""


class ClassifyAnswer(FoundClasses, Cached, Answered):
    """Response for one image."""


class Classification(FoundClasses, Cached, Listed):
    """The predicted classes of one image of several."""


class ClassifyListAnswer(Answered):
    """Response for several images: one result each, in their order."""

    results: tuple[Classification | ItemError, ...]


CLASSIFY: Final = TaskApi(
    task="classification",
    path="/v1/classify",
    summary="The most probable classes of one or more images",
    parameters=ClassifyParameters,
    found=FoundClasses,
    answer=ClassifyAnswer | ClassifyListAnswer,
    examples={
        "one image": {
            "model": "efficientnet-lite0",
            "version": "1",
            "image": {"height": 300, "width": 451},
            "predictions": [{"class_id": 285, "class_name": "Egyptian cat", "probability": 0.69}],
            "cached": False,
            "request_id": "5f0c8a52a8d14d4c",
        },
    },
)
