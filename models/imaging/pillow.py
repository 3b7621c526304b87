"""Opens images with Pillow and translates the exceptions of its plug-ins to `ImageError`."""

from collections.abc import Generator
from contextlib import contextmanager
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from models.errors import BrokenImage, ImageError, ImageTooLarge, UnreadableImage
from models.imaging.samples import eight_bit

_EIGHT_BIT_MODES: Final = frozenset({"1", "L", "P", "PA", "LA", "La", "RGB", "RGBX", "RGBA", "RGBa", "CMYK", "YCbCr"})
_DEEP_MODES: Final = frozenset({"I", "F", "I;16", "I;16B", "I;16L", "I;16N"})


@contextmanager
def opened(data: bytes, image_format: str) -> Generator[ImageFile.ImageFile]:
    """Opens an image as one format and no other, and translates what Pillow raises inside the block.

    Pillow parses metadata without a bound, so pass files without metadata (the format modules remove it).

    Args:
        data: The encoded image.
        image_format: Its format, one of `models.imaging.decoding.FORMATS`.

    Yields:
        The image, with its header read and its pixels not yet decoded.

    Raises:
        ImageTooLarge: Pillow takes it for a decompression bomb, or memory ran out.
        BrokenImage: Anything else went wrong.
    """
    name = image_format.upper()
    try:
        with Image.open(BytesIO(data), formats=(name,)) as image:
            yield image
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise ImageTooLarge(f"the {name} has too many pixels") from error
    except UnidentifiedImageError as error:
        raise BrokenImage(f"the {name} header is truncated or corrupt") from error
    except Exception as error:  # on hostile bytes Pillow's plug-ins raise nearly every built-in exception
        raise BrokenImage(f"the {name} is truncated or corrupt") from error


def rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Decodes an opened image to RGB, without orientation; transparency is composited on white.

    Args:
        image: From `opened`.

    Returns:
        (H, W, 3) uint8 RGB, C-contiguous.

    Raises:
        UnreadableImage: The colour mode is not supported (such as LAB).
    """
    if image.mode in _DEEP_MODES:
        grey = eight_bit(np.asarray(image))
        return np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    if image.mode not in _EIGHT_BIT_MODES:
        raise UnreadableImage(f"images of colour mode {image.mode} cannot be read")
    image.load()
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return np.array(Image.alpha_composite(white, rgba).convert("RGB"))
    return np.array(image.convert("RGB"))
