"""Predictors: run a model on images through its adapter in this process, or through a running gateway.

Both return the same JSON, so that later steps do not depend on which of them was used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from models.entries import Kind, Segmentation, Task, kind_of
from models.imaging.decoding import MAX_BYTES, MAX_PIXELS
from services.answers.image_problem import Problem
from services.answers.model_request import ModelRequest
from services.answers.remote import RemoteAnswer, remote_answers
from services.client import AsyncClient
from services.kinds.completion import complete

Through = Literal["adapter", "gateway"]
Read = Callable[[int], bytes | Problem]
"""From the index of an image to the encoded file; called in threads."""

_GATEWAY_TIMEOUT_S = 120.0
_IMAGES_PER_REQUEST = 8
_NOT_KEPT = {"Cache-Control": "no-store"}
"""Request headers: the images of an evaluation are not cached, and do not count towards drift."""


@dataclass(frozen=True, slots=True)
class PredictorConfig:
    """The configuration of a predictor.

    Attributes:
        model: Name of the model.
        through: `adapter`, or `gateway`.
        url: Of the gateway; None for the adapter.
        api_key: For the gateway.
        device: For the adapter: `cpu`, `cuda` or `cuda:N`.
        precision: For the adapter, see `models.runtime.Runtime`.
        part: For the adapter: of a multi-task network, which kind of its predictions; None for other models.
        max_image_bytes: For the adapter: the largest encoded image that it reads.
        max_image_pixels: For the adapter: the largest image, height × width.
    """

    model: str
    through: Through = "adapter"
    url: str | None = None
    api_key: str | None = None
    device: str = "cpu"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    part: Kind | None = None
    max_image_bytes: int = MAX_BYTES
    max_image_pixels: int = MAX_PIXELS


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Metadata of the model of a predictor.

    Attributes:
        name: In the catalog.
        version: Its version.
        task: Its task.
        segmentation: Of a segmenter, `semantic` or `instance`.
        class_names: One for every class id.
        defaults: Default request parameters.
        weights_digest: sha256 of the weights file in hex.
        runtime: Device and precision, see `models.runtime.Runtime`.
    """

    name: str
    version: str
    task: Task
    segmentation: Segmentation | None
    class_names: tuple[str, ...]
    defaults: Mapping[str, Any]
    weights_digest: str
    runtime: Mapping[str, Any]

    @property
    def kind(self) -> Kind:
        """The task, or of a segmenter the type of its masks."""
        return kind_of(self.task, self.segmentation)


class Predictor(Protocol):
    """Runs a model on images.

    Attributes:
        facts: Metadata of the model.
    """

    facts: ModelFacts

    def ask(
        self, indices: Iterable[int], read: Read, parameters: Mapping[str, Any]
    ) -> Iterator[tuple[int, Mapping[str, Any] | Problem]]:
        """Predicts images, in order: `image` and `predictions` as every client gets them.

        Args:
            indices: Of the images.
            read: Reads the encoded image of an index.
            parameters: Of the task, by the names of the HTTP API.

        Raises:
            TapetumError: the gateway is unreachable, or refuses the key, the model or a parameter.
            ValueError: the gateway now serves another version of the model than at the start.
        """
        ...


def open_predictor(config: PredictorConfig) -> Predictor:
    """Loads the model, or requests its metadata from the gateway.

    Raises:
        ModelsError: it cannot be loaded.
        TapetumError: the gateway is unreachable, refuses the key, or has no such model.
        ValueError: the URL is invalid.
    """
    return _AdapterPredictor(config) if config.through == "adapter" else _GatewayPredictor(config)


class _AdapterPredictor:
    def __init__(self, config: PredictorConfig) -> None:
        from models.catalog.loading import load_part
        from models.runtime import Runtime

        self._adapter = load_part(config.model, Runtime(config.device, config.precision), config.part)
        entry = self._adapter.entry
        self._caps = config.max_image_bytes, config.max_image_pixels
        self.facts = ModelFacts(
            name=entry.name,
            version=entry.version,
            task=entry.task,
            segmentation=entry.segmentation,
            class_names=tuple(self._adapter.class_names),
            defaults=dict(entry.defaults),
            weights_digest=self._adapter.weights_digest,
            runtime=self._adapter.runtime.to_dict(),
        )

    def ask(
        self, indices: Iterable[int], read: Read, parameters: Mapping[str, Any]
    ) -> Iterator[tuple[int, Mapping[str, Any] | Problem]]:
        from services.answers.local import local_answers

        facts = self.facts
        told = complete(facts.kind, parameters, facts.defaults, facts.class_names)
        for local in local_answers(indices, read, self._adapter, told, *self._caps):
            yield local.item, local.body


class _GatewayPredictor:
    def __init__(self, config: PredictorConfig) -> None:
        self._config = config
        self.facts = asyncio.run(self._ask_facts())

    def _client(self) -> AsyncClient:
        assert self._config.url is not None
        return AsyncClient(
            self._config.url, api_key=self._config.api_key, headers=_NOT_KEPT, timeout_s=_GATEWAY_TIMEOUT_S
        )

    async def _ask_facts(self) -> ModelFacts:
        async with self._client() as client:
            entry = (await client.model(self._config.model)).entry
        return ModelFacts(
            name=entry["name"],
            version=entry["version"],
            task=entry["task"],
            segmentation=entry.get("segmentation"),
            class_names=tuple(entry["class_names"]),
            defaults=dict(entry["defaults"]),
            weights_digest=entry["weights_digest"],
            runtime=dict(entry["runtime"]),
        )

    def ask(
        self, indices: Iterable[int], read: Read, parameters: Mapping[str, Any]
    ) -> Iterator[tuple[int, Mapping[str, Any] | Problem]]:
        request = ModelRequest(self.facts.task, self._config.model, parameters)
        with asyncio.Runner() as runner:
            client = self._client()
            answers = remote_answers(indices, read, client, request, _IMAGES_PER_REQUEST)

            async def following() -> RemoteAnswer[int] | None:
                return await anext(answers, None)

            try:
                while (remote := runner.run(following())) is not None:
                    answer = remote.answer
                    if not isinstance(answer, Problem) and answer.version != self.facts.version:
                        raise ValueError(
                            f"{self._config.url}: version {answer.version} of {self.facts.name} answers, where version "
                            f"{self.facts.version} was to be measured: the model was replaced meanwhile"
                        )
                    yield remote.item, answer if isinstance(answer, Problem) else answer.to_json()
            finally:
                runner.run(answers.aclose())
                runner.run(client.close())
