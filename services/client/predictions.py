"""Single predictions: the rows of a response."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from services.client.masks import Mask, MaskImage, parse_mask


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

    def to_json(self) -> dict[str, Any]:
        """As the answer has it."""
        return asdict(self)


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
        score: Confidence score, 0 to 1.
    """

    box: Box
    class_id: int
    class_name: str
    score: float

    @classmethod
    def parse(cls, item: Mapping[str, Any]) -> Self:
        """From one member of `predictions`."""
        return cls(Box(**item["box"]), item["class_id"], item["class_name"], item["score"])

    def to_json(self) -> dict[str, Any]:
        """As the answer has it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class KeyPoint:
    """One key point of an object.

    Attributes:
        name: Such as `left_knee`.
        x, y: Its place in pixels of the upright image.
        score: Probability that it is there, 0 to 1.
        visible: Whether the score reaches the request's `keypoint_threshold`.
    """

    name: str
    x: float
    y: float
    score: float
    visible: bool


@dataclass(frozen=True, slots=True)
class Pose:
    """One object and its key points.

    Attributes:
        box: Where it is.
        class_id: Index among the model's classes.
        class_name: Its name.
        score: Confidence score, 0 to 1.
        pose_score: The same times the mean score of the key points.
        keypoints: In the order of the model's skeleton.
    """

    box: Box
    class_id: int
    class_name: str
    score: float
    pose_score: float
    keypoints: tuple[KeyPoint, ...]

    @classmethod
    def parse(cls, item: Mapping[str, Any]) -> Self:
        """From one member of `predictions`."""
        points = tuple(KeyPoint(**point) for point in item["keypoints"])
        return cls(Box(**item["box"]), item["class_id"], item["class_name"], item["score"], item["pose_score"], points)

    def to_json(self) -> dict[str, Any]:
        """As the answer has it."""
        return {**asdict(self), "keypoints": [asdict(point) for point in self.keypoints]}


@dataclass(frozen=True, slots=True)
class Instance:
    """One object and its pixels, as an instance model finds it.

    Attributes:
        box: Where it is.
        class_id: Index among the model's classes.
        class_name: Its name.
        score: Confidence score, 0 to 1.
        area_pixels: Area of the mask in pixels of the image.
        mask: The mask; `mask.to_array()` is (height, width) bool.
    """

    box: Box
    class_id: int
    class_name: str
    score: float
    area_pixels: int
    mask: Mask

    @property
    def fraction(self) -> float:
        """Its share of the image's pixels, 0 to 1."""
        height, width = self.mask.size
        return self.area_pixels / (height * width)

    @classmethod
    def parse(cls, item: Mapping[str, Any], size: tuple[int, int]) -> Self:
        """From one member of `predictions` of an image of (height, width) pixels."""
        return cls(
            box=Box(**item["box"]),
            class_id=item["class_id"],
            class_name=item["class_name"],
            score=item["score"],
            area_pixels=item["area_pixels"],
            mask=parse_mask(item["mask"], size),
        )

    def to_json(self) -> dict[str, Any]:
        """As the answer has it."""
        return {
            "box": asdict(self.box),
            "class_id": self.class_id,
            "class_name": self.class_name,
            "score": self.score,
            "area_pixels": self.area_pixels,
            "mask": self.mask.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Region:
    """One class that is in the image and its pixels, as a semantic model finds it.

    Attributes:
        class_id: Index among the model's classes; 0 is the background, which is never given.
        class_name: Its name.
        area_pixels: How many pixels of the image it has.
        fraction: Its share of the image's pixels, 0 to 1.
        mask: Which these are; `mask.to_array()` is (height, width) bool.
        probability: The mean over these pixels, 0 to 1; None where not requested.
    """

    class_id: int
    class_name: str
    area_pixels: int
    fraction: float
    mask: Mask
    probability: float | None = None

    @classmethod
    def parse(cls, item: Mapping[str, Any], size: tuple[int, int], class_map: bytes | None) -> Self:
        """From one member of `predictions` of an image of (height, width) pixels, which may have a class map."""
        mask = parse_mask(item["mask"], size) if class_map is None else MaskImage(size, class_map, item["class_id"])
        return cls(
            class_id=item["class_id"],
            class_name=item["class_name"],
            area_pixels=item["area_pixels"],
            fraction=item["fraction"],
            mask=mask,
            probability=item.get("probability"),
        )

    def to_json(self) -> dict[str, Any]:
        """As the answer has it: without a mask where that is in the class map."""
        row: dict[str, Any] = {
            "class_id": self.class_id,
            "class_name": self.class_name,
            "area_pixels": self.area_pixels,
            "fraction": self.fraction,
        }
        if self.probability is not None:
            row["probability"] = self.probability
        if not isinstance(self.mask, MaskImage):
            row["mask"] = self.mask.to_json()
        return row
