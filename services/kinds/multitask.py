"""Multi-task networks in the service: how the predictions of all parts are written, and their parameters."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any, Final

from pydantic import SerializeAsAny

from models.kinds import KINDS
from models.parameters import MultitaskParameters
from models.predictions import Multitask
from services.errors import InvalidParameters
from services.kinds import WRITERS
from services.kinds.request_parameters import RequestParameters, TaskParameters
from services.kinds.schemas import ImageSize, Schema
from services.kinds.task_api import TaskApi

KINDS_OF_TASK: Final[Mapping[str, tuple[str, ...]]] = {
    "classify": ("classification",),
    "detect": ("detection",),
    "pose": ("keypoints",),
    "segment": ("instance", "semantic"),
}
"""Kinds of predictions by the names of tasks; the first one that a network has is its answer."""
OF_ONE_MODEL: Final = ("augment", "proposals", "family")
"""Parameters that change how an image goes through the network, which all parts share."""


def write_parts(prediction: Multitask, _class_names: Sequence[str], told: object) -> dict[str, Any]:
    """The members of the answer of each part, by kind; there are no predictions of the whole."""
    wanted = told.wanted if isinstance(told, MultitaskParameters) else {}
    parts = {
        kind: WRITERS[type(part)](part, prediction.class_names[kind], wanted.get(kind) or KINDS[kind].parameters())
        for kind, part in prediction.parts.items()
    }
    return {"predictions": [], "parts": parts}


def kinds_of_tasks(parts: Container[str], masks: str | None = None) -> dict[str, str]:
    """The part of a network that answers each task, of the tasks that it has a part for.

    Args:
        parts: The kinds of its parts.
        masks: Kind of the masks, `instance` or `semantic`; None for the first that it has.
    """
    found: dict[str, str] = {}
    for task, kinds in KINDS_OF_TASK.items():
        for kind in kinds:
            if kind in parts and task not in found and (masks is None or task != "segment" or kind == masks):
                found[task] = kind
    return found


def part_entry(entry: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The catalog entry of a part, as if it was a model of its own, from that of the network.

    Args:
        entry: As a replica describes it.
        kind: One of its parts.
    """
    part, record = entry["parts"][kind], KINDS[kind]
    segmentation = kind if record.task == "segmentation" else None
    defaults = {**record.defaults, **part["defaults"]}
    return {**entry, **part, "task": record.task, "segmentation": segmentation, "defaults": defaults, "parts": {}}


class MultitaskRequest(TaskParameters):
    """The parameters of each wanted part of a multi-task network.

    Attributes:
        parts: Kind of each part, and its parameters.
    """

    parts: tuple[tuple[str, SerializeAsAny[RequestParameters]], ...] = ()

    def complete(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """See `RequestParameters.complete`; by kind.

        Raises:
            InvalidParameters: a part does not accept its parameters, or the parts cannot share one pass with them.
        """
        completed: dict[str, Any] = {}
        for kind, parameters in self.parts:
            for name in OF_ONE_MODEL:
                if getattr(parameters, name, None):
                    message = f"{name}: all parts of {entry['name']} share one pass of the network; leave it out"
                    raise InvalidParameters(message, {"parameter": name})
            own = parameters.complete(part_entry(entry, kind))
            completed[kind] = {name: value for name, value in own.items() if name not in OF_ONE_MODEL}
        return completed


class FoundParts(Schema):
    """The answer of a network for one image, as the cache holds it."""

    image: ImageSize
    predictions: tuple[()]
    parts: dict[str, dict[str, Any]]


MULTITASK: Final = TaskApi(
    task="multitask",
    path="/v1/analyze",
    summary="Several tasks for one upload, by one network",
    parameters=MultitaskRequest,
    found=FoundParts,
    answer=None,
    examples={},
)
"""Its route is that of analyses, `services.gateway.analysis`."""
