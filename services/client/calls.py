"""Shared code of both clients: building requests, parsing responses, and the retry policy."""

from __future__ import annotations

import json
import random
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx

from services.client import answers
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
from services.client.errors import TapetumError, error_of
from services.client.explanations import Explanation
from services.client.network_layers import NetworkLayers

T = TypeVar("T")
A = TypeVar("A", bound=Answer[Any])
Image = bytes | str | Path
"""An encoded image file: its bytes, or its path."""

Parameters = Mapping[str, object]
"""Parameters of a task by name: strings, numbers and sequences of them; what is None is left to the server."""

FIRST_BACKOFF_S = 0.1
GRACE_S = 0.5
"""Seconds added to the client's timeout, so that the server's own timeout error still arrives."""

_RETRIED = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[A]):
    """The path of a task and the type of its responses.

    Attributes:
        path: On the server.
        answer: Type of the response for one image.
    """

    path: str
    answer: type[A]


CLASSIFY = Endpoint("v1/classify", Classification)
DETECT = Endpoint("v1/detect", Detections)
POSE = Endpoint("v1/pose", Poses)
SEGMENT = Endpoint("v1/segment", Segmentation)
STYLIZE = Endpoint("v1/stylize", Pictures)
GENERATE = Endpoint("v1/generate", Pictures)

ENDPOINTS: dict[str, Endpoint[Any]] = {
    "classification": CLASSIFY,
    "detection": DETECT,
    "keypoints": POSE,
    "segmentation": SEGMENT,
    "stylization": STYLIZE,
    "generation": GENERATE,
}
"""The endpoint of every task."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request with the parser of its response.

    Attributes:
        parse: Converts the JSON of a response to the return value.
        accepted: Statuses that `parse` accepts; any other is an error.
    """

    method: str
    path: str
    parse: Callable[[Mapping[str, Any]], T]
    params: Mapping[str, str | int | float] = field(default_factory=dict[str, str | int | float])
    content: bytes | None = None
    content_type: str | None = None
    accepted: tuple[int, ...] = (200,)

    def request(self, client: httpx.Client | httpx.AsyncClient, remaining_s: float) -> httpx.Request:
        """Builds the request, with the remaining time limit."""
        headers = {"X-Request-Timeout": f"{remaining_s:.3f}"}
        if self.content_type:
            headers["Content-Type"] = self.content_type
        return client.build_request(
            self.method,
            self.path,
            params=self.params,
            content=self.content,
            headers=headers,
            timeout=remaining_s + GRACE_S,
        )

    def read(self, response: httpx.Response) -> T:
        """The answer.

        Raises:
            TapetumError: it is an error, or is not an answer of Tapetum.
        """
        if response.status_code not in self.accepted:
            raise error_of(response)
        try:
            return self.parse(response.json())
        except (ValueError, KeyError, TypeError, AttributeError):
            message = f"the answer of {response.url} is not one of Tapetum's"
            raise TapetumError(message, "unexpected_answer", response.status_code) from None


def predict(endpoint: Endpoint[A], image: Image, parameters: Parameters) -> Call[A]:
    """The answer to one image, sent as it is; with proposals as JSON, since a query has no room for many boxes."""
    if parameters.get("proposals") is not None:
        content = json.dumps({"image": _encoded(image), **_given(parameters)}).encode()
        return Call("POST", endpoint.path, endpoint.answer.parse, content=content, content_type="application/json")
    return Call(
        "POST",
        endpoint.path,
        endpoint.answer.parse,
        params={name: _query_value(value) for name, value in _given(parameters).items()},
        content=_bytes_of(image),
        content_type="application/octet-stream",
    )


def predict_many(
    endpoint: Endpoint[A], images: Sequence[Image], parameters: Parameters
) -> Call[list[A | TapetumError]]:
    """The answers to several images: JSON, for a list of one is a list there, too."""
    encoded = [_encoded(image) for image in images]
    return Call(
        "POST",
        endpoint.path,
        endpoint.answer.parse_list,
        content=json.dumps({"images": encoded, **_given(parameters)}).encode(),
        content_type="application/json",
    )


def stylize(image: Image, parameters: Parameters) -> Call[Pictures]:
    """A photo in the style of a model, as JSON, which says more than an image file."""
    return predict(STYLIZE, image, {**parameters, "format": "json"})


def generate(parameters: Parameters) -> Call[Pictures]:
    """Images from noise; the request has parameters only."""
    content = json.dumps({**_given(parameters), "format": "json"}).encode()
    return Call("POST", GENERATE.path, Pictures.parse, content=content, content_type="application/json")


def analyze(
    image: Image, tasks: Sequence[str] | None, model: str | None, parameters: Mapping[str, Parameters]
) -> Call[Analysis]:
    """The answers of several tasks to one image, in JSON, which has room for all parameters."""
    content = _analysis_body({"image": _encoded(image)}, tasks, model, parameters)
    return Call("POST", "v1/analyze", Analysis.parse, content=content, content_type="application/json")


def analyze_many(
    images: Sequence[Image], tasks: Sequence[str] | None, model: str | None, parameters: Mapping[str, Parameters]
) -> Call[list[Analysis | TapetumError]]:
    """The answers of several tasks to several images."""
    content = _analysis_body({"images": [_encoded(image) for image in images]}, tasks, model, parameters)
    return Call("POST", "v1/analyze", Analysis.parse_list, content=content, content_type="application/json")


def _analysis_body(
    images: Mapping[str, Any], tasks: Sequence[str] | None, model: str | None, parameters: Mapping[str, Parameters]
) -> bytes:
    chosen = _given({"tasks": None if tasks is None else list(tasks), "model": model})
    given = {name: _given(of_task) for name, of_task in parameters.items()}
    return json.dumps({**images, **chosen, **given}).encode()


def _encoded(image: Image) -> dict[str, str]:
    return {"base64": b64encode(_bytes_of(image)).decode("ascii")}


def explain(image: Image, parameters: Parameters) -> Call[Explanation]:
    """Why a model predicts what it does for an image."""
    given = {name.rstrip("_"): value for name, value in _given(parameters).items()}
    return Call(
        "POST",
        "v1/explain",
        Explanation.parse,
        params={name: _query_value(value) for name, value in given.items()},
        content=_bytes_of(image),
        content_type="application/octet-stream",
    )


def layers(name: str) -> Call[NetworkLayers]:
    """The layers of a model's network."""
    return Call("GET", f"v1/models/{quote(name)}/layers", NetworkLayers.parse)


def models() -> Call[tuple[ServedModel, ...]]:
    """The models that are served."""
    return Call("GET", "v1/models", answers.parse_models)


def model(name: str) -> Call[ServedModel]:
    """One of them; the slashes in its name stay slashes."""
    return Call("GET", f"v1/models/{quote(name)}", answers.parse_model)


def feedback(request_id: str, target: Mapping[str, object], index: int, task: str = "") -> Call[Feedback]:
    """The truth about an image that was answered, of an analysis by one of its tasks."""
    document = {"request_id": request_id, "index": index, "target": target, **({"task": task} if task else {})}
    return Call(
        "POST",
        "v1/feedback",
        answers.parse_feedback,
        content=json.dumps(document).encode(),
        content_type="application/json",
    )


def accuracy() -> Call[tuple[ModelAccuracy, ...]]:
    """What is known of the accuracy of all of them."""
    return Call("GET", "v1/accuracy", answers.parse_accuracy)


def ready() -> Call[Readiness]:
    """Whether all of them answer; a 503 is an answer here."""
    return Call("GET", "readyz", answers.parse_readiness, accepted=(200, 503))


def _given(parameters: Parameters) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}


def _query_value(value: Any) -> str | int | float:
    """A value as a query holds it; httpx writes booleans as `true` and `false`."""
    return value if isinstance(value, str | int | float) else ",".join(map(str, value))


def _bytes_of(image: Image) -> bytes:
    return image if isinstance(image, bytes) else Path(image).read_bytes()


class Attempts:
    """The retry policy of one call.

    429, 503 and broken connections are retried, after `Retry-After` or with exponential backoff, as long as the pause
    ends within the time limit. An unreachable server is not retried.

    Args:
        timeout_s: Time limit of the call, pauses included.
        max_retries: The most attempts after the first.
    """

    def __init__(self, timeout_s: float, max_retries: int) -> None:
        self._timeout_s = timeout_s
        self._deadline_s = time.monotonic() + timeout_s
        self._retries_left = max_retries
        self._backoff_s = FIRST_BACKOFF_S

    @property
    def remaining_s(self) -> float:
        """Seconds left, never quite 0: the last attempt still gets its chance."""
        return max(self._deadline_s - time.monotonic(), 1e-3)

    def pause_after(self, error: TapetumError) -> float:
        """Seconds to wait before the next attempt.

        Raises:
            TapetumError: `error`, where no attempt is left.
        """
        jitter = random.uniform(0.5, 1.0)
        pause_s = max(error.retry_after_s or 0.0, self._backoff_s * jitter)
        if not _is_passing(error) or self._retries_left == 0 or pause_s >= self.remaining_s:
            raise error
        self._retries_left -= 1
        self._backoff_s *= 2
        return pause_s

    def translate(self, error: httpx.TransportError, url: httpx.URL) -> TapetumError:
        """Translates an exception of httpx to a `TapetumError`."""
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
            return TapetumError(f"no server answers at {url} ({_reason(error)})", "unreachable")
        if isinstance(error, httpx.TimeoutException):
            return TapetumError(f"no answer from {url} within {self._timeout_s:g} s", "timed_out")
        return TapetumError(f"the connection to {url} broke ({_reason(error)})", "connection_lost")


def _is_passing(error: TapetumError) -> bool:
    return error.status in _RETRIED or error.code == "connection_lost"


def _reason(error: httpx.TransportError) -> str:
    return str(error) or type(error).__name__
