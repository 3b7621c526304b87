"""What a server says, as typed values: from the JSON of its answers to frozen dataclasses, or to one kind of error."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar, Generic, Self, TypeVar

import httpx


class TapetumError(Exception):
    """The server refused or failed, or could not be reached.

    Args:
        message: One sentence for a person.
        code: For programs: the server's own (`docs/errors.md`), or one of the client's (`docs/client.md`).
        status: HTTP status; None where no answer came, and for one image among several.
        details: JSON-able facts, such as the names of the known models.
        request_id: What to look for in the server's log.
        retry_after_s: Seconds after which the server suggests to try again.
    """

    def __init__(
        self,
        message: str,
        code: str,
        status: int | None = None,
        details: Mapping[str, Any] | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, code, status, details, request_id, retry_after_s)
        self.message = message
        self.code = code
        self.status = status
        self.details: dict[str, Any] = dict(details or {})
        self.request_id = request_id
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class ClassPrediction:
    """One class of an answer.

    Attributes:
        class_id: Index among the model's classes.
        class_name: Its name.
        probability: 0 to 1.
    """

    class_id: int
    class_name: str
    probability: float

    @classmethod
    def parse(cls, item: Mapping[str, Any]) -> Self:
        """From one member of `predictions`."""
        return cls(item["class_id"], item["class_name"], item["probability"])


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels of the upright image, whose top left corner is (0, 0)."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float


@dataclass(frozen=True, slots=True)
class Detection:
    """One object.

    Attributes:
        box: Where it is.
        class_id: Index among the model's classes.
        class_name: Its name.
        score: How sure the model is, 0 to 1.
    """

    box: Box
    class_id: int
    class_name: str
    score: float

    @classmethod
    def parse(cls, item: Mapping[str, Any]) -> Self:
        """From one member of `predictions`."""
        return cls(Box(**item["box"]), item["class_id"], item["class_name"], item["score"])


P = TypeVar("P", ClassPrediction, Detection)


@dataclass(frozen=True, slots=True)
class Answer(Generic[P]):
    """What is known of one image.

    Attributes:
        model: Name of the model that answered.
        version: Its version.
        image_size: (height, width) of the upright image in pixels.
        predictions: Best first.
        cached: Whether the answer was known already.
        request_id: What to look for in the server's log.
    """

    model: str
    version: str
    image_size: tuple[int, int]
    predictions: tuple[P, ...]
    cached: bool
    request_id: str

    row: ClassVar[type[Any]]

    @classmethod
    def parse(cls, body: Mapping[str, Any], result: Mapping[str, Any] | None = None) -> Self:
        """From the answer to one image, or from one of several results in an answer."""
        result = body if result is None else result
        return cls(
            model=body["model"],
            version=body["version"],
            image_size=(result["image"]["height"], result["image"]["width"]),
            predictions=tuple(cls.row.parse(item) for item in result["predictions"]),
            cached=result["cached"],
            request_id=body["request_id"],
        )

    @classmethod
    def parse_list(cls, body: Mapping[str, Any]) -> list[Self | TapetumError]:
        """From the answer to several images: an error stands in the place of its image."""
        return [
            _error(result["error"], None) if "error" in result else cls.parse(body, result)
            for result in body["results"]
        ]


@dataclass(frozen=True, slots=True)
class Classification(Answer[ClassPrediction]):
    """The classes of one image, at most `top_k`; the attributes are those of `Answer`."""

    row = ClassPrediction


@dataclass(frozen=True, slots=True)
class Detections(Answer[Detection]):
    """The objects of one image; there may be none. The attributes are those of `Answer`."""

    row = Detection


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that the server answers with.

    Attributes:
        name: What to give as `model`.
        version: Changes whenever answers may.
        task: The kind of answer, such as `classification`.
        entry: The whole catalog entry: weights, preprocessing, licence, measured accuracy and so on.
    """

    name: str
    version: str
    task: str
    entry: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the server takes requests.

    Attributes:
        ready: Every configured model is warm, and the server is not stopping.
        models: The same for each model; empty where not even the gateway is up.
    """

    ready: bool
    models: Mapping[str, bool]


def parse_models(body: Mapping[str, Any]) -> tuple[ServedModel, ...]:
    """The answer to `GET /v1/models`."""
    return tuple(parse_model(entry) for entry in body["models"])


def parse_model(body: Mapping[str, Any]) -> ServedModel:
    """The answer to `GET /v1/models/{name}`."""
    return ServedModel(body["name"], body["version"], body["task"], body)


def parse_readiness(body: Mapping[str, Any]) -> Readiness:
    """The answer to `GET /readyz`, whatever its status."""
    return Readiness(body.get("ready", False), body.get("models", {}))


def error_of(response: httpx.Response) -> TapetumError:
    """The error in an answer that is one, also where something between us and the server made it."""
    retry_after_s = _retry_after_s(response.headers.get("retry-after"))
    try:
        return _error(response.json()["error"], response.status_code, retry_after_s)
    except (ValueError, KeyError, TypeError, AttributeError):
        message = f"HTTP {response.status_code} {response.reason_phrase}".rstrip()
        return TapetumError(message, "http_error", response.status_code, None, None, retry_after_s)


def _error(error: Mapping[str, Any], status: int | None, retry_after_s: float | None = None) -> TapetumError:
    return TapetumError(
        error["message"], error["code"], status, error.get("details"), error.get("request_id"), retry_after_s
    )


def _retry_after_s(header: str | None) -> float | None:
    """`Retry-After` in seconds; it may be a date, too (RFC 9110, section 10.2.3). None where it is neither."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None
