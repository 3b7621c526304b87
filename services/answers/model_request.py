"""A request for predictions, before it is known where they are made: in this process, or by a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.entries import Task


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """Task, model and parameters of predictions.

    Attributes:
        task: The task.
        model: Name of the model; None for the default one.
        parameters: By the names of the HTTP API; None for the model's default.
    """

    task: Task
    model: str | None
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
