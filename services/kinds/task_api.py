"""The prediction endpoint of a task: path, parameters, response schema and examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from models.entries import Task
from services.kinds.request_parameters import TaskParameters


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
    """

    task: Task
    path: str
    summary: str
    parameters: type[TaskParameters]
    found: type[BaseModel]
    answer: Any
    examples: Mapping[str, Any]
