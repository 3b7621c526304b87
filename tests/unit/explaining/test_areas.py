"""Where the cells of a map lie in the image."""

from __future__ import annotations

import numpy as np
import pytest

from models.entries import LetterboxPreprocessing, Preprocessing
from models.explaining.areas import area_of, cells_of_image, part_of
from models.explaining.colours import INFERNO, VIRIDIS, colour_map
from models.explaining.overlay import draw_heat, draw_heat_over
from models.imaging.crop import cropped_area, resize_and_crop

CROP = Preprocessing(256, 224, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
BOX = LetterboxPreprocessing(416, 416, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@pytest.mark.parametrize("size", [(400, 600), (600, 400), (512, 512), (256, 300), (100, 900)])
def test_area_of_a_centre_crop_is_what_the_crop_shows(size: tuple[int, int]):
    rows, columns = (np.linspace(0, 255, side).astype(np.uint8) for side in size)
    image = np.stack([np.broadcast_to(rows[:, None], size), np.broadcast_to(columns, size), np.zeros(size)], 2)
    kept = resize_and_crop(image.astype(np.uint8), CROP)
    left, top, right, bottom = cropped_area(size, CROP)
    shown = [image[round(y), round(x), channel] for x, y, channel in ((left, top, 1), (left, top, 0))]
    assert kept[112, 0, 1] == pytest.approx(shown[0], abs=3)
    assert kept[0, 112, 0] == pytest.approx(shown[1], abs=3)
    assert image[min(size[0], round(bottom)) - 1, 0, 0] == pytest.approx(kept[-1, 112, 0], abs=3)
    assert image[0, min(size[1], round(right)) - 1, 1] == pytest.approx(kept[112, -1, 1], abs=3)


def test_area_of_a_classifier_is_its_centre_crop():
    assert area_of((224, 224), (400, 600), CROP) == (125.0, 25.0, 475.0, 375.0)


def test_padding_of_a_letterbox_lies_beyond_the_image():
    area = area_of((320, 416), (300, 400), BOX)  # resized to 312 x 416, padded to 320 x 416
    assert area == pytest.approx((0, 0, 400, 300 * 320 / 312))


def test_cells_of_padding_alone_are_dropped():
    area = area_of((320, 416), (277, 400), BOX)  # resized to 288 x 416: a row of 32 pixels would be padding
    assert cells_of_image((10, 13), (277, 400), area) == (9, 13)
    assert part_of(area, (10, 13), (9, 13)) == pytest.approx((0, 0, 400, 277), abs=0.5)


def test_heat_is_drawn_where_it_lies():
    values = np.zeros((4, 4), np.float32)
    values[3, 0] = 1.0
    photo = np.full((100, 200, 3), 128, np.uint8)
    drawn = np.asarray(draw_heat_over(photo, values, (50, 0, 150, 100), (100, 200))).astype(int)
    assert (drawn[:, :50] == 128).all() and (drawn[:, 150:] == 128).all()
    change = np.abs(drawn - 128).sum(2)
    assert change[87:, 50:62].mean() > 2 * change[:50, 50:150].mean()
    alone = np.asarray(draw_heat(values, (50, 0, 150, 100), (100, 200), (50, 100))).sum(2)
    y, x = np.unravel_index(alone.argmax(), alone.shape)
    assert y >= 40 and 25 <= x <= 35


@pytest.mark.parametrize("box", [(1000.2, 20.0, 1000.9, 20.5), (200.0, 0.0, 200.0, 100.0), (0.0, 0.0, 0.0, 0.0)])
def test_box_without_area_is_drawn(box: tuple[float, float, float, float]):
    photo = np.full((100, 200, 3), 128, np.uint8)
    drawn = draw_heat_over(photo, np.zeros((4, 4), np.float32), (0, 0, 2000, 1000), (1000, 2000), box)
    assert drawn.size == (200, 100)


def test_colours_of_both_maps_get_lighter():
    for stops in (VIRIDIS, INFERNO):
        (row,) = colour_map(np.linspace(0, 1, 64, dtype=np.float32)[None], stops).astype(float)
        lightness = row @ (0.2126, 0.7152, 0.0722)
        assert (np.diff(lightness) > 0).all()
        assert tuple(row[0]) == stops[0] and tuple(row[-1]) == stops[-1]
