"""The parameters of an analysis: which tasks, and the parameters of each with the task as prefix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self, cast

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from services.errors import InvalidParameters
from services.kinds import TASKS
from services.kinds.classification import ClassifyParameters
from services.kinds.detection import DetectParameters
from services.kinds.keypoints import PoseRequest
from services.kinds.request_parameters import OF_THE_WHOLE, TaskParameters
from services.kinds.segmentation import SegmentParameters
from services.kinds.task_api import TaskApi

PARTS: Final[dict[str, TaskApi]] = {api.path.rpartition("/")[2]: api for api in TASKS.values()}
"""The endpoint of each task, by its name in an analysis: the last part of its path."""


def _split_tasks(value: Any) -> Any:
    """Splits a comma-separated list, and refuses an unknown or repeated task."""
    if isinstance(value, str):
        value = [name.strip() for name in value.split(",")]
    if not isinstance(value, list | tuple):
        raise PydanticCustomError("tasks", "Input should be a list of tasks")
    names = cast("list[Any]", value)
    if not any(names):
        raise PydanticCustomError("tasks", "the list is empty; there are: {known}", {"known": ", ".join(PARTS)})
    for place, name in enumerate(names):
        if not isinstance(name, str) or name not in PARTS:
            shown = str(name)[:80]
            raise PydanticCustomError(
                "tasks", "there is no task {name}; there are: {known}", {"name": shown, "known": ", ".join(PARTS)}
            )
        if name in names[:place]:
            raise PydanticCustomError("tasks", "{name} is given twice", {"name": name})
    return tuple(names)


Tasks = Annotated[
    tuple[Literal["classify", "detect", "pose", "segment"], ...], BeforeValidator(_split_tasks), Field(min_length=1)
]


class AnalyzedSegmentation(SegmentParameters):
    """Parameters of the segmentation in an analysis."""

    NOT_FOR_THE_MODEL = SegmentParameters.NOT_FOR_THE_MODEL | {"kind"}

    kind: Literal["instance", "semantic"] | None = Field(
        default=None,
        description="Which masks: `instance`, of objects, or `semantic`, of classes; by default those of the model.",
    )


class AnalyzeParameters(TaskParameters):
    """Predicts several tasks for an image at once: send it as the raw body, as multipart field `image`, or in base64 in
    JSON.

    Parameters of a task have its name as prefix, such as `detect.score_threshold`; in JSON they are members of an
    object, `"detect": {"score_threshold": 0.4}`. Those that are not set default to the model's own. A task that fails
    has an `error` in its place, and the others their answers.
    """

    model: str | None = Field(
        default=None,
        description="Name of a served multi-task network, which answers all tasks in one pass; by default each task "
        "has a model, such as `detect.model`.",
    )
    tasks: Tasks | None = Field(
        default=None,
        description="The tasks, of classify, detect, pose and segment: a list in JSON, with commas between them "
        "elsewhere; by default every task that has a model loaded.",
    )
    classify: ClassifyParameters = ClassifyParameters()
    detect: DetectParameters = DetectParameters()
    pose: PoseRequest = PoseRequest()
    segment: AnalyzedSegmentation = AnalyzedSegmentation()

    @model_validator(mode="before")
    @classmethod
    def _nest(cls, given: Any) -> Any:
        """Makes an object of the parameters of each task: `detect.model=…` becomes `{"detect": {"model": …}}`."""
        if not isinstance(given, Mapping):
            return given
        nested: dict[str, Any] = {}
        for name, value in cast("Mapping[str, Any]", given).items():
            task, dot, parameter = name.partition(".")
            if not dot or task not in PARTS:
                nested[name] = _joined(name, value, nested.get(name, {})) if name in PARTS else value
                continue
            of_task = nested.setdefault(task, {})
            if parameter in of_task:
                raise _twice(name)
            of_task[parameter] = value
        return nested

    @model_validator(mode="after")
    def _check(self) -> Self:
        for task in PARTS:
            given: TaskParameters = getattr(self, task)
            if wrong := given.model_fields_set.intersection(OF_THE_WHOLE):
                name = f"{task}.{min(wrong)}"
                raise InvalidParameters(f"{name}: an analysis has no such parameter", {"parameter": name})
            if self.tasks is not None and task not in self.tasks and given.model_fields_set:
                name = f"{task}.{min(given.model_fields_set)}"
                raise InvalidParameters(f"{name}: {task} is not one of tasks", {"parameter": name})
            if self.model is not None and given.model is not None:
                raise InvalidParameters(f"{task}.model: model names one network for all tasks", {"parameter": "model"})
        return self

    def of_task(self, name: str) -> TaskParameters:
        """The parameters of one of `PARTS`."""
        return cast(TaskParameters, getattr(self, name))


def _joined(name: str, value: Any, others: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a task in an object of a JSON body, and those of the query."""
    if not isinstance(value, Mapping):
        message = f'{name}: it is a task; its parameters are {name}.model and so on, in JSON {{"model": …}}'
        raise InvalidParameters(message, {"parameter": name})
    given = dict(cast("Mapping[str, Any]", value))
    for key in given.keys() & others.keys():
        raise _twice(f"{name}.{key}")
    return {**others, **given}


def _twice(name: str) -> InvalidParameters:
    return InvalidParameters(f"parameter {name[:80]} is given twice", {"parameter": name[:80]})


def part_schema(name: str) -> dict[str, Any]:
    """The schemas of the parameters of a task, without those that an analysis does not have."""
    properties: dict[str, Any] = type(AnalyzeParameters().of_task(name)).model_json_schema()["properties"]
    return {key: value for key, value in properties.items() if key not in OF_THE_WHOLE}
