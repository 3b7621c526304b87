"""Cut-outs: that what was found is there pixel for pixel, and that nothing else is."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from models.drawing.annotations import Annotation
from models.drawing.cutouts import cut_out
from models.drawing.picture import encode
from models.errors import ImageTooLarge
from models.geometry.masks import Mask
from tests.photos import BLUE, encoded, exif_with_orientation, photo, quadrants


def disc(size: tuple[int, int], centre: tuple[int, int], radius: int) -> Mask:
    rows, columns = np.ogrid[: size[0], : size[1]]
    return Mask.from_array((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2)


def test_pixels_of_the_masks_stay_and_the_rest_is_transparent_black():
    coffee = photo("coffee")
    masks = [disc((400, 600), (150, 200), 90), disc((400, 600), (200, 260), 90)]
    annotations = [
        Annotation(0, "cup", 0.9, (110, 60, 291, 241), 0, masks[0]),
        Annotation(4, "table", 0.5, mask=masks[1]),
    ]
    pixels = np.asarray(cut_out(encoded(coffee, "PNG"), annotations))
    inside = masks[0].to_array() | masks[1].to_array()
    assert np.array_equal(pixels[..., 3], np.where(inside, 255, 0))
    assert np.array_equal(pixels[inside][:, :3], np.asarray(coffee)[inside])
    assert not pixels[~inside].any(), "what was left out is not in the file either"


@pytest.mark.parametrize("annotations", [[], [Annotation(0, "x", 0.9, (1, 1, 9, 9))], [Annotation(0, "x", 0.5)]])
def test_nothing_found_is_a_transparent_picture(annotations: list[Annotation]):
    image = cut_out(encoded(photo("coffee"), "JPEG"), annotations)
    assert (image.mode, image.size) == ("RGBA", (600, 400))
    assert not np.asarray(image).any()


def test_cut_out_is_upright_and_of_the_photos_own_size():
    data = encoded(quadrants(60, 90), "PNG", exif=exif_with_orientation(6))
    image = cut_out(data, [Annotation(0, "x", 0.5, mask=Mask.from_region(np.ones((9, 9), bool), (0, 0), (90, 60)))])
    assert image.size == (60, 90)
    assert image.getpixel((8, 8)) == (*BLUE, 255), "orientation 6 brings the lower left corner to the upper left"
    assert image.getpixel((9, 8)) == (0, 0, 0, 0)
    wide = encoded(Image.new("RGB", (5000, 20), "white"), "PNG")
    assert cut_out(wide, []).size == (5000, 20), "a drawn answer would be shrunk"


def test_file_keeps_every_pixel():
    image = cut_out(encoded(photo("coffee"), "PNG"), [Annotation(0, "x", 0.5, mask=disc((400, 600), (200, 300), 150))])
    with Image.open(BytesIO(encode(image, "png"))) as opened:
        assert opened.mode == "RGBA"
        assert np.array_equal(np.asarray(opened), np.asarray(image))


def test_masks_of_another_photo_are_refused():
    with pytest.raises(ValueError, match="not those of a photo"):
        cut_out(encoded(photo("coffee"), "PNG"), [Annotation(0, "x", 0.5, mask=disc((40, 60), (20, 20), 5))])


def test_caps_on_photos_hold():
    with pytest.raises(ImageTooLarge):
        cut_out(encoded(photo("coffee"), "PNG"), [], max_pixels=1000)
