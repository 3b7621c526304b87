"""`tapetum classify`: the classes of images."""

from __future__ import annotations

from typing import Annotated

import typer

from services.answers.model_request import ModelRequest
from services.cli.layouts import CLASSES
from services.cli.options import ApiKey, AsJson, Augment, Device, Images, Model, Place, PrecisionOption, Url
from services.cli.prediction import predict


def classify(
    images: Images,
    model: Model = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            min=1, max=1000, metavar="K", help="Number of classes to show; by default the model's, usually 5."
        ),
    ] = None,
    augment: Augment = False,
    url: Url = None,
    api_key: ApiKey = None,
    device: Device = None,
    precision: PrecisionOption = None,
    as_json: AsJson = False,
) -> None:
    """Classify images: show the most probable classes of each.

    The model runs in this process, unless --url names a server. An image that cannot be read gets an error in its
    place; the others get their answers, and the status is 1.
    """
    request = ModelRequest("classification", model, {"top_k": top_k, "augment": augment or None})
    predict(images, request, Place(url, api_key, device, precision), CLASSES, as_json=as_json)
