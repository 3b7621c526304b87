"""Drawn answers: which requests get a picture instead of JSON, and drawing it in a thread pool.

The prediction comes the same way as for JSON, through the same cache; only the picture is made anew each time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from models.drawing.annotations import marks_of_answer
from models.drawing.cutouts import cut_out
from models.drawing.picture import PictureFormat, draw, encode
from models.errors import ImageError
from services.errors import InvalidImage, InvalidParameters, NotAcceptable
from services.gateway.negotiation import Rendering, choose_format
from services.gateway.parameters import CocoParameters, SegmentParameters
from services.gateway.responses import entity_tag
from services.gateway.serving.offload import TimeLimit, Workers
from services.gateway.serving.predictor import Answer
from services.gateway.serving.request_path import PredictionInput
from services.settings import Settings
from services.telemetry import STAGE_SECONDS

RENDER_THREADS: Final = 2
"""Pictures that one gateway draws at a time. Each may hold the pixels of the largest photo that is accepted."""


def wanted_picture(request: Request, given: PredictionInput) -> Rendering | None:
    """Whether a request gets a picture, and which; None is JSON.

    Raises:
        NotAcceptable: no such picture can be made, or there are several images, each of which would need its own.
        InvalidParameters: the parameters ask for a shape of JSON, too, or for a cut-out where there are no masks.
    """
    parameters = given.parameters
    if parameters.render == "cutout" and not isinstance(parameters, SegmentParameters):
        message = "render: only a segmentation has masks to cut out; there are true and false here"
        raise InvalidParameters(message, {"parameter": "render"})
    wanted = choose_format(", ".join(request.headers.getlist("accept")), parameters.render)
    if wanted is None:
        return None
    if given.several:
        raise NotAcceptable("a drawn answer shows one image: send one in a request, or accept application/json")
    if isinstance(parameters, CocoParameters) and parameters.format != "json":
        raise InvalidParameters("format: coco is a list, which cannot be drawn", {"parameter": "format"})
    return wanted


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn answer.

    Attributes:
        body: The file.
        took_ms: Milliseconds that it took, from the encoded photo to the encoded picture.
    """

    body: bytes
    took_ms: float


class Renderer:
    """Draws answers in a few threads of its own; the others wait, and leave when their time is over.

    Args:
        settings: Caps on the photo.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._workers = Workers(RENDER_THREADS, "render")

    async def render(self, photo: bytes, answer: Answer, rendering: Rendering, limit: TimeLimit) -> Picture:
        """Draw an answer on its photo, or cut it out.

        Args:
            photo: The encoded photo that was sent.
            answer: Its answer.
            rendering: Which kind of picture.
            limit: Time limit of the request.

        Raises:
            InvalidImage: the photo cannot be read.
            OutOfTime: the time limit has passed, or the client has disconnected.
        """
        model = answer.model
        class_count = len(model.entry["class_names"])
        picture = await self._workers.run(lambda: self._draw(photo, answer.body, class_count, rendering, limit), limit)
        STAGE_SECONDS.labels(model.task, model.name, model.version, "render").observe(picture.took_ms / 1e3)
        return picture

    def close(self) -> None:
        """Shut the thread pool down."""
        self._workers.close()

    def _draw(self, photo: bytes, body: bytes, class_count: int, rendering: Rendering, limit: TimeLimit) -> Picture:
        started_at = time.perf_counter()
        limit.check()
        marks = marks_of_answer(orjson.loads(body), class_count)
        make = cut_out if rendering == "cutout" else draw
        limits = self._settings
        limit.check()
        try:
            image = make(photo, marks, max_bytes=limits.max_image_bytes, max_pixels=limits.max_image_pixels)
        except ImageError as error:
            raise InvalidImage.of(error) from None
        limit.check()
        return Picture(encode(image, _format_of(rendering)), (time.perf_counter() - started_at) * 1e3)


def picture_response(answer: Answer, picture: Picture, rendering: Rendering) -> Response:
    """A picture as HTTP; its entity tag names its kind, too, so that it is never taken for the JSON or another one."""
    headers = {"etag": entity_tag(answer.key, f"-{rendering}")}
    return Response(picture.body, media_type=f"image/{_format_of(rendering)}", headers=headers)


def _format_of(rendering: Rendering) -> PictureFormat:
    return "png" if rendering == "cutout" else rendering
