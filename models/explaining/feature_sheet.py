"""A picture of the feature maps of a layer, with what each of their cells sees of the photo."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

from models.entries import LetterboxPreprocessing, Preprocessing
from models.explaining.areas import area_of
from models.explaining.contact_sheet import MAX_SHOWN, map_sheet
from models.explaining.explanation import Seen, Sheet
from models.explaining.feature_maps import FeatureMaps, feature_maps


def feature_sheet(
    network: nn.Module,
    images: Tensor,
    layer: tuple[str, int],
    image_size: tuple[int, int],
    preprocessing: Preprocessing | LetterboxPreprocessing,
) -> Sheet:
    """Runs a network on an image and draws the maps of one layer.

    Args:
        network: In evaluation mode.
        images: (1, 3, H, W), normalised.
        layer: Name of the module, and which of its calls.
        image_size: (height, width) of the upright image in pixels.
        preprocessing: Of the model.

    Raises:
        ValueError: The network does not run such a module so often, or its output is no map over the image.
    """
    maps = feature_maps(network, images, *layer)
    drawn, channels = map_sheet(maps), len(maps.values)
    size, stride = (maps.field.size[-1], maps.field.stride[-1]) if maps.field else (None, None)
    return Sheet(
        picture=np.asarray(drawn.image),
        shown=min(MAX_SHOWN, channels),
        channels=channels,
        field_size=size,
        field_stride=stride,
        map_size=(maps.values.shape[1], maps.values.shape[2]),
        tile_size=drawn.tile_size,
        tiles=tuple((channel, x, y) for channel, (x, y) in zip(drawn.numbers, drawn.places, strict=True)),
        seen=_seen(maps, (images.shape[2], images.shape[3]), image_size, preprocessing),
    )


def _seen(
    maps: FeatureMaps,
    input_size: tuple[int, int],
    image_size: tuple[int, int],
    preprocessing: Preprocessing | LetterboxPreprocessing,
) -> Seen | None:
    pixels = maps.seen(input_size)
    if pixels is None:
        return None
    left, top, right, bottom = area_of(input_size, image_size, preprocessing)
    scale = (bottom - top) / input_size[0], (right - left) / input_size[1]
    return Seen(_in_image(pixels[0], top, scale[0]), _in_image(pixels[1], left, scale[1]))


def _in_image(spans: Sequence[tuple[int, int]], start: float, scale: float) -> tuple[tuple[float, float], ...]:
    """From the first and the last pixel of the input to edges in the image."""
    return tuple((start + low * scale, start + (high + 1) * scale) for low, high in spans)
