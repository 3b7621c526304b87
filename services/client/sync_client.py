"""The synchronous client, on httpx."""

from __future__ import annotations

import time
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


class Client:
    """A synchronous client with a connection pool; thread-safe.

    Args:
        base_url: URL of the server; `http://` may be omitted.
        api_key: Sent as `Authorization: Bearer …`.
        headers: Sent with every request, too; with `{"Cache-Control": "no-store"}` nothing is cached or recorded.
        timeout_s: Default time limit of a call, retries included; it is sent to the server.
        max_retries: The most retries of a call after a 429, a 503 or a broken connection.
        transport: Transport of httpx, for tests.

    Raises:
        ValueError: `base_url` is not an HTTP address, the key has characters that no key has, or the environment names
            a proxy that cannot be used. A server on a loopback address is asked without a proxy.

    All calls raise `TapetumError` where the server refuses or cannot be reached, and `OSError` where an image is given
    by a path that cannot be read.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        max_retries: int = DEFAULT_MAX_RETRIES,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._max_retries = max_retries
        options = connection_options(base_url, api_key, headers)
        with proxy_errors(options["base_url"]):
            self._http = httpx.Client(**options, transport=transport or direct_transport(options, httpx.HTTPTransport))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def classify(
        self, image: Image, *, timeout_s: float | None = None, **parameters: Unpack[ClassificationParameters]
    ) -> Classification:
        """Classifies one image: returns its most probable classes.

        Args:
            image: The encoded file, or where it lies.
            timeout_s: Time limit of this call, retries included.
            parameters: See `ClassificationParameters`; what is left out is as the server and the model have it.
        """
        return self.predict(calls.CLASSIFY, image, parameters, timeout_s)

    def classify_many(
        self, images: Sequence[Image], *, timeout_s: float | None = None, **parameters: Unpack[ClassificationParameters]
    ) -> list[Classification | TapetumError]:
        """Classifies several images in one request.

        Args:
            images: At least one, and no more than the server takes (32 by default).
            timeout_s: Time limit of the whole.
            parameters: As for `classify`.

        Returns:
            One item for each image, in their order: its classes, or why it has none.
        """
        return self.predict_many(calls.CLASSIFY, images, parameters, timeout_s)

    def detect(
        self, image: Image, *, timeout_s: float | None = None, **parameters: Unpack[DetectionParameters]
    ) -> Detections:
        """Detects objects in one image.

        Args:
            image: The encoded file, or where it lies.
            timeout_s: Time limit of this call, retries included.
            parameters: See `DetectionParameters`; what is left out is as the server and the model have it.
        """
        return self.predict(calls.DETECT, image, parameters, timeout_s)

    def detect_many(
        self, images: Sequence[Image], *, timeout_s: float | None = None, **parameters: Unpack[DetectionParameters]
    ) -> list[Detections | TapetumError]:
        """Detects objects in several images in one request.

        Args:
            images: At least one, and no more than the server takes (32 by default).
            timeout_s: Time limit of the whole.
            parameters: As for `detect`.

        Returns:
            One item for each image, in their order: its objects, or why it has no answer.
        """
        return self.predict_many(calls.DETECT, images, parameters, timeout_s)

    def pose(self, image: Image, *, timeout_s: float | None = None, **parameters: Unpack[PoseParameters]) -> Poses:
        """Finds people and their key points in one image.

        Args:
            image: The encoded file, or where it lies.
            timeout_s: Time limit of this call, retries included.
            parameters: See `PoseParameters`; what is left out is as the server and the model have it.
        """
        return self.predict(calls.POSE, image, parameters, timeout_s)

    def pose_many(
        self, images: Sequence[Image], *, timeout_s: float | None = None, **parameters: Unpack[PoseParameters]
    ) -> list[Poses | TapetumError]:
        """Finds people and their key points in several images in one request; see `detect_many` and `pose`."""
        return self.predict_many(calls.POSE, images, parameters, timeout_s)

    def segment(
        self, image: Image, *, timeout_s: float | None = None, **parameters: Unpack[SegmentationParameters]
    ) -> Segmentation:
        """Segments one image: returns the mask of each object or of each class, depending on the model.

        Args:
            image: The encoded file, or where it lies.
            timeout_s: Time limit of this call, retries included.
            parameters: See `SegmentationParameters`; what is left out is as the server and the model have it.
        """
        return self.predict(calls.SEGMENT, image, parameters, timeout_s)

    def segment_many(
        self, images: Sequence[Image], *, timeout_s: float | None = None, **parameters: Unpack[SegmentationParameters]
    ) -> list[Segmentation | TapetumError]:
        """Segments several images in one request.

        Args:
            images: At least one, and no more than the server takes (32 by default).
            timeout_s: Time limit of the whole.
            parameters: As for `segment`.

        Returns:
            One item for each image, in their order: its masks, or why it has no answer.
        """
        return self.predict_many(calls.SEGMENT, images, parameters, timeout_s)

    def stylize(
        self,
        image: Image,
        *,
        model: str | None = None,
        strength: float | None = None,
        timeout_s: float | None = None,
    ) -> Pictures:
        """Paints a photo in the style of a model; experimental, and off unless the server names such a model.

        Args:
            image: The encoded file, or where it lies.
            model: Name of a served stylizer; the server's default where None.
            strength: Share of the style, 0 to 1; the model's own default where None, mostly 1.
            timeout_s: Time limit of this call, retries included.

        Returns:
            An answer with one image: see its `to_image`, `png` and `save`.
        """
        return self.send(calls.stylize(image, {"model": model, "strength": strength}), timeout_s)

    def generate(
        self,
        wanted_class: str | int | None = None,
        *,
        timeout_s: float | None = None,
        **parameters: Unpack[GenerationParameters],
    ) -> Pictures:
        """Makes images from noise; experimental, and off unless the server names such a model.

        Args:
            wanted_class: Name or id of the class of all images; drawn by the seed for each where None.
            timeout_s: Time limit of this call, retries included.
            parameters: See `GenerationParameters`; what is left out is as the server and the model have it.

        Returns:
            An answer with `count` images in `predictions`.
        """
        return self.send(calls.generate({"class": wanted_class, **parameters}), timeout_s)

    def predict(
        self, endpoint: Endpoint[A], image: Image, parameters: Parameters = _NONE, timeout_s: float | None = None
    ) -> A:
        """The answer of any prediction endpoint to one image.

        Args:
            endpoint: Its path, and the type of its answers.
            image: The encoded file, or where it lies.
            parameters: By name; what is None is left to the server.
            timeout_s: Time limit of this call, retries included.
        """
        return self.send(calls.predict(endpoint, image, parameters), timeout_s)

    def predict_many(
        self,
        endpoint: Endpoint[A],
        images: Sequence[Image],
        parameters: Parameters = _NONE,
        timeout_s: float | None = None,
    ) -> list[A | TapetumError]:
        """The answers of any prediction endpoint to several images, in one request; the arguments are as for `predict`.

        Returns:
            One item for each image, in their order: its answer, or why it has none.
        """
        return self.send(calls.predict_many(endpoint, images, parameters), timeout_s)

    def analyze(
        self,
        image: Image,
        tasks: Sequence[str] | None = None,
        *,
        model: str | None = None,
        timeout_s: float | None = None,
        **parameters: Parameters,
    ) -> Analysis:
        """Predicts several tasks for one image, which is sent and decoded once.

        Args:
            image: The encoded file, or where it lies.
            tasks: Of `classify`, `detect`, `pose` and `segment`; None: all that `model` answers, or
                that have a model loaded.
            model: A multi-task network that answers all tasks in one pass; None: a model for each task.
            timeout_s: Time limit of this call, retries included.
            parameters: By task, such as `detect={"model": "yolo-person", "score_threshold": 0.4}`; what is left out is
                as the server and the models have it.
        """
        return self.send(calls.analyze(image, tasks, model, parameters), timeout_s)

    def analyze_many(
        self,
        images: Sequence[Image],
        tasks: Sequence[str] | None = None,
        *,
        model: str | None = None,
        timeout_s: float | None = None,
        **parameters: Parameters,
    ) -> list[Analysis | TapetumError]:
        """Predicts several tasks for several images in one request; see `analyze` and `classify_many`."""
        return self.send(calls.analyze_many(images, tasks, model, parameters), timeout_s)

    def explain(
        self, image: Image, *, timeout_s: float | None = None, **parameters: Unpack[ExplanationParameters]
    ) -> Explanation:
        """Explains a prediction for one image: which parts of it count towards a class or a box.

        Args:
            image: The encoded file, or where it lies.
            timeout_s: Time limit of this call, retries included. The first explanation waits for a process to start,
                10 seconds or more.
            parameters: See `ExplanationParameters`; what is left out is as the server has it.
        """
        return self.send(calls.explain(image, parameters), timeout_s)

    def layers(self, name: str, *, timeout_s: float | None = None) -> NetworkLayers:
        """Lists the layers of a model's network, with its first filters as a picture.

        Args:
            name: Of a served model of images, or `NAME@VERSION`.
            timeout_s: Time limit of this call, retries included; the first one waits as for `explain`.
        """
        return self.send(calls.layers(name), timeout_s)

    def models(self) -> tuple[ServedModel, ...]:
        """Lists the served models."""
        return self.send(calls.models())

    def model(self, name: str) -> ServedModel:
        """One served model, with its class names."""
        return self.send(calls.model(name))

    def feedback(
        self,
        request_id: str,
        target: Mapping[str, object],
        *,
        index: int = 0,
        task: str = "",
        timeout_s: float | None = None,
    ) -> Feedback:
        """Sends ground truth for an image of an earlier request; it counts towards the live accuracy of the model.

        Args:
            request_id: Of that answer.
            target: What is in the image, such as `{"class": "tabby"}`; `docs/accuracy.md` tells the shapes.
            index: Of the image, in a request with several.
            task: Of an analysis, which of its answers, such as `detect`; empty for other requests.
            timeout_s: Time limit of this call, retries included.
        """
        return self.send(calls.feedback(request_id, target, index, task), timeout_s)

    def accuracy(self) -> tuple[ModelAccuracy, ...]:
        """Returns evaluations, live accuracy and drift of each served model."""
        return self.send(calls.accuracy())

    def ready(self) -> Readiness:
        """Whether the server and each of its models take requests; `TapetumError` where there is no server."""
        return self.send(calls.ready())

    def send(self, call: Call[T], timeout_s: float | None = None) -> T:
        """Sends any call, such as those of `services.client.administration`.

        Args:
            call: The request, and the parser of its response.
            timeout_s: Time limit, retries included.
        """
        attempts = Attempts(self._timeout_s if timeout_s is None else timeout_s, self._max_retries)
        while True:
            try:
                return call.read(self._http.send(call.request(self._http, attempts.remaining_s)))
            except TapetumError as error:
                pause_s = attempts.pause_after(error)
            except httpx.TransportError as error:
                pause_s = attempts.pause_after(attempts.translate(error, self._http.base_url))
            time.sleep(pause_s)
