"""One image of an answer of an experimental model."""

# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, slots=True)
class MadePicture:
    """One image that a model made.

    Attributes:
        png: A PNG file.
        class_id: Index among the model's classes; None of a stylizer.
        class_name: Its name.
    """

    png: bytes = field(repr=False)
    class_id: int | None = None
    class_name: str | None = None

    @classmethod
    def parse(cls, item: Mapping[str, Any]) -> Self:
        """From one member of `predictions`."""
        return cls(b64decode(item["png"]), item.get("class_id"), item.get("class_name"))

    def to_json(self) -> dict[str, Any]:
        """As the answer has it."""
        of_class = {} if self.class_id is None else {"class_id": self.class_id, "class_name": self.class_name}
        return {**of_class, "png": b64encode(self.png).decode("ascii")}

    def to_image(self) -> Image.Image:
        """Returns the pixels as an image of Pillow, which must be installed."""
        from PIL import Image

        with Image.open(BytesIO(self.png)) as image:
            return image.convert("RGB")

    def save(self, path: str | Path) -> None:
        """Writes the PNG file."""
        Path(path).write_bytes(self.png)
