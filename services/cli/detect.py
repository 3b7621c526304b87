"""`tapetum detect`: the objects in images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.answers.model_request import ModelRequest
from services.cli.layouts import OBJECTS
from services.cli.options import (
    ApiKey,
    AsJson,
    Augment,
    ClassAgnostic,
    Device,
    Images,
    IouThreshold,
    MaxDetections,
    Model,
    ObjectClasses,
    Place,
    PrecisionOption,
    ScoreThreshold,
    Url,
)
from services.cli.prediction import predict


def detect(
    images: Images,
    model: Model = None,
    score_threshold: ScoreThreshold = None,
    iou_threshold: IouThreshold = None,
    max_detections: MaxDetections = None,
    classes: ObjectClasses = None,
    class_agnostic: ClassAgnostic = False,
    save: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Save each image with its objects drawn on it; no file is ever overwritten."),
    ] = None,
    augment: Augment = False,
    url: Url = None,
    api_key: ApiKey = None,
    device: Device = None,
    precision: PrecisionOption = None,
    as_json: AsJson = False,
) -> None:
    """Detect objects in images: box, class and score of each.

    Thresholds default to the model's own. The model runs in this process, unless --url names a server. An
    image that cannot be read gets an error in its place; the others get their answers, and the status is 1.
    """
    parameters = {
        "score_threshold": score_threshold,
        "iou_threshold": iou_threshold,
        "max_detections": max_detections,
        "classes": classes or None,
        "class_agnostic": class_agnostic or None,
        "augment": augment or None,
    }
    place = Place(url, api_key, device, precision)
    predict(images, ModelRequest("detection", model, parameters), place, OBJECTS, as_json=as_json, save=save)
