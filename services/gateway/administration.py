"""`POST /v1/models/{name}/load` and `/unload`, `GET` and `PUT /v1/models/{name}/plan`: for administrators."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import orjson
from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from services.errors import Forbidden
from services.gateway.bodies import Bodies
from services.gateway.direct_route import direct_router
from services.gateway.documents import parse_object
from services.gateway.inputs import validate
from services.gateway.limits import read_timeout
from services.gateway.openapi import describe_errors, describe_named
from services.gateway.schemas import PlanRequest, PlanStatus, VersionRequest, VersionStatus
from services.gateway.serving.model_versions import ModelVersions, describe_plan
from services.gateway.serving.offload import TimeLimit
from services.settings import Settings

M = TypeVar("M", bound=BaseModel)
Endpoint = Callable[[Request], Awaitable[Response]]

_MAX_BYTES: Final = 2**16
_PENDING: Final = frozenset({"loading", "unloading"})


class AdministrationHandler:
    """Handles the requests of administrators about versions of models.

    Args:
        settings: Time limits, and whether there are administrators.
        bodies: Reads request bodies.
        versions: Loads and unloads.
    """

    def __init__(self, settings: Settings, bodies: Bodies, versions: ModelVersions) -> None:
        self._settings = settings
        self._bodies = bodies
        self._versions = versions

    async def load(self, request: Request) -> Response:
        """Load a version.

        Raises:
            ServiceError: it is refused, or the load failed.
        """
        return await self._change(request, self._versions.load)

    async def unload(self, request: Request) -> Response:
        """Unload a version.

        Raises:
            ServiceError: it is refused.
        """
        return await self._change(request, self._versions.unload)

    async def show_plan(self, request: Request) -> Response:
        """The serving plan of a model.

        Raises:
            ServiceError: it is refused.
        """
        self._check(request)
        return _json(describe_plan(await self._versions.plan(request.path_params["name"])))

    async def change_plan(self, request: Request) -> Response:
        """Change the serving plan of a model.

        Raises:
            ServiceError: it is refused.
        """
        self._check(request)
        asked = await self._read(request, PlanRequest)
        return _json(describe_plan(await self._versions.set_policy(request.path_params["name"], asked.policy)))

    async def _change(
        self, request: Request, change: Callable[[str, str | None, float], Awaitable[VersionStatus]]
    ) -> Response:
        self._check(request)
        asked = await self._read(request, VersionRequest)
        timeout_s = read_timeout(request.headers, self._settings)
        status = await change(request.path_params["name"], asked.version, timeout_s)
        return _json(status.model_dump(), 202 if status.state in _PENDING else 200)

    def _check(self, request: Request) -> None:
        check_admin(is_admin=request.state.admin, settings=self._settings)

    async def _read(self, request: Request, kind: type[M]) -> M:
        with self._bodies.open(request) as body:
            text = await body.read(_MAX_BYTES, "body")
        document = parse_object(text, TimeLimit(float("inf"))) if text.strip() else {}
        return validate(kind, document)


def administration_router(handler: AdministrationHandler) -> APIRouter:
    """The routes of administrators."""

    async def load(request: Request) -> Response:
        """Load a version of a configured model in all replicas, and warm it up, while the others serve.

        The response comes when all replicas have it, or with `load_failed`. 202: it is still being loaded.
        """
        return await handler.load(request)

    async def unload(request: Request) -> Response:
        """Unload a version of a model, once no request uses it any more. 202: it is still being unloaded."""
        return await handler.unload(request)

    async def show_plan(request: Request) -> Response:
        """Which versions of a model are to be loaded, and its version policy."""
        return await handler.show_plan(request)

    async def change_plan(request: Request) -> Response:
        """Change the version policy of a model: which version answers requests that name none."""
        return await handler.change_plan(request)

    router = direct_router(tags=["administration"])
    errors = describe_errors(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503)
    version = {200: {"model": VersionStatus}, 202: {"model": VersionStatus, "description": "Not done yet."}, **errors}
    plan = {200: {"model": PlanStatus}, **errors}
    routes: tuple[tuple[str, str, Endpoint, dict[int | str, Any], type[BaseModel] | None], ...] = (
        ("POST", "load", load, version, VersionRequest),
        ("POST", "unload", unload, version, VersionRequest),
        ("GET", "plan", show_plan, plan, None),
        ("PUT", "plan", change_plan, plan, PlanRequest),
    )
    for method, name, endpoint, responses, body in routes:
        router.add_api_route(
            f"/v1/models/{{name:path}}/{name}",
            endpoint,
            methods=[method],
            responses=responses,
            openapi_extra=describe_named(body),
        )
    return router


def check_admin(*, is_admin: bool, settings: Settings) -> None:
    """Refuse a request that only administrators may make.

    Args:
        is_admin: Whether the request has the key of an administrator.
        settings: Says whether there are any.

    Raises:
        Forbidden: it has not; the message names the setting where there are no administrators.
    """
    if is_admin:
        return
    if settings.all_admin_keys():
        raise Forbidden("only an administrator may do this: send a key of TAPETUM_ADMIN_KEYS")
    raise Forbidden("there are no administrators here: set TAPETUM_ADMIN_KEYS or TAPETUM_ADMIN_KEYS_FILE")


def _json(document: object, status: int = 200) -> Response:
    return Response(
        orjson.dumps(document), status, media_type="application/json", headers={"cache-control": "no-store"}
    )
