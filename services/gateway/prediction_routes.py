"""The routes of prediction endpoints, with their OpenAPI: of usual tasks, and of experimental ones that are served."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from models.entries import Task
from services.errors import ModelNotFound
from services.gateway.direct_route import direct_router
from services.gateway.openapi import describe_errors, describe_request, describe_response
from services.gateway.prediction import PredictionHandler
from services.gateway.serving.registry import Registry
from services.kinds import EXPERIMENTAL_PATHS, TASKS
from services.kinds.task_api import TaskApi


def served_apis(registry: Registry) -> Sequence[TaskApi]:
    """The endpoints of all usual tasks, and of the experimental ones that have a configured model."""
    return [*TASKS.values(), *(TASKS[task] for task in EXPERIMENTAL_PATHS.values() if task in registry.tasks)]


def add_task(app: FastAPI, api: TaskApi, handler: PredictionHandler) -> None:
    """Adds the route of a task, which documents its endpoint."""

    async def predict(request: Request) -> Response:
        return await handler(request)

    extra: dict[str, Any] = {"x-experimental": True} if api.is_experimental else {}
    router = direct_router()
    router.add_api_route(
        api.path,
        predict,
        methods=["POST"],
        summary=api.summary,
        description=api.parameters.__doc__,
        operation_id=api.path.rpartition("/")[2],
        tags=["experimental" if api.is_experimental else "predict"],
        responses={200: {"model": api.answer, **describe_response(api)}, **describe_errors()},
        openapi_extra={**describe_request(api), **extra},
    )
    app.include_router(router)


def add_absent_tasks(app: FastAPI, registry: Registry) -> None:
    """Adds routes that say how to serve the experimental tasks without a configured model; nothing documents them."""
    for path, task in EXPERIMENTAL_PATHS.items():
        if task not in registry.tasks:
            app.router.add_route(path, partial(_refuse, task), methods=["POST"], include_in_schema=False)


async def _refuse(task: Task, _: Request) -> Response:
    message = (
        f"no model for {task} is served: it is experimental, and off by default; `tapetum models list --task {task}` "
        "names models, and `tapetum serve --model NAME` serves one"
    )
    raise ModelNotFound(message, {"task": task, "experimental": True})
