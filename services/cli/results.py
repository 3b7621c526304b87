"""What `tapetum classify` found out about each image, whoever found it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


class ClassRow(NamedTuple):
    """One class of an answer; `probability` is 0 to 1."""

    class_id: int
    class_name: str
    probability: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The classes of one image.

    Attributes:
        model: Name of the model.
        version: Its version.
        image_size: (height, width) of the upright image in pixels.
        predictions: Best first.
    """

    model: str
    version: str
    image_size: tuple[int, int]
    predictions: tuple[ClassRow, ...]

    def to_dict(self) -> dict[str, Any]:
        """The answer as JSON shows it: the members of the HTTP API."""
        height, width = self.image_size
        return {
            "model": self.model,
            "version": self.version,
            "image": {"height": height, "width": width},
            "predictions": [row._asdict() for row in self.predictions],
        }


@dataclass(frozen=True, slots=True)
class Problem:
    """Why one image has no answer.

    Attributes:
        code: For programs: a code of `models.errors` or of the server, or `unreadable_file`.
        message: For people.
    """

    code: str
    message: str

    def to_dict(self) -> dict[str, Any]:
        """The problem as JSON shows it."""
        return {"error": {"code": self.code, "message": self.message}}


@dataclass(frozen=True, slots=True)
class Result:
    """One image and what came of it.

    Attributes:
        name: The path as given, or `-`.
        outcome: Its classes, or why it has none.
    """

    name: str
    outcome: Answer | Problem

    @classmethod
    def unreadable(cls, name: str, reason: str) -> Result:
        """The result of an image that could not even be read."""
        return cls(name, Problem("unreadable_file", reason))
