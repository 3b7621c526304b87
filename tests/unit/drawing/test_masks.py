"""Masks drawn on photos: colour lies where they say, borders show on any ground, neighbours have unlike colours."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.drawing.annotations import Annotation, annotations_of_answer
from models.drawing.color_assignment import keys_apart
from models.drawing.labels import LabelLayout
from models.drawing.palette import Color, color_of, oklab
from models.drawing.picture import draw
from models.geometry.masks import Mask
from models.predictions import InstanceMasks, SemanticMask
from services.answers.wire import describe_prediction
from tests.photos import encoded, exif_with_orientation, quadrants

WHITE = (255, 255, 255)
SIZE = (480, 640)
Rectangle = tuple[int, int, int, int]
"""x_min, y_min, x_max, y_max; the last two exclusive."""


def rectangle(corners: Rectangle, size: tuple[int, int] = SIZE) -> Mask:
    x0, y0, x1, y1 = corners
    return Mask.from_region(np.ones((y1 - y0, x1 - x0), bool), (y0, x0), size)


def thing(corners: Rectangle, key: int = 3, size: tuple[int, int] = SIZE) -> Annotation:
    """An object that fills its box."""
    return Annotation(0, "boat", 0.9, corners, key, rectangle(corners, size))


def plain(color: Color = WHITE, size: tuple[int, int] = SIZE) -> bytes:
    """A PNG file of one colour, at (height, width)."""
    return encoded(Image.new("RGB", (size[1], size[0]), color), "PNG")


def tint(color: Color, ground: Color = WHITE) -> Color:
    """What is seen through a mask."""
    red, green, blue = (round(0.4 * one + 0.6 * other) for one, other in zip(color, ground, strict=True))
    return red, green, blue


def differs(image: Image.Image, at: tuple[int, int], color: Color) -> int:
    pixel = image.getpixel(at)
    assert isinstance(pixel, tuple)
    return max(abs(one - other) for one, other in zip(pixel, color, strict=True))


# Where colour lies


def test_mask_is_a_tint_with_a_line_within_and_a_shadow_around():
    image = draw(plain(), [thing((200, 150, 400, 300))])
    assert image.size == (640, 480)
    assert differs(image, (300, 225), tint(color_of(3))) <= 1
    assert image.getpixel((201, 225)) == image.getpixel((398, 225)) == image.getpixel((300, 298)) == color_of(3)
    shadow = image.getpixel((199, 225))
    assert isinstance(shadow, tuple) and max(shadow) < 200
    assert image.getpixel((190, 225)) == WHITE


def test_line_shows_on_a_ground_of_its_own_colour():
    ground = color_of(3)
    image = draw(plain(ground), [thing((200, 150, 400, 300))])
    assert image.getpixel((300, 225)) == ground
    assert differs(image, (199, 225), ground) > 60


def test_smallest_mask_shows_where_several_lie_and_colours_do_not_mix():
    large, small = thing((100, 100, 500, 400), key=0), thing((250, 200, 350, 300), key=1)
    pictures = [draw(plain(), annotations) for annotations in ([large, small], [small, large])]
    for image in pictures:
        assert differs(image, (300, 250), tint(color_of(1))) <= 1
        assert differs(image, (150, 350), tint(color_of(0))) <= 1
        assert image.getpixel((251, 250)) == color_of(1)


def test_mask_of_the_whole_photo_has_no_line_at_its_border():
    image = np.asarray(draw(plain(), [Annotation(2, "sky", 1.0, mask=rectangle((0, 0, 640, 480)))]))
    assert np.abs(image[:400].astype(int) - tint(color_of(2))).max() <= 1


def test_single_pixel_and_thin_line_are_seen():
    thin = Annotation(0, "x", 0.9, mask=rectangle((100, 200, 500, 201)))
    dot = Annotation(1, "y", 0.1, mask=rectangle((300, 100, 301, 101)))
    image = draw(plain(), [thin, dot])
    assert differs(image, (300, 200), WHITE) > 60
    assert differs(image, (300, 100), WHITE) > 60


def test_hole_of_a_mask_stays_as_it_is():
    ring = np.zeros(SIZE, bool)
    ring[100:400, 100:500] = True
    ring[200:300, 200:400] = False
    image = draw(plain(), [Annotation(0, "x", 0.9, (100, 100, 500, 400), 0, Mask.from_array(ring))])
    assert image.getpixel((300, 250)) == WHITE
    assert image.getpixel((198, 250)) == color_of(0)


def test_object_without_pixels_has_its_box_drawn():
    nothing = Mask.from_array(np.zeros(SIZE, bool))
    image = draw(plain(), [Annotation(0, "x", 0.9, (100, 120, 300, 400), 5, nothing)])
    assert image.getpixel((100, 250)) == color_of(5)
    assert image.getpixel((200, 250)) == WHITE


def test_object_with_a_mask_has_no_box():
    half = Annotation(0, "x", 0.9, (100, 100, 500, 400), 5, rectangle((300, 100, 500, 400)))
    assert draw(plain(), [half]).getpixel((100, 350)) == WHITE


# Scales


def test_mask_of_a_shrunk_photo_is_in_place():
    size = (1200, 1600)
    image = draw(plain(size=size), [thing((400, 400, 1200, 1000), size=size)], max_side=800)
    assert image.size == (800, 600)
    assert image.getpixel((201, 350)) == color_of(3)
    assert image.getpixel((195, 350)) == WHITE
    assert differs(image, (400, 350), tint(color_of(3))) <= 1


def test_mask_of_an_enlarged_photo_is_in_place():
    size = (20, 32)
    image = draw(plain(size=size), [thing((8, 4, 24, 18), size=size)])
    assert image.size == (480, 300)
    assert image.getpixel((8 * 15 + 1, 10 * 15)) == color_of(3)
    assert image.getpixel((8 * 15 - 6, 10 * 15)) == WHITE
    assert differs(image, (16 * 15, 10 * 15), tint(color_of(3))) <= 1


@pytest.mark.parametrize("max_side", [640, 417, 250])
def test_border_is_where_it_was_at_every_scale(max_side: int):
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    disc = Annotation(
        0, "x", 0.5, (150, 90, 450, 390), 3, Mask.from_array((rows - 240) ** 2 + (columns - 300) ** 2 < 150**2)
    )
    scale = max_side / 640
    image = draw(plain(), [disc], max_side=max_side)
    line = [x for x in range(image.width) if differs(image, (x, round(240 * scale)), color_of(3)) < 60]
    assert line[0] == pytest.approx(150 * scale, abs=1.5)
    assert line[-1] + 1 == pytest.approx(450 * scale, abs=1.5)


def test_mask_is_in_pixels_of_the_upright_photo():
    data = encoded(quadrants(600, 900), "PNG", exif=exif_with_orientation(6))
    corners = (100, 700, 500, 850)
    image = draw(data, [thing(corners, size=(900, 600))])
    assert image.size == (600, 900)
    assert image.getpixel((101, 780)) == color_of(3)


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (7, 5000), (3, 3), (5000, 7)])
def test_strips_are_drawn_on(size: tuple[int, int]):
    whole = (0, 0, size[1], size[0])
    image = draw(plain(size=size), [thing(whole, size=size), Annotation(1, "sky", 1.0, mask=rectangle(whole, size))])
    assert min(image.size) >= 160


def test_masks_of_another_photo_are_refused():
    with pytest.raises(ValueError, match="not those of a photo"):
        draw(plain(), [thing((1, 1, 4, 4), size=(6, 6))])


# Colours


def test_objects_with_masks_have_colours_of_their_own():
    masks = (rectangle((0, 0, 4, 4), (9, 9)), rectangle((5, 5, 9, 9), (9, 9)))
    boxes, scores = np.array([[0, 0, 4, 4], [5, 5, 9, 9]], np.float32), np.array([0.9, 0.8], np.float32)
    found = InstanceMasks(boxes, scores, np.array([7, 7]), (9, 9), masks)
    annotations = annotations_of_answer(describe_prediction(found, list("abcdefgh")), 8)
    assert [annotation.color_key for annotation in annotations] == [0, 1]


def test_neighbours_among_hundreds_have_colours_that_lie_apart():
    generator = np.random.default_rng(1)
    places = [(x, y) for y in range(15) for x in range(20)]
    shuffled = [places[int(at)] for at in generator.permutation(len(places))]
    keys = keys_apart([(30.0 * x, 30.0 * y, 30.0 * x + 26, 30.0 * y + 26) for x, y in shuffled])
    color = dict(zip(shuffled, (oklab(color_of(key)) for key in keys), strict=True))
    beside = [((x, y), (x + 1, y)) for x, y in places if x < 19] + [((x, y), (x, y + 1)) for x, y in places if y < 14]
    distances = [float(np.linalg.norm(color[one] - color[other])) for one, other in beside]
    assert np.mean(np.array(distances) < 0.12) < 0.02, "by turns it would be one in eleven"
    assert min(distances) > 0.05


def test_class_has_its_colour_wherever_it_is():
    region = rectangle((100, 100, 300, 300))
    image = draw(
        plain(), [Annotation(4, "sky", 0.2, mask=rectangle((400, 0, 640, 480))), Annotation(9, "sea", 0.1, mask=region)]
    )
    assert image.getpixel((101, 200)) == color_of(9)


# Annotations


def test_objects_of_an_answer_keep_their_boxes_and_masks():
    masks = (rectangle((0, 0, 4, 4), (9, 9)), rectangle((5, 5, 9, 9), (9, 9)))
    boxes, scores = np.array([[0, 0, 4, 4], [5, 5, 9, 9]], np.float32), np.array([0.75, 0.5], np.float32)
    found = InstanceMasks(boxes, scores, np.array([1, 0]), (9, 9), masks)
    annotations = annotations_of_answer(describe_prediction(found, ["cat", "car"]), 2)
    assert annotations == [
        Annotation(1, "car", 0.75, (0, 0, 4, 4), 0, masks[0]),
        Annotation(0, "cat", 0.5, (5, 5, 9, 9), 1, masks[1]),
    ]


def test_classes_of_an_answer_come_with_most_pixels_first_and_their_masks():
    class_map = np.array([[0, 2, 2, 2], [0, 0, 1, 1]], np.uint8)
    found = SemanticMask(class_map, np.array([1, 2]), None, (2, 4))
    names = ["background", "sea", "sky"]
    annotations = annotations_of_answer(describe_prediction(found, names), 3)
    assert [(annotation.class_name, annotation.score) for annotation in annotations] == [("sky", 0.375), ("sea", 0.25)]
    assert [annotation.mask for annotation in annotations] == [
        Mask.from_array(class_map == 2),
        Mask.from_array(class_map == 1),
    ]


@pytest.mark.parametrize("member", [{"mask": [[0.0, 0.0, 4.0, 0.0, 4.0, 4.0]]}, {"mask": "iVBORw0KGgo="}, {}])
def test_masks_that_are_not_run_lengths_are_refused(member: dict[str, Any]):
    row = {"class_id": 1, "class_name": "x", "area_pixels": 8, "fraction": 0.5, **member}
    with pytest.raises(ValueError, match="run lengths"):
        annotations_of_answer({"predictions": [row]})


# Text


def panel_of(annotations: list[Annotation]) -> NDArray[np.intp]:
    """The middle (x, y) of what is dark in the picture."""
    dark = np.asarray(draw(plain(), annotations)).max(axis=2) < 120
    return np.argwhere(dark).mean(axis=0)[::-1].round().astype(np.intp)


def test_legend_stands_where_it_hides_the_least():
    halves = {"left": (0, 0, 320, 480), "lower": (0, 300, 640, 480)}
    middles = {name: panel_of([Annotation(1, "sky", 0.5, mask=rectangle(corners))]) for name, corners in halves.items()}
    assert middles["left"][0] > 500 and middles["left"][1] > 400
    assert middles["lower"][0] < 140 and middles["lower"][1] < 80


def test_legend_has_the_colour_of_each_class_and_leaves_most_of_the_picture_free():
    size = (480, 640)
    annotations = [Annotation(i, f"class number {i}", 0.01, mask=rectangle((i, 0, i + 1, 2), size)) for i in range(60)]
    image = np.asarray(draw(plain(), annotations))
    swatches = [int(np.all(image[100:] == color_of(i), axis=2).sum()) for i in range(5)]
    assert min(swatches) > 40
    assert np.mean(image.max(axis=2) < 120) < 0.15


def test_many_small_masks_are_not_covered_by_chips():
    small = [(x, y, x + 20, y + 20) for y in range(4, 460, 24) for x in range(4, 620, 24)]
    image = np.asarray(draw(plain((0, 0, 0)), [thing(corners, key) for key, corners in enumerate(small)])).astype(int)
    seen = [
        np.abs(image[y + 10, x + 10] - tint(color_of(key), (0, 0, 0))).max() <= 1
        for key, (x, y, _, _) in enumerate(small)
    ]
    assert len(small) == 494
    assert np.mean(seen) > 0.98, "all but what lies under the name of the best one"


def test_chip_that_must_be_clear_is_left_out_rather_than_laid_over_a_small_object():
    around = [(x, y, x + 30, y + 20) for x, y in itertools.product(range(0, 400, 30), range(0, 300, 20))]
    layout = LabelLayout((400, 300), 12, around)
    assert layout.place(around[0], [("", "0.90")], clear=True) is None
    assert layout.place(around[0], [("", "0.90")]) is not None


def test_name_stands_at_the_uppermost_part_of_an_object():
    stairs = np.zeros(SIZE, bool)
    stairs[300:400, 50:600] = True
    stairs[100:300, 450:600] = True
    annotations = [Annotation(0, "boat", 0.9, (50, 100, 600, 400), 0, Mask.from_array(stairs))]
    image = np.asarray(draw(plain(), annotations))
    label = np.argwhere(np.all(image[:97] == color_of(0), axis=2))
    assert label[:, 1].min() >= 445
