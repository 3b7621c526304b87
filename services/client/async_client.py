"""The asynchronous client, on httpx."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Self, TypeVar, Unpack

import httpx

from services.client import calls
from services.client.answers import (
    Analysis,
    Answer,
    Classification,
    Detections,
    Feedback,
    ModelAccuracy,
    Pictures,
    Poses,
    Readiness,
    Segmentation,
    ServedModel,
)
from services.client.calls import Attempts, Call, Endpoint, Image, Parameters
from services.client.connecting import (
    DEFAULT_MAX_RETRIES,
    DEFAULT_TIMEOUT_S,
    DEFAULT_URL,
    connection_options,
    direct_transport,
    proxy_errors,
)
from services.client.errors import TapetumError
from services.client.explanations import Explanation, ExplanationParameters
from services.client.network_layers import NetworkLayers
from services.client.parameters import (
    ClassificationParameters,
    DetectionParameters,
    GenerationParameters,
    PoseParameters,
    SegmentationParameters,
)

T = TypeVar("T")
A = TypeVar("A", bound=Answer[Any])

_NONE: Parameters = {}


class AsyncClient:
    """`Client` for asyncio: the same arguments, calls, answers and errors."""

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        max_retries: int = DEFAULT_MAX_RETRIES,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._max_retries = max_retries
        options = connection_options(base_url, api_key, headers)
        with proxy_errors(options["base_url"]):
            self._http = httpx.AsyncClient(
                **options, transport=transport or direct_transport(options, httpx.AsyncHTTPTransport)
            )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def classify(
        self, image: Image, *, timeout_s: float | None = None, **parameters: Unpack[ClassificationParameters]
    ) -> Classification:
        """As `Client.classify`; a path is read in a thread."""
        return await self.predict(calls.CLASSIFY, image, parameters, timeout_s)

    async def classify_many(
        self, images: Sequence[Image], *, timeout_s: float | None = None, **parameters: Unpack[ClassificationParameters]
    ) -> list[Classification | TapetumError]:
        """As `Client.classify_many`; the request is built in a thread."""
        return await self.predict_many(calls.CLASSIFY, images, parameters, timeout_s)

    async def detect(
        self, image: Image, *, timeout_s: float | None = None, **parameters: Unpack[DetectionParameters]
    ) -> Detections:
        """As `Client.detect`; a path is read in a thread."""
        return await self.predict(calls.DETECT, image, parameters, timeout_s)

    async def detect_many(
        self, images: Sequence[Image], *, timeout_s: float | None = None, **parameters: Unpack[DetectionParameters]
    ) -> list[Detections | TapetumError]:
        """As `Client.detect_many`; the request is built in a thread."""
        return await self.predict_many(calls.DETECT, images, parameters, timeout_s)

    async def pose(
        self, image: Image, *, timeout_s: float | None = None, **parameters: Unpack[PoseParameters]
    ) -> Poses:
        """As `Client.pose`; a path is read in a thread."""
        return await self.predict(calls.POSE, image, parameters, timeout_s)

    async def pose_many(
        self, images: Sequence[Image], *, timeout_s: float | None = None, **parameters: Unpack[PoseParameters]
    ) -> list[Poses | TapetumError]:
        """As `Client.pose_many`; the request is built in a thread."""
        return await self.predict_many(calls.POSE, images, parameters, timeout_s)

    async def segment(
        self, image: Image, *, timeout_s: float | None = None, **parameters: Unpack[SegmentationParameters]
    ) -> Segmentation:
        """As `Client.segment`; a path is read in a thread."""
        return await self.predict(calls.SEGMENT, image, parameters, timeout_s)

    async def segment_many(
        self, images: Sequence[Image], *, timeout_s: float | None = None, **parameters: Unpack[SegmentationParameters]
    ) -> list[Segmentation | TapetumError]:
        """As `Client.segment_many`; the request is built in a thread."""
        return await self.predict_many(calls.SEGMENT, images, parameters, timeout_s)

    async def stylize(
        self,
        image: Image,
        *,
        model: str | None = None,
        strength: float | None = None,
        timeout_s: float | None = None,
    ) -> Pictures:
        """As `Client.stylize`; a path is read in a thread."""
        call = await asyncio.to_thread(calls.stylize, image, {"model": model, "strength": strength})
        return await self.send(call, timeout_s)

    async def generate(
        self,
        wanted_class: str | int | None = None,
        *,
        timeout_s: float | None = None,
        **parameters: Unpack[GenerationParameters],
    ) -> Pictures:
        """As `Client.generate`."""
        return await self.send(calls.generate({"class": wanted_class, **parameters}), timeout_s)

    async def predict(
        self, endpoint: Endpoint[A], image: Image, parameters: Parameters = _NONE, timeout_s: float | None = None
    ) -> A:
        """As `Client.predict`; a path is read in a thread."""
        return await self.send(await asyncio.to_thread(calls.predict, endpoint, image, parameters), timeout_s)

    async def predict_many(
        self,
        endpoint: Endpoint[A],
        images: Sequence[Image],
        parameters: Parameters = _NONE,
        timeout_s: float | None = None,
    ) -> list[A | TapetumError]:
        """As `Client.predict_many`; the request is built in a thread."""
        return await self.send(await asyncio.to_thread(calls.predict_many, endpoint, images, parameters), timeout_s)

    async def analyze(
        self,
        image: Image,
        tasks: Sequence[str] | None = None,
        *,
        model: str | None = None,
        timeout_s: float | None = None,
        **parameters: Parameters,
    ) -> Analysis:
        """As `Client.analyze`; the request is built in a thread."""
        return await self.send(await asyncio.to_thread(calls.analyze, image, tasks, model, parameters), timeout_s)

    async def analyze_many(
        self,
        images: Sequence[Image],
        tasks: Sequence[str] | None = None,
        *,
        model: str | None = None,
        timeout_s: float | None = None,
        **parameters: Parameters,
    ) -> list[Analysis | TapetumError]:
        """As `Client.analyze_many`; the request is built in a thread."""
        return await self.send(await asyncio.to_thread(calls.analyze_many, images, tasks, model, parameters), timeout_s)

    async def explain(
        self, image: Image, *, timeout_s: float | None = None, **parameters: Unpack[ExplanationParameters]
    ) -> Explanation:
        """As `Client.explain`."""
        return await self.send(calls.explain(image, parameters), timeout_s)

    async def layers(self, name: str, *, timeout_s: float | None = None) -> NetworkLayers:
        """As `Client.layers`."""
        return await self.send(calls.layers(name), timeout_s)

    async def models(self) -> tuple[ServedModel, ...]:
        """As `Client.models`."""
        return await self.send(calls.models())

    async def model(self, name: str) -> ServedModel:
        """As `Client.model`."""
        return await self.send(calls.model(name))

    async def feedback(
        self,
        request_id: str,
        target: Mapping[str, object],
        *,
        index: int = 0,
        task: str = "",
        timeout_s: float | None = None,
    ) -> Feedback:
        """As `Client.feedback`."""
        return await self.send(calls.feedback(request_id, target, index, task), timeout_s)

    async def accuracy(self) -> tuple[ModelAccuracy, ...]:
        """As `Client.accuracy`."""
        return await self.send(calls.accuracy())

    async def ready(self) -> Readiness:
        """As `Client.ready`."""
        return await self.send(calls.ready())

    async def send(self, call: Call[T], timeout_s: float | None = None) -> T:
        """As `Client.send`."""
        attempts = Attempts(self._timeout_s if timeout_s is None else timeout_s, self._max_retries)
        while True:
            try:
                return call.read(await self._http.send(call.request(self._http, attempts.remaining_s)))
            except TapetumError as error:
                pause_s = attempts.pause_after(error)
            except httpx.TransportError as error:
                pause_s = attempts.pause_after(attempts.translate(error, self._http.base_url))
            await asyncio.sleep(pause_s)
