"""What a generator takes and makes, as its card has it under `preprocessing`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_LARGEST_SIDE: Final = 1024
"""Of an image in pixels: a request may ask for 64 of them."""
_LONGEST_LATENT: Final = 4096


@dataclass(frozen=True)
class LatentPreprocessing:
    """Sizes of the latent vector and of the images of a generator.

    Attributes:
        latent_size: Numbers of a latent vector, drawn from the standard normal distribution.
        height: Of an image in pixels.
        width: Of an image in pixels.

    Raises:
        ValueError: On construction, where one of them is out of range.
    """

    latent_size: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if not 1 <= self.latent_size <= _LONGEST_LATENT:
            raise ValueError(f"latent_size must be from 1 to {_LONGEST_LATENT}, not {self.latent_size}")
        if not (1 <= self.height <= _LARGEST_SIDE and 1 <= self.width <= _LARGEST_SIDE):
            raise ValueError(f"height and width must be from 1 to {_LARGEST_SIDE}, not {self.height} and {self.width}")

    @property
    def largest_size(self) -> tuple[int, int]:
        """(height, width) of an image in pixels."""
        return self.height, self.width

    @property
    def fixed_size(self) -> tuple[int, int]:
        """(height, width) of an image in pixels."""
        return self.largest_size
