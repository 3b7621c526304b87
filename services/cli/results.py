"""What a command found out about each image, whoever found it out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.answers.image_problem import Problem

if TYPE_CHECKING:
    from services.client.answers import Answer


@dataclass(frozen=True, slots=True)
class Result:
    """One image and what came of it.

    Attributes:
        name: The path as given, or `-`.
        outcome: Its answer, or why it has none.
        image: The encoded image, where it is still needed and has an answer.
        class_count: How many classes the model knows; None where nobody has asked.
        picture: Where the image was saved with its answer drawn on it.
    """

    name: str
    outcome: Answer[Any] | Problem
    image: bytes | None = field(default=None, repr=False)
    class_count: int | None = None
    picture: Path | None = None

    @classmethod
    def unreadable(cls, name: str, reason: str) -> Result:
        """The result of an image that could not even be read."""
        return cls(name, Problem("unreadable_file", reason))

    def to_dict(self) -> dict[str, Any]:
        """What came of the image as JSON shows it: the members of the HTTP API's answer, or `error`."""
        if isinstance(self.outcome, Problem):
            return {"error": asdict(self.outcome)}
        return {"model": self.outcome.model, "version": self.outcome.version, **self.outcome.to_json()}
