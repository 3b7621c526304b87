"""The prediction endpoint of a task: path, parameters, response schema and examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from models.drawing.picture import PictureFormat
from models.entries import Task
from services.kinds.request_parameters import RequestParameters


@dataclass(frozen=True, slots=True)
class TaskApi:
    """The description of one endpoint.

    Attributes:
        task: The task of the models behind it.
        path: Its URL path.
        summary: One line for `/docs`.
        parameters: Pydantic model of the parameters.
        found: Schema of the predictions for one image, which is what the cache holds.
        answer: Response schemas, as a type.
        examples: Example responses by name.
        picture_file: Of kinds whose answer is an image: makes the file in a format of an answer as JSON. None of kinds
            whose answer is drawn on the image of the request.
        takes_images: Whether a request has images; otherwise it consists of parameters.
        is_experimental: As the record of the kind in `models.kinds` says.
    """

    task: Task
    path: str
    summary: str
    parameters: type[RequestParameters]
    found: type[BaseModel]
    answer: Any
    examples: Mapping[str, Any]
    picture_file: Callable[[bytes, PictureFormat], bytes] | None = None
    takes_images: bool = True
    is_experimental: bool = False
