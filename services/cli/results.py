"""The result of each image of a command, predicted locally or on a server."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.answers.image_problem import Problem

if TYPE_CHECKING:
    from services.client.answers import Answer


@dataclass(frozen=True, slots=True)
class Result:
    """One image and its predictions or error.

    Attributes:
        name: The path as given, or `-`.
        outcome: Its predictions, or the error.
        image: The encoded image, where it is still needed and was predicted.
        class_count: Number of the model's classes; None where unknown.
        picture: Path of the saved image with its predictions drawn on it.
    """

    name: str
    outcome: Answer[Any] | Problem
    image: bytes | None = field(default=None, repr=False)
    class_count: int | None = None
    picture: Path | None = None

    @classmethod
    def unreadable(cls, name: str, reason: str) -> Result:
        """The result of an image that could not be read."""
        return cls(name, Problem("unreadable_file", reason))

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON: the members of the HTTP API's response, or `error`."""
        if isinstance(self.outcome, Problem):
            return {"error": asdict(self.outcome)}
        return {"model": self.outcome.model, "version": self.outcome.version, **self.outcome.to_json()}
