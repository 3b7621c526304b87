"""An analysis by one multi-task network: one image goes through it once, and its answer has a part for each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from services.errors import InvalidParameters, ServiceError
from services.gateway.analysis.parameters import AnalyzeParameters
from services.gateway.serving.predictor import Answer
from services.gateway.serving.served_model import ServedModel
from services.kinds.multitask import KINDS_OF_TASK, MultitaskRequest, kinds_of_tasks, part_entry


def kinds_of(served: ServedModel, asked: AnalyzeParameters) -> dict[str, str]:
    """The part of a network that answers each task: all tasks that it has, or those of the request.

    Raises:
        InvalidParameters: it has no part for a task, or none of the kind of masks.
    """
    has = kinds_of_tasks(served.entry["parts"], asked.segment.kind)
    given = [task for task in KINDS_OF_TASK if asked.of_task(task).model_fields_set]
    wanted = asked.tasks or [task for task in KINDS_OF_TASK if task in has or task in given]
    for task in wanted:
        if task not in has:
            named = f"{task} ({asked.segment.kind} masks)" if task == "segment" and asked.segment.kind else task
            message = f"{served.name} has no part for {named}; it has {', '.join(has)}"
            raise InvalidParameters(message, {"tasks": list(has)})
    return {task: has[task] for task in wanted}


def whole_request(asked: AnalyzeParameters, kinds: Mapping[str, str], drawn: bool) -> MultitaskRequest:
    """The parameters of the one request to the network.

    Args:
        asked: Of the analysis.
        kinds: See `kinds_of`.
        drawn: Whether the answers are drawn.
    """
    of_tasks = {kind: asked.of_task(task) for task, kind in kinds.items()}
    parts = [(kind, own.for_drawing() if drawn else own) for kind, own in of_tasks.items()]
    return MultitaskRequest(model=asked.model, parts=tuple(parts))


def split_answer(
    answers: Sequence[Answer | ServiceError], kinds: Mapping[str, str]
) -> dict[str, tuple[Answer | ServiceError, ...]]:
    """The answers of each task, out of those of the network, as a model of that kind gives them."""
    rows = [answer if isinstance(answer, ServiceError) else _parts(answer, kinds) for answer in answers]
    return {task: tuple(row if isinstance(row, ServiceError) else row[task] for row in rows) for task in kinds}


def _parts(answer: Answer, kinds: Mapping[str, str]) -> dict[str, Answer]:
    document: dict[str, Any] = orjson.loads(answer.body)
    found: dict[str, Answer] = {}
    for task, kind in kinds.items():
        body = orjson.dumps({"image": document["image"], **document["parts"][kind]})
        entry = part_entry(answer.model.entry, kind)
        model = replace(answer.model, kind=kind, task=entry["task"], entry=entry)
        found[task] = replace(answer, body=body, request=replace(answer.request, model=model))
    return found
