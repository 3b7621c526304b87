"""The Open Inference Protocol over HTTP: the routes below `/v2`.

A model's name may have slashes, which clients do not escape: all paths of models are one route, parsed here.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, StrictBool
from starlette.requests import Request
from starlette.responses import Response

from services.errors import ModelNotFound, Unimplemented
from services.gateway.bodies import Bodies
from services.gateway.disconnects import EndedWithClient
from services.gateway.documents import parse_object
from services.gateway.inputs import validate
from services.gateway.limits import read_timeout
from services.gateway.open_inference.descriptions import model_config, model_metadata, server_metadata
from services.gateway.open_inference.http_messages import HEADER_LENGTH, parse_request, write_response
from services.gateway.open_inference.inference import Inference
from services.gateway.open_inference.messages import InferRequest, InferResponse
from services.gateway.open_inference.repository import Repository, full_name
from services.gateway.open_inference.statistics import statistics
from services.gateway.serving.offload import INLINE_BYTES, NO_LIMIT, TimeLimit
from services.gateway.serving.predictor import CachePolicy
from services.gateway.serving.request_path import Caller
from services.gateway.serving.served_model import ServedModel
from services.settings import Settings

_MODEL_PATH: Final = re.compile(
    r"(?P<name>.+?)(?:/versions/(?P<version>[^/]+))?(?:/(?P<what>infer|ready|config|stats))?"
)
M = TypeVar("M", bound=BaseModel)

_WINDOW_BITS: Final = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
"""Of zlib, by `Content-Encoding`."""


class IndexRequest(BaseModel):
    """The body of a request for the index of the repository."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    ready: StrictBool = False


class ChangeRequest(BaseModel):
    """The body of a request to load or unload a model."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    parameters: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class HttpFront:
    """Handles the HTTP requests of the protocol.

    Attributes:
        inference: Handles requests for inference.
        repository: The served models.
        settings: Time limits and caps.
        bodies: Reads request bodies.
    """

    inference: Inference
    repository: Repository
    settings: Settings
    bodies: Bodies

    async def live(self, _: Request) -> Response:
        """Liveness of the server."""
        return _json({"live": True})

    async def ready(self, _: Request) -> Response:
        """Readiness of the server: whether every configured model is ready."""
        is_ready = await self.repository.is_ready()
        return _json({"ready": is_ready}, status=200 if is_ready else 503)

    async def server(self, _: Request) -> Response:
        """Name, version and extensions of the server."""
        return _json(server_metadata())

    async def all_statistics(self, _: Request) -> Response:
        """Statistics of all models."""
        return await _statistics(self.repository.select(""))

    async def index(self, request: Request) -> Response:
        """The models and their states; with `{"ready": true}` those that are ready."""
        sent = await self._read(request, IndexRequest)
        return _json(await self.repository.index(ready_only=sent.ready))

    async def describe(self, request: Request) -> Response:
        """Metadata of a model, or below its path `ready`, `config` and `stats`."""
        name, version, what = _parse_path(request.path_params["path"])
        if what == "infer":
            raise Unimplemented(f"{request.method} is not for inference; send POST")
        if what == "ready":
            await self.repository.check_ready(name, version)
            return _json({"name": name, "ready": True})
        if what == "stats":
            return await _statistics(self.repository.select(name, version))
        model = self.repository.find(name, version)
        if what == "config":
            return _json(model_config(model))
        return _json(model_metadata(model, self.repository.all_versions(model)))

    async def infer(self, request: Request) -> Response:
        """Predict the images of a request.

        Raises:
            ServiceError: the request is invalid, or an image failed.
        """
        name, version, what = _parse_path(request.path_params["path"])
        if what != "infer":
            raise Unimplemented("POST is for inference: /v2/models/NAME/infer")
        caller = Caller(request.state.tenant, request.state.request_id)
        policy = CachePolicy.of(request.headers.get("cache-control", ""))
        async with self.inference.path.open(caller, lambda: read_timeout(request.headers, self.settings)) as opened:
            opened.task = self.repository.find(name, version).task  # before the body is read
            with self.bodies.open(request) as body:
                text = await body.read(self.settings.max_body_bytes, "body")
                header_length = _joined(request, HEADER_LENGTH)

                def parse() -> InferRequest:
                    return parse_request(text, header_length, opened.limit)

                sent = parse() if len(text) <= INLINE_BYTES else await body.work(parse, opened.limit)
                with EndedWithClient(request):
                    found = await self.inference.infer(opened, caller, full_name(name, version), sent, policy)
                    return await self._respond(request, found, sent, opened.limit)

    async def load(self, request: Request) -> Response:
        """Load a version of a model: `NAME@VERSION`, or the newest of `NAME`."""
        parameters = (await self._read(request, ChangeRequest)).parameters
        await self.repository.load(request.path_params["name"], parameters, is_admin=request.state.admin)
        return _json({})

    async def unload(self, request: Request) -> Response:
        """Unload a version of a model: `NAME@VERSION`."""
        parameters = (await self._read(request, ChangeRequest)).parameters
        await self.repository.unload(request.path_params["name"], parameters, is_admin=request.state.admin)
        return _json({})

    async def _read(self, request: Request, kind: type[M]) -> M:
        """The JSON object of a small body, which may be empty."""
        with self.bodies.open(request) as body:
            text = await body.read(INLINE_BYTES, "body")
        return validate(kind, parse_object(text or b"{}", NO_LIMIT))

    async def _respond(self, request: Request, found: InferResponse, sent: InferRequest, limit: TimeLimit) -> Response:
        """The response, compressed where the client accepts nothing but that encoding."""
        body, header_length = await self.inference.work(
            lambda: write_response(found, sent.binary_outputs(found.outputs)), found.size, limit
        )
        headers = {"cache-control": "no-store"}
        if header_length is not None:
            headers[HEADER_LENGTH] = str(header_length)
        encoding = request.headers.get("accept-encoding", "").strip().lower()
        if encoding in _WINDOW_BITS:
            body = await self.inference.workers.run(lambda: _compressed(body, _WINDOW_BITS[encoding]))
            headers["content-encoding"] = encoding
        media_type = "application/json" if header_length is None else "application/octet-stream"
        return Response(body, media_type=media_type, headers=headers)


def _joined(request: Request, header: str) -> str | None:
    """The value of a header; of several, all of them, with commas between them."""
    return ", ".join(request.headers.getlist(header)) if header in request.headers else None


def _parse_path(path: str) -> tuple[str, str, str]:
    """Name and version of a model and what is asked of it, from the path behind `models/`; empty where left out."""
    found = _MODEL_PATH.fullmatch(path)
    if found is None:
        raise ModelNotFound("the path names no model: it is /v2/models/NAME, and perhaps /versions/VERSION")
    return found["name"], found["version"] or "", found["what"] or ""


async def _statistics(models: tuple[ServedModel, ...]) -> Response:
    return _json(await asyncio.to_thread(statistics, models))


def _json(document: Any, status: int = 200) -> Response:
    return Response(
        orjson.dumps(document), status_code=status, media_type="application/json", headers={"cache-control": "no-store"}
    )


def _compressed(body: bytes, window_bits: int) -> bytes:
    compressor = zlib.compressobj(level=1, wbits=window_bits)
    return compressor.compress(body) + compressor.flush()
