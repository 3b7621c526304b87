"""Answers drawn on photos: that lines lie where boxes say, that text stays in the picture, that colours stay apart."""

from __future__ import annotations

import itertools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.drawing.annotations import Annotation, annotations_of_answer
from models.drawing.labels import LabelLayout
from models.drawing.lettering import Lettering, drawable
from models.drawing.palette import COLORS, INK, Color, color_of
from models.drawing.picture import draw, draw_on, encode
from models.errors import BrokenImage
from models.imaging.decoding import DecodedImage
from models.predictions import Detections
from services.answers.wire import describe_prediction
from tests.photos import encoded, exif_with_orientation, photo, quadrants

WHITE = (255, 255, 255)


def plain(color: Color = WHITE, size: tuple[int, int] = (480, 640)) -> bytes:
    """A PNG file of one colour, at (height, width)."""
    return encoded(Image.new("RGB", (size[1], size[0]), color), "PNG")


def pixels_of(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image)


def linear(color: Color) -> NDArray[np.float64]:
    """Linear light of an sRGB colour. Source: IEC 61966-2-1."""
    values = np.array(color) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one: Color, other: Color) -> float:
    """Contrast ratio, 1 to 21. Source: WCAG 2.2, https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio"""
    darker, lighter = sorted(float(linear(color) @ (0.2126, 0.7152, 0.0722)) for color in (one, other))
    return (lighter + 0.05) / (darker + 0.05)


def oklab(color: Color) -> NDArray[np.float64]:
    """Perceptual coordinates. Source: https://bottosson.github.io/posts/oklab/"""
    to_cones = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    to_lab = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    return np.array(to_lab) @ np.cbrt(np.array(to_cones) @ linear(color))


# What is drawn


def test_line_lies_on_the_box_in_the_colour_of_its_class():
    image = draw(plain(), [Annotation(3, "boat", 0.9, (100, 120, 300, 400))])
    assert image.size == (640, 480)
    assert [image.getpixel(at) for at in ((100, 250), (299, 250), (200, 399))] == [color_of(3)] * 3
    assert image.getpixel((200, 250)) == WHITE
    outside = image.getpixel((99, 250))
    assert isinstance(outside, tuple) and max(outside) < 200, "a shadow tells the line from a ground of its own colour"


def test_nothing_found_leaves_the_photo_as_it_is():
    coffee = photo("coffee")
    assert np.array_equal(pixels_of(draw(encoded(coffee, "PNG"), [])), pixels_of(coffee))


def test_pixels_that_come_in_are_not_changed():
    decoded = DecodedImage(np.full((480, 640, 3), 255, np.uint8), (480, 640))
    draw_on(decoded, [Annotation(0, "x", 1.0, (0, 0, 640, 480)), Annotation(0, "x", 1.0)])
    assert decoded.pixels.min() == 255


def test_boxes_are_in_pixels_of_the_upright_photo():
    stored = quadrants(600, 900)
    data = encoded(stored, "PNG", exif=exif_with_orientation(6))
    image = draw(data, [Annotation(0, "x", 0.9, (100, 700, 500, 850))])
    assert image.size == (600, 900)
    assert image.getpixel((100, 780)) == color_of(0)
    assert image.getpixel((50, 850)) == WHITE, "orientation 6 brings the lower right corner to the lower left"


@pytest.mark.parametrize(
    ("image", "image_format"),
    [
        (Image.new("L", (640, 480), 200), "PNG"),
        (Image.new("P", (640, 480), 3), "PNG"),
        (Image.new("RGBA", (640, 480), (10, 20, 30, 0)), "PNG"),
        (Image.new("LA", (640, 480), (90, 128)), "PNG"),
        (Image.new("1", (640, 480), 1), "PNG"),
        (Image.fromarray(np.full((480, 640), 40000, np.uint16)), "PNG"),
        (Image.new("CMYK", (640, 480), (90, 0, 0, 40)), "JPEG"),
        (Image.new("RGB", (640, 480)), "WEBP"),
    ],
    ids=["grey", "palette", "transparent", "grey with alpha", "bilevel", "16 bits", "CMYK", "WebP"],
)
def test_every_kind_of_photo_is_drawn_on(image: Image.Image, image_format: str):
    drawn = draw(encoded(image, image_format), [Annotation(5, "x", 0.9, (100, 100, 300, 300)), Annotation(5, "x", 1.0)])
    assert (drawn.mode, drawn.size) == ("RGB", (640, 480))
    assert drawn.getpixel((100, 200)) == color_of(5)


def test_broken_photo_is_refused():
    with pytest.raises(BrokenImage):
        draw(encoded(photo("coffee"), "PNG")[:-4000], [])


# Sizes


def test_tiny_photo_is_enlarged_by_a_whole_factor():
    image = draw(plain(size=(20, 32)), [Annotation(0, "x", 0.9, (8, 4, 24, 18))])
    assert image.size == (480, 300)
    assert image.getpixel((8 * 15, 10 * 15)) == color_of(0)


def test_large_photo_is_shrunk_to_the_longest_side():
    image = draw(plain(size=(1200, 1600)), [Annotation(0, "x", 0.9, (400, 400, 1200, 1000))], max_side=800)
    assert image.size == (800, 600)
    assert image.getpixel((200, 350)) == color_of(0)


def test_scaled_decode_of_a_huge_jpeg_keeps_the_boxes_in_place():
    huge = encoded(Image.new("RGB", (6000, 4000), "white"), "JPEG")
    image = draw(huge, [Annotation(0, "x", 0.9, (1500, 1000, 4500, 3000))], max_side=600)
    assert image.size == (600, 400)
    assert image.getpixel((150, 200)) == color_of(0)


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (7, 5000), (3, 3)])
def test_strips_have_room_for_text(size: tuple[int, int]):
    image = draw(plain(size=size), [Annotation(0, "person", 0.9, (0, 0, 1, 1)), Annotation(1, "cat", 0.9)])
    assert min(image.size) >= 160 and max(image.size) <= 5000


def test_lines_and_letters_grow_with_the_photo():
    def dark_share(scale: int) -> float:
        box = (100 * scale, 100 * scale, 400 * scale, 400 * scale)
        image = draw(plain(size=(480 * scale, 640 * scale)), [Annotation(0, "person", 0.9, box)])
        return float(np.mean(pixels_of(image).min(axis=2) < 250))

    assert dark_share(3) == pytest.approx(dark_share(1), rel=0.35)


# Colours


def test_colours_lie_apart_to_the_eye():
    distances = {
        pair: float(np.linalg.norm(oklab(COLORS[pair[0]]) - oklab(COLORS[pair[1]])))
        for pair in itertools.combinations(range(len(COLORS)), 2)
    }
    assert min(distances.values()) > 0.09, "0.02 is about what can just be told apart"
    assert min(value for (_, later), value in distances.items() if later < 7) > 0.2


def test_text_is_legible_on_every_colour():
    assert min(contrast(INK, color) for color in COLORS) > 4.5


def test_class_has_its_colour_in_every_picture():
    alone = draw(plain(), [Annotation(7, "x", 0.5, (100, 120, 300, 400))])
    among = draw(
        plain(), [Annotation(2, "y", 0.9, (400, 120, 600, 400)), Annotation(7, "x", 0.5, (100, 120, 300, 400))]
    )
    assert alone.getpixel((100, 250)) == among.getpixel((100, 250)) == color_of(7)


def test_objects_of_a_single_class_have_colours_of_their_own():
    boxes = np.array([[10, 10, 50, 50], [60, 60, 90, 90]], np.float32)
    found = Detections(boxes, np.array([0.9, 0.8], np.float32), np.zeros(2, np.int64), (100, 100))
    answer = describe_prediction(found, ["person"])
    assert [annotation.color_key for annotation in annotations_of_answer(answer, 1)] == [0, 1]
    assert [annotation.color_key for annotation in annotations_of_answer(answer, 2)] == [None, None]


def test_marks_say_what_the_answer_says():
    box = {"x_min": 1.0, "y_min": 2.0, "x_max": 3.0, "y_max": 4.0}
    objects = {"predictions": [{"box": box, "class_id": 1, "class_name": "car", "score": 0.5}]}
    classes = {
        "predictions": [
            {"class_id": 1, "class_name": "car", "probability": 0.75},
            {"class_id": 0, "class_name": "cat", "probability": 0.25},
        ]
    }
    assert annotations_of_answer(objects, 2) == [Annotation(1, "car", 0.5, (1, 2, 3, 4))]
    assert annotations_of_answer(classes) == [Annotation(1, "car", 0.75), Annotation(0, "cat", 0.25)]


# Text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("traffic light", "traffic light"),
        ("naïve café", "naive cafe"),
        ("Größe", "Grosse"),
        ("one\ntwo\t three\x00", "one two three"),
        ("Ångström — ½", "Angstrom - 1⁄2"),
        ("猫", "class 4"),
        ("Кошка", "class 4"),
        ("قطة", "class 4"),
        ("👩‍🚀 astronaut", "astronaut"),
        ("", "class 4"),
        ("\ud800", "class 4"),
    ],
)
def test_names_of_any_script_become_text_that_the_font_has(name: str, shown: str):
    assert drawable(name, "class 4") == shown
    draw(plain(), [Annotation(4, name, 0.5, (10, 10, 100, 100)), Annotation(4, name, 0.5)])


def test_long_text_is_cut_to_its_room():
    lettering = Lettering(14)
    cut = lettering.fit("a name that goes on and on and on", 100)
    assert cut.endswith("…") and cut.startswith("a name")
    assert 80 < lettering.width(cut) <= 100
    assert lettering.fit("short", 100) == "short"
    assert lettering.fit("anything", 3) == ""


@pytest.mark.parametrize("seed", range(6))
def test_chips_stay_in_the_picture_and_off_each_other(seed: int):
    generator = np.random.default_rng(seed)
    corners = generator.integers(0, (320, 240), (60, 2, 2))
    outlines = [(*pair.min(axis=0).tolist(), *(pair.max(axis=0) + 2).tolist()) for pair in corners]
    layout = LabelLayout((322, 242), 12, outlines)
    placed = [layout.place(outline, [("a longer name", "0.50"), ("", "0.50")]) for outline in outlines]
    areas = [label.area for label in placed if label is not None]
    assert len(areas) >= 6
    assert all(0 <= x0 < x1 <= 322 and 0 <= y0 < y1 <= 242 for x0, y0, x1, y1 in areas)
    for one, other in itertools.combinations(areas, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def test_chips_of_hundreds_of_objects_leave_most_of_the_picture_free():
    generator = np.random.default_rng(0)
    starts = generator.uniform(0, (560, 400), (400, 2))
    annotations = [
        Annotation(i % 9, f"name {i % 9}", 0.9, (x, y, x + 70, y + 70)) for i, (x, y) in enumerate(starts.tolist())
    ]
    layout = LabelLayout((640, 480), 13, [])
    labels = [layout.place((int(x), int(y), int(x) + 70, int(y) + 70), [("name", "0.90")]) for x, y in starts]
    covered = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (label.area for label in labels if label))
    assert 0.14 < covered / (640 * 480) < 0.17
    assert labels[0] is not None, "the best object has its name"
    assert draw(plain(), annotations).size == (640, 480)


def test_chip_avoids_a_small_object():
    small = (100, 60, 130, 90)
    layout = LabelLayout((400, 300), 12, [small, (100, 92, 300, 280)])
    label = layout.place((100, 92, 300, 280), [("person", "0.90")])
    assert label is not None
    x0, y0, x1, y1 = label.area
    assert x1 <= small[0] or x0 >= small[2] or y1 <= small[1] or y0 >= small[3]


@pytest.mark.parametrize(
    "box",
    [(0, 0, 640, 480), (0, 0, 1, 1), (639, 479, 640, 480), (320, 240, 320, 240), (600, 0, 640, 9), (0, 471, 640, 480)],
)
def test_boxes_at_the_border_are_named_within_the_picture(box: Any):
    image = draw(plain(), [Annotation(1, "person", 0.9, box)])
    in_ink = np.all(np.abs(pixels_of(image).astype(int) - INK) < 40, axis=2)
    assert in_ink.sum() > 50


# Rankings


def bar_lengths(image: Image.Image, keys: list[int]) -> list[int]:
    """The longest row of each colour."""
    pixels = pixels_of(image)
    return [int(np.all(pixels == color_of(key), axis=2).sum(axis=1).max()) for key in keys]


def test_bars_are_as_long_as_probabilities_are_large():
    image = draw(plain(), [Annotation(0, "a", 0.8), Annotation(1, "b", 0.4), Annotation(2, "c", 0.1)])
    longest, middle, shortest = bar_lengths(image, [0, 1, 2])
    assert middle == pytest.approx(longest / 2, abs=3)
    assert shortest == pytest.approx(longest / 8, abs=3)


def test_a_thousand_classes_cover_no_more_than_the_lower_half():
    image = draw(plain(), [Annotation(i, f"class number {i}", 0.001) for i in range(1000)])
    assert pixels_of(image)[:230].min() == 255
    assert pixels_of(image)[250:].min() < 100


@pytest.mark.parametrize("ground", [WHITE, (0, 0, 0), (255, 255, 0)])
def test_panel_is_dark_enough_for_its_text(ground: Color):
    image = draw(plain(ground), [Annotation(0, "a", 0.8)])
    panel = image.getpixel((16, 480 - 14))
    assert isinstance(panel, tuple)
    assert contrast((panel[0], panel[1], panel[2]), (255, 255, 255)) > 4.5


# Files


@pytest.mark.parametrize("picture_format", ["jpeg", "png"])
def test_file_has_the_format_and_nothing_of_the_photos_metadata(picture_format: Any):
    exif = exif_with_orientation(1)
    exif[0x010E] = "a secret place"
    image = draw(encoded(photo("coffee"), "JPEG", exif=exif), [Annotation(0, "cup", 0.9, (100, 100, 400, 300))])
    file = encode(image, picture_format)
    with Image.open(BytesIO(file)) as opened:
        assert (opened.format, opened.size) == (picture_format.upper(), (600, 400))
        difference = np.abs(np.asarray(opened.convert("RGB")).astype(int) - pixels_of(image))
    assert difference.mean() < (3 if picture_format == "jpeg" else 1e-9)
    assert b"secret" not in file and b"Exif" not in file


def test_threads_draw_the_same():
    data = encoded(photo("chelsea"), "JPEG")
    annotations = [Annotation(i, f"name {i}", 0.9, (20 * i, 20 * i, 20 * i + 99, 20 * i + 99)) for i in range(9)]
    with ThreadPoolExecutor(4) as pool:
        pictures = list(pool.map(lambda _: draw(data, annotations).tobytes(), range(12)))
    assert len(set(pictures)) == 1


def test_drawing_needs_no_torch():
    code = "import sys, models.drawing.picture; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
