"""Typed responses: parses the JSON of the server to frozen dataclasses."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from services.client.errors import TapetumError, error_from
from services.client.made_picture import MadePicture
from services.client.predictions import ClassPrediction, Detection, Instance, Pose, Region

if TYPE_CHECKING:
    from PIL import Image

P = TypeVar("P", bound=ClassPrediction | Detection | Pose | Instance | Region | MadePicture)


@dataclass(frozen=True, slots=True)
class Answer(Generic[P]):
    """The response for one image.

    Attributes:
        model: Name of the model.
        version: Its version.
        image_size: (height, width) of the upright image in pixels.
        predictions: Best first.
        cached: Whether it was a cache hit.
        request_id: Id of the request, also in the server's log.
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
            version=result.get("version", body["version"]),
            image_size=(result["image"]["height"], result["image"]["width"]),
            cached=result["cached"],
            request_id=body["request_id"],
            **cls._predictions(result),
        )

    @classmethod
    def _predictions(cls, result: Mapping[str, Any]) -> dict[str, Any]:
        """What is said of the image, by the names of the attributes."""
        return {"predictions": tuple(cls.row.parse(item) for item in result["predictions"])}

    def to_json(self) -> dict[str, Any]:
        """The members `image` and `predictions`, and whatever else is said of the image, as the answer has them."""
        height, width = self.image_size
        return {
            "image": {"height": height, "width": width},
            "predictions": [row.to_json() for row in self.predictions],
        }

    @classmethod
    def parse_list(cls, body: Mapping[str, Any]) -> list[Self | TapetumError]:
        """From the answer to several images: an error stands in the place of its image."""
        return [
            error_from(result["error"], None) if "error" in result else cls.parse(body, result)
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
class Poses(Answer[Pose]):
    """The objects of one image with their key points; there may be none. The attributes are those of `Answer`, and:

    Attributes:
        skeleton: Lines to draw: pairs of indices into the key points of each.
    """

    skeleton: tuple[tuple[int, int], ...] = ()

    row = Pose

    @classmethod
    def _predictions(cls, result: Mapping[str, Any]) -> dict[str, Any]:
        skeleton = tuple((start, end) for start, end in result["skeleton"])
        return {"predictions": tuple(map(Pose.parse, result["predictions"])), "skeleton": skeleton}

    def to_json(self) -> dict[str, Any]:
        """As `Answer.to_json`, with the skeleton."""
        return {**Answer.to_json(self), "skeleton": [list(edge) for edge in self.skeleton]}


@dataclass(frozen=True, slots=True)
class Segmentation(Answer[Instance | Region]):
    """The pixels of the objects of one image, or of its classes with the largest first; there may be none.

    Which of the two depends on the model. The attributes are those of `Answer`, and:

    Attributes:
        class_map: Of a semantic model with `mask_format="png"`: a PNG file whose pixel values are class ids.
    """

    class_map: bytes | None = field(default=None, repr=False)

    @classmethod
    def _predictions(cls, result: Mapping[str, Any]) -> dict[str, Any]:
        size = (result["image"]["height"], result["image"]["width"])
        text = result.get("class_map")
        class_map = None if text is None else b64decode(text)
        rows = (
            Instance.parse(item, size) if "box" in item else Region.parse(item, size, class_map)
            for item in result["predictions"]
        )
        return {"predictions": tuple(rows), "class_map": class_map}

    def to_json(self) -> dict[str, Any]:
        """As `Answer.to_json`, with the class map where there is one."""
        members = Answer.to_json(self)
        if self.class_map is not None:
            members["class_map"] = b64encode(self.class_map).decode("ascii")
        return members


_PARTS: dict[str, type[Answer[Any]]] = {
    "classify": Classification,
    "detect": Detections,
    "pose": Poses,
    "segment": Segmentation,
}
"""Type of the answer of each task of an analysis."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """The answers of several tasks to one image.

    Attributes:
        image_size: (height, width) of the upright image in pixels.
        answers: By task (`classify`, `detect`, `pose`, `segment`): its answer, or why it has none.
        request_id: Id of the request, also in the server's log.
    """

    image_size: tuple[int, int]
    answers: Mapping[str, Answer[Any] | TapetumError]
    request_id: str

    @classmethod
    def parse(cls, body: Mapping[str, Any], result: Mapping[str, Any] | None = None) -> Self:
        """From the answer to one image, or from one of several results in an answer."""
        result = body if result is None else result
        shared = {"image": result["image"], "request_id": body["request_id"]}
        answers = {
            name: error_from(one["error"], None) if "error" in one else _PARTS[name].parse({**one, **shared})
            for name, one in result["answers"].items()
        }
        return cls((result["image"]["height"], result["image"]["width"]), answers, body["request_id"])

    @classmethod
    def parse_list(cls, body: Mapping[str, Any]) -> list[Self | TapetumError]:
        """From the answer to several images: an error stands in the place of an image for which no task has one."""
        return [
            error_from(result["error"], None) if "error" in result else cls.parse(body, result)
            for result in body["results"]
        ]

    def _of(self, name: str) -> Any:
        answer = self.answers.get(name)
        if answer is None:
            raise TapetumError(
                f"the analysis has no answer for {name}; it was asked for {', '.join(self.answers)}", "not_asked"
            )
        if isinstance(answer, TapetumError):
            raise answer
        return answer

    @property
    def classes(self) -> Classification:
        """The answer for `classify`; raises its `TapetumError` where it has none, as the others do."""
        return self._of("classify")

    @property
    def objects(self) -> Detections:
        """The answer for `detect`."""
        return self._of("detect")

    @property
    def poses(self) -> Poses:
        """The answer for `pose`."""
        return self._of("pose")

    @property
    def masks(self) -> Segmentation:
        """The answer for `segment`."""
        return self._of("segment")


@dataclass(frozen=True, slots=True)
class Pictures(Answer[MadePicture]):
    """The images that a model made, experimental; the attributes are those of `Answer`, with the size of each image."""

    row = MadePicture

    @property
    def png(self) -> bytes:
        """The PNG file of the first image, of a stylizer the only one."""
        return self.predictions[0].png

    def to_image(self) -> Image.Image:
        """As `MadePicture.to_image`, of the first image."""
        return self.predictions[0].to_image()

    def save(self, path: str | Path) -> None:
        """As `MadePicture.save`, of the first image."""
        self.predictions[0].save(path)


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A served model.

    Attributes:
        name: Name for the `model` argument.
        version: Changes whenever predictions may change.
        task: The task, such as `classification`.
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


@dataclass(frozen=True, slots=True)
class Feedback:
    """The result of feedback: figures of the image and of the live accuracy.

    Attributes:
        model: Name of the model of the answer.
        version: Its version.
        request_id: Of the answer.
        index: Of the image, in a request with several.
        figures: Of this image, by name (`docs/accuracy.md`); None where undefined.
        live: The model's `samples`, `since` and `figures` over the latest feedback, this one too.
    """

    model: str
    version: str
    request_id: str
    index: int
    figures: Mapping[str, float | None]
    live: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelAccuracy:
    """Offline accuracy, live accuracy and drift of a served model.

    Attributes:
        name: The model.
        version: Its version.
        task: Its task.
        offline: Evaluations of the served weights, the newest first.
        live: `samples`, `since` and `figures` over the latest feedback; None without feedback.
        drift: Drift of predictions since the latest evaluation; None without predictions.
    """

    name: str
    version: str
    task: str
    offline: tuple[Mapping[str, Any], ...]
    live: Mapping[str, Any] | None
    drift: Mapping[str, Any] | None


def parse_feedback(body: Mapping[str, Any]) -> Feedback:
    """The answer to `POST /v1/feedback`."""
    return Feedback(
        body["model"], body["version"], body["request_id"], body["index"], dict(body["figures"]), body["live"]
    )


def parse_accuracy(body: Mapping[str, Any]) -> tuple[ModelAccuracy, ...]:
    """The answer to `GET /v1/accuracy`."""
    return tuple(
        ModelAccuracy(one["name"], one["version"], one["task"], tuple(one["offline"]), one["live"], one["drift"])
        for one in body["models"]
    )


def parse_models(body: Mapping[str, Any]) -> tuple[ServedModel, ...]:
    """The answer to `GET /v1/models`."""
    return tuple(parse_model(entry) for entry in body["models"])


def parse_model(body: Mapping[str, Any]) -> ServedModel:
    """The answer to `GET /v1/models/{name}`."""
    return ServedModel(body["name"], body["version"], body["task"], body)


def parse_readiness(body: Mapping[str, Any]) -> Readiness:
    """The answer to `GET /readyz`, whatever its status."""
    return Readiness(body.get("ready", False), body.get("models", {}))
