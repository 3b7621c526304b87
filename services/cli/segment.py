"""`tapetum segment`: the pixels of objects or classes in images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from models.entries import MaskFormat
from services.answers.model_request import ModelRequest
from services.cli.layouts import MASKS
from services.cli.options import (
    ApiKey,
    AsJson,
    Augment,
    Device,
    Images,
    MaxDetections,
    Model,
    Place,
    PrecisionOption,
    ScoreThreshold,
    Url,
)
from services.cli.prediction import predict


def segment(
    images: Images,
    model: Model = None,
    score_threshold: ScoreThreshold = None,
    max_detections: MaxDetections = None,
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", metavar="NAME", help="Only masks of this class, by name or id; may be repeated."),
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also return the mean probability of each class.")
    ] = False,
    mask_format: Annotated[
        MaskFormat | None, typer.Option(help="Format of masks in --json; COCO's run lengths (rle) by default.")
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Save each image with its masks drawn on it; no file is ever overwritten."),
    ] = None,
    cutout: Annotated[
        bool, typer.Option("--cutout", help="With --save: the pixels of the masks on a transparent background, as PNG.")
    ] = False,
    augment: Augment = False,
    url: Url = None,
    api_key: ApiKey = None,
    device: Device = None,
    precision: PrecisionOption = None,
    as_json: AsJson = False,
) -> None:
    """Segment images: the mask of each class (semantic models) or of each object (instance models).

    --probabilities applies to semantic models only; --score-threshold and --max-detections apply to instance models
    only, and default to the model's own. The model runs in this process, unless --url
    names a server. An image that cannot be read gets an error in its place; the others get their answers, and the
    status is 1.
    """
    if cutout and save is None:
        raise typer.BadParameter("--cutout says what --save writes; give --save a folder, too")
    parameters = {
        "score_threshold": score_threshold,
        "max_detections": max_detections,
        "classes": classes or None,
        "probabilities": probabilities or None,
        "mask_format": mask_format,
        "augment": augment or None,
    }
    place = Place(url, api_key, device, precision)
    predict(
        images, ModelRequest("segmentation", model, parameters), place, MASKS, as_json=as_json, save=save, cutout=cutout
    )
