"""The input of an image network in an ONNX file: its axes, its type, and the sizes that it is fixed at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from models.entries import LetterboxPreprocessing, Preprocessing

PixelType = Literal["float32", "float16", "uint8"]
Channels = Literal["rgb", "bgr"]
"""Order of the colours."""
_TYPES: Final[dict[str, PixelType]] = {"float32": "float32", "float16": "float16", "uint8": "uint8"}
SIZES: Final = "orig_target_sizes"
"""Second input of exported RT-DETR and D-FINE networks, (N, 2) int64: width and height that boxes are scaled to."""


@dataclass(frozen=True)
class TensorInput:
    """One input of a network.

    Attributes:
        name: Name of the input.
        shape: Sizes of its axes; None for those that may have any; no axes where even their number is unknown.
        dtype: In the words of numpy.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} ({', '.join('?' if size is None else str(size) for size in self.shape)})"


@dataclass(frozen=True)
class ImageInput:
    """The input of an image network.

    Attributes:
        name: Name of the input.
        dtype: Type of its values. A network that takes uint8 gets pixels as they are, and normalises them itself.
        channels_last: (N, H, W, 3), instead of (N, 3, H, W).
        batch_size: Images of every run; None where it may be any number.
        height: Of every image in pixels; None where it may have any.
        width: Likewise.
        takes_sizes: Whether there is a second input, `SIZES`.
    """

    name: str
    dtype: PixelType
    channels_last: bool
    batch_size: int | None
    height: int | None
    width: int | None
    takes_sizes: bool = False

    @classmethod
    def among(cls, inputs: Sequence[TensorInput]) -> "ImageInput":
        """Finds the image among the inputs of a network.

        Args:
            inputs: Of the network, without constants.

        Raises:
            ValueError: There is not exactly one image of three channels, besides `SIZES`.
        """
        images = [each for each in inputs if each.name != SIZES or len(each.shape) != 2]
        if len(images) != 1 or len(images[0].shape) != 4 or images[0].dtype not in _TYPES:
            raise ValueError(_unusual(inputs))
        (image,) = images
        batch_size, *others = image.shape
        channels_last = others[2] == 3 and others[0] != 3
        channels = others.pop(2 if channels_last else 0)
        if channels not in (3, None):
            raise ValueError(_unusual(inputs))
        height, width = others
        return cls(image.name, _TYPES[image.dtype], channels_last, batch_size, height, width, len(inputs) > 1)

    def require_size(self, preprocessing: Preprocessing | LetterboxPreprocessing) -> None:
        """Raises unless all images have the size that the network is fixed at.

        Args:
            preprocessing: What makes images of that size.

        Raises:
            ValueError: The network takes one size only, and images may have others.
        """
        given = preprocessing.fixed_size or (0, 0)
        if all(size in (None, side) for size, side in zip((self.height, self.width), given, strict=True)):
            return
        wanted = " × ".join("any" if size is None else str(size) for size in (self.height, self.width))
        made = " × ".join(str(side) for side in given) if preprocessing.fixed_size else "of several sizes"
        members = "crop" if isinstance(preprocessing, Preprocessing) else "short_side, long_side and stride"
        raise ValueError(f"takes images of {wanted} pixels, but preprocessing makes them {made}: set {members}")


def _unusual(inputs: Sequence[TensorInput]) -> str:
    given = ", ".join(str(each) for each in inputs) or "no input"
    return f"takes {given}, not one image (N, 3, H, W) or (N, H, W, 3) of type {', '.join(_TYPES)}"
