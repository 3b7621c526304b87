"""A gateway over ASGI with backends that need no Ray, for tests of what it does with a request."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
from fastapi import FastAPI
from PIL import Image

from services.answers.wire import Failure, Item, Outcome
from services.deployments.identity import identity_of
from services.errors import ServiceError
from services.gateway.accuracy.feedback_store import FeedbackStore
from services.gateway.app import create_app
from services.gateway.serving.cache import MISS, Lookup, ResultCache
from services.gateway.serving.registry import Registry
from services.model_deployment import ModelDeployment, ModelSpec
from services.settings import Settings
from services.topology import Topology


class FakeBackend:
    """Answers with a class id made from the image's bytes, so that a mixed-up answer shows."""

    names: Sequence[str] = ("efficientnet-lite0", "noop")
    entry: dict[str, Any] = {  # noqa: RUF012  # read only
        "version": "1",
        "task": "classification",
        "weights_digest": "d",
        "runtime": {},
        "class_names": ["a"],
        "defaults": {"top_k": 5},
    }

    image_size = (2, 3)
    """(height, width) that it says every image has."""

    def __init__(self) -> None:
        self.calls: list[list[Item]] = []
        self.takes_s = 0.0
        self.warm = True

    async def predict(self, items: list[Item]) -> Sequence[Outcome | ServiceError]:
        self.calls.append(items)
        await asyncio.sleep(self.takes_s)
        return [self._answer(item) for item in items]

    async def describe(self) -> list[dict[str, Any]]:
        if not self.warm:
            raise ConnectionError
        return [{**self.entry, "name": name} for name in self.names]

    def _answer(self, item: Item) -> Outcome:
        if item.image == broken_inside():
            return Outcome(None, Failure(400, "broken_image", "the image is cut off", {}), {})
        height, width = self.image_size
        body = {"image": {"height": height, "width": width}, "predictions": self.predictions_of(item)}
        return Outcome(orjson.dumps(body), None, {"forward": 1.5})

    def predictions_of(self, item: Item) -> list[dict[str, Any]]:
        """What the answer to one image says."""
        prediction = {"class_id": class_id_of(item.image), "class_name": "x", "probability": 0.5}
        return [prediction] * item.parameters["top_k"]


class Signing:
    """A backend whose models have identities, and which signs what another answers; what is signed already stays."""

    def __init__(self, backend: FakeBackend) -> None:
        self._backend = backend

    async def predict(self, items: list[Item]) -> Sequence[Outcome | ServiceError]:
        answers = await self._backend.predict(items)
        described = {entry["name"]: entry for entry in await self._described()}
        return [
            sign(item, answer, described[item.model]) if isinstance(answer, Outcome) and not answer.identity else answer
            for item, answer in zip(items, answers, strict=True)
        ]

    async def describe(self) -> list[dict[str, Any]]:
        return await self._described()

    async def _described(self) -> list[dict[str, Any]]:
        return [entry if "identity" in entry else identified(entry) for entry in await self._backend.describe()]


class MemoryCache:
    """A result cache in a dict."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}

    async def get(self, key: str) -> Lookup:
        body = self.bodies.get(key)
        return MISS if body is None else Lookup(body)

    def put(self, key: str, body: bytes) -> None:
        self.bodies[key] = body

    async def close(self) -> None:
        self.bodies.clear()


def identified(entry: dict[str, Any]) -> dict[str, Any]:
    """What a replica says of a model, with its identity."""
    return {**entry, "identity": identity_of(entry).hex()}


def sign(item: Item, outcome: Outcome, described: dict[str, Any]) -> Outcome:
    """An outcome with the identity of who answered, as a replica signs it."""
    identity = bytes.fromhex(described["identity"])
    return outcome._replace(identity=identity, described=None if item.identity == identity else orjson.dumps(described))


def class_id_of(image: bytes) -> int:
    return int(hashlib.sha256(image).hexdigest()[:6], 16)


def png(shade: int = 0, size: tuple[int, int] = (3, 2)) -> bytes:
    """A PNG file of one colour, at (width, height)."""
    file = io.BytesIO()
    Image.new("RGB", size, (shade, 0, 0)).save(file, "PNG")
    return file.getvalue()


def broken_inside() -> bytes:
    """A PNG file whose header is fine, and whose end is missing."""
    return png(99)[:-20]


@asynccontextmanager
async def gateway(
    backend: FakeBackend, cache: ResultCache | None = None, **options: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway with these settings, in front of one deployment; its models need not be in the catalog."""
    app = await make_app(backend, cache, None, **options)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


async def make_app(
    backend: FakeBackend, cache: ResultCache | None, store: FeedbackStore | None, **options: Any
) -> FastAPI:
    """The application behind `gateway`; what it does in the background is not started."""
    models = tuple(ModelSpec(name=f"{name}@{backend.entry['version']}") for name in backend.names)
    deployment = ModelDeployment.model_construct(name="Fake", task=backend.entry["task"], models=models)
    settings = Settings(**options)
    topology = Topology.model_construct(deployments=(deployment,))
    registry = Registry(topology, {"Fake": Signing(backend)}, settings.max_queue_wait_s)
    await registry.readiness()
    return create_app(settings, registry, cache, store)


async def classify(client: httpx.AsyncClient, image: bytes, **options: Any) -> httpx.Response:
    """Post an image as it is."""
    return await post(client, "/v1/classify", image, **options)


async def post(client: httpx.AsyncClient, path: str, image: bytes, **options: Any) -> httpx.Response:
    """Post an image as it is to any endpoint."""
    headers = {"content-type": "image/png", **options.pop("headers", {})}
    return await client.post(path, content=image, headers=headers, **options)
