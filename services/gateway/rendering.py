"""Renders predictions as pictures in a thread pool, for requests that accept an image instead of JSON.

The prediction comes from the same cache as for JSON; only the picture is rendered for each request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import orjson
from starlette.requests import Request
from starlette.responses import Response

from models.drawing.annotations import annotations_of_answer
from models.drawing.cutouts import cut_out
from models.drawing.merging import merged
from models.drawing.picture import PictureFormat, draw, encode
from models.errors import ImageError
from models.signals.decoding import decode_signal
from models.signals.plot import plot_signal
from services.errors import InvalidImage, InvalidParameters, NotAcceptable
from services.gateway.negotiation import Rendering, accepts_json, choose_format, choose_made
from services.gateway.responses import entity_tag
from services.gateway.serving.offload import TimeLimit, Workers
from services.gateway.serving.predictor import Answer
from services.gateway.serving.request_path import PredictionInput
from services.kinds.request_parameters import CocoParameters, PictureParameters, TaskParameters
from services.kinds.segmentation import SegmentParameters
from services.settings import Settings
from services.telemetry import STAGE_SECONDS

RENDER_THREADS: Final = 2
"""Pictures that one gateway renders at a time. Each may hold the pixels of the largest photo that is accepted."""


def wanted_picture(request: Request, given: PredictionInput) -> Rendering | None:
    """Chooses the format of the picture of a request; None is JSON.

    Raises:
        NotAcceptable: the format is not supported, or the request has several images.
        InvalidParameters: the parameters also set a JSON format, or request a cut-out from a model without masks.
    """
    parameters = given.parameters
    accept = ", ".join(request.headers.getlist("accept"))
    if isinstance(parameters, PictureParameters):
        return _wanted_made(accept, parameters, given.several)
    assert isinstance(parameters, TaskParameters)
    if parameters.render == "cutout" and not isinstance(parameters, SegmentParameters):
        message = "render: only a segmentation has masks to cut out; there are true and false here"
        raise InvalidParameters(message, {"parameter": "render"})
    wanted = choose_format(accept, parameters.render)
    if wanted is None:
        return None
    if given.several:
        raise NotAcceptable("a drawn answer shows one image: send one in a request, or accept application/json")
    if isinstance(parameters, CocoParameters) and parameters.format != "json":
        raise InvalidParameters("format: coco is a list, which cannot be drawn", {"parameter": "format"})
    return wanted


def _wanted_made(accept: str, parameters: PictureParameters, several: bool) -> PictureFormat | None:
    """The format of an image that a model makes; several are JSON, unless the request insists on an image."""
    if not several:
        return choose_made(accept, parameters.format)
    if parameters.format == "json" or (parameters.format is None and accepts_json(accept)):
        return None
    raise NotAcceptable("an image is of one photo: send one in a request, or ask for format=json")


@dataclass(frozen=True, slots=True)
class Picture:
    """A rendered prediction.

    Attributes:
        body: The file.
        took_ms: Milliseconds from the encoded photo to the encoded picture.
    """

    body: bytes
    took_ms: float


class Renderer:
    """Renders pictures in a small thread pool; waiting requests end at their time limit.

    Args:
        settings: Caps on the photo.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._workers = Workers(RENDER_THREADS, "render")

    async def render(self, photo: bytes, answers: Sequence[Answer], rendering: Rendering, limit: TimeLimit) -> Picture:
        """Draw the predictions of a photo on it, or cut out their masks.

        Args:
            photo: The encoded photo of the request; of a signal a line plot is drawn.
            answers: Its predictions: one, or of an analysis one for each task.
            rendering: Format of the picture.
            limit: Time limit of the request.

        Raises:
            InvalidImage: the photo cannot be read.
            OutOfTime: the time limit has passed, or the client has disconnected.
        """
        model = answers[0].model
        picture = await self._workers.run(lambda: self._draw(photo, answers, rendering, limit), limit)
        STAGE_SECONDS.labels(model.task, model.name, model.version, "render").observe(picture.took_ms / 1e3)
        return picture

    async def encode(
        self, make: Callable[[bytes, PictureFormat], bytes], answer: Answer, rendering: Rendering, limit: TimeLimit
    ) -> Picture:
        """Make the file of an answer that is an image.

        Args:
            make: Of the task, see `services.kinds.task_api.TaskApi.picture_file`.
            answer: The answer.
            rendering: Format of the file.
            limit: Time limit of the request.

        Raises:
            OutOfTime: the time limit has passed, or the client has disconnected.
        """
        started_at = time.perf_counter()
        body = await self._workers.run(lambda: make(answer.body, _format_of(rendering)), limit)
        return Picture(body, (time.perf_counter() - started_at) * 1e3)

    def close(self) -> None:
        """Shut the thread pool down."""
        self._workers.close()

    def _draw(self, photo: bytes, answers: Sequence[Answer], rendering: Rendering, limit: TimeLimit) -> Picture:
        started_at = time.perf_counter()
        limit.check()
        annotations = merged(
            [
                annotations_of_answer(orjson.loads(answer.body), len(answer.model.entry["class_names"]))
                for answer in answers
            ]
        )
        make = cut_out if rendering == "cutout" else draw
        limits = self._settings
        limit.check()
        try:
            if answers[0].model.signal_length is not None:
                photo = plot_signal(decode_signal(photo))
            image = make(photo, annotations, max_bytes=limits.max_image_bytes, max_pixels=limits.max_image_pixels)
        except ImageError as error:
            raise InvalidImage.of(error) from None
        limit.check()
        return Picture(encode(image, _format_of(rendering)), (time.perf_counter() - started_at) * 1e3)


def picture_response(key: str, picture: Picture, rendering: Rendering, source: Answer | None = None) -> Response:
    """The HTTP response of a picture; its ETag includes the format, so that it differs from that of the JSON.

    Args:
        key: Cache key of the drawn answer; of several answers, their joint key.
        picture: The picture.
        rendering: Its format.
        source: The one answer that it shows; None where it shows several.
    """
    headers = {"etag": entity_tag(key, f"-{rendering}")}
    if source is not None:
        model = source.model
        headers["x-tapetum-model"] = f"{quote(model.name)}@{quote(model.version)}"
        headers["x-tapetum-cached"] = "true" if source.cached else "false"
    return Response(picture.body, media_type=f"image/{_format_of(rendering)}", headers=headers)


def _format_of(rendering: Rendering) -> PictureFormat:
    return "png" if rendering == "cutout" else rendering
