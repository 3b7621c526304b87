"""Polygons and pictures of masks show the mask."""

from io import BytesIO
from typing import Any, cast

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from pycocotools import mask as coco_mask

from models.drawing.mask_pngs import indexed_png, png
from models.drawing.palette import color_of
from models.geometry.masks import Mask
from models.geometry.outlines import parts
from models.geometry.polygons import polygons

sides = st.integers(1, 12)
speckles = st.tuples(sides, sides).flatmap(lambda size: arrays.arrays(np.bool_, size))
places, radii = st.floats(-10, 110), st.floats(0.5, 60)
ellipses = st.lists(st.tuples(places, places, radii, radii, st.booleans()), min_size=1, max_size=6)


def blobs(shapes: list[tuple[float, float, float, float, bool]], size: tuple[int, int] = (90, 100)) -> np.ndarray:
    """Ellipses, each added to those before it or taken away: parts, holes, and what reaches beyond the edges."""
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    pixels = np.zeros(size, np.bool_)
    for y, x, height, width, adds in shapes:
        pixels[((rows - y) / height) ** 2 + ((columns - x) / width) ** 2 <= 1] = adds
    return pixels


def drawn(rings: list[list[float]], size: tuple[int, ...]) -> np.ndarray:
    if not rings:
        return np.zeros(size, np.bool_)
    return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(cast(Any, rings), *size))).astype(np.bool_)


def check(pixels: np.ndarray) -> list[list[float]]:
    """Holds polygons to what is promised of them."""
    rings = polygons(Mask.from_array(pixels))
    shapes = [shapely.Polygon(np.reshape(ring, (-1, 2))) for ring in rings]
    assert all(shape.is_valid and shape.area > 0 for shape in shapes)
    found = drawn(rings, pixels.shape)
    assert (found & pixels).sum() >= 0.98 * (found | pixels).sum()
    if rings:
        low, high = shapely.bounds(shapely.multipolygons(shapes)).reshape(2, 2)
        assert np.all(low >= 0) and np.all(high <= pixels.shape[::-1])
        edges = shapely.coverage_union_all([shapely.box(x, y, x + 1, y + 1) for y, x in np.argwhere(pixels)]).boundary
        ours = shapely.union_all(shapes).boundary
        assert shapely.hausdorff_distance(ours, edges) <= 1 + 1e-6
    return rings


@settings(max_examples=60, deadline=None)
@given(speckles)
def test_polygons_of_noise_are_valid_and_show_it(pixels):
    check(pixels)


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.integers(1, 7), st.integers(1, 7)).flatmap(lambda size: arrays.arrays(np.bool_, size)))
def test_polygons_of_the_smallest_parts_are_exact(pixels):
    np.testing.assert_array_equal(drawn(check(pixels), pixels.shape), pixels)


@settings(max_examples=50, deadline=None)
@given(ellipses)
def test_polygons_are_valid_and_show_the_mask(shapes):
    check(blobs(shapes))


@settings(max_examples=60, deadline=None)
@given(speckles)
def test_outlines_do_not_touch_and_draw_exactly_the_mask(pixels):
    found = parts(Mask.from_array(pixels))
    assert all(part.is_valid for part in found)
    assert all(part.disjoint(other) for part in found for other in found if part is not other)
    exact = np.zeros_like(pixels)
    for part in found:
        shell, *holes = ([np.asarray(ring.coords)[:-1].ravel().tolist()] for ring in shapely.get_rings(part))
        inside = drawn(shell, pixels.shape)
        for hole in holes:
            inside &= ~drawn(hole, pixels.shape)
        exact |= inside
    np.testing.assert_array_equal(exact, pixels)


@pytest.mark.parametrize(
    ("picture", "count"),
    [
        ("#", 1),
        ("###", 1),
        ("#.#", 2),
        ("#./.#", 1),
        ("##./.##", 1),
        ("###/#.#/###", 2),
        ("#####/#.#.#/#####", 3),
        ("#####/#...#/#.#.#/#...#/#####", 3),
        ("##/##", 1),
        ("./.", 0),
    ],
)
def test_small_masks_keep_every_pixel(picture, count):
    pixels = np.array([[mark == "#" for mark in row] for row in picture.split("/")])
    assert len(check(pixels)) == count
    np.testing.assert_array_equal(drawn(check(pixels), pixels.shape), pixels)


def test_a_pixel_is_a_diamond_within_it():
    pixels = np.zeros((3, 5), np.bool_)
    pixels[1, 3] = True
    (ring,) = polygons(Mask.from_array(pixels))
    assert sorted(zip(ring[::2], ring[1::2], strict=True)) == [(3.0, 1.5), (3.5, 1.0), (3.5, 2.0), (4.0, 1.5)]


def test_a_full_image_is_one_polygon_with_few_corners():
    (ring,) = check(np.ones((60, 80), np.bool_))
    assert len(ring) <= 16


def test_an_outline_is_simplified():
    pixels = blobs([(50, 50, 30, 40, True)], (100, 100))
    (ring,) = check(pixels)
    exact = parts(Mask.from_array(pixels))[0]
    assert len(ring) // 2 < len(exact.exterior.coords) / 4


def test_a_part_is_not_lost_beside_a_large_one():
    pixels = blobs([(50, 50, 40, 30, True), (95, 95, 2, 2, True), (5, 95, 1, 1, True)], (100, 100))
    found = drawn(check(pixels), pixels.shape)
    np.testing.assert_array_equal(found[90:, 90:], pixels[90:, 90:])
    np.testing.assert_array_equal(found[:10, 90:], pixels[:10, 90:])


def test_many_holes_are_cut_open():
    pixels = np.ones((61, 61), np.bool_)
    pixels[2:-1:4, 2:-1:4] = False
    assert len(check(pixels)) > 16


def opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


@settings(max_examples=30, deadline=None)
@given(speckles)
def test_a_png_is_white_where_the_mask_is(pixels):
    picture = opened(png(Mask.from_array(pixels)))
    assert picture.format == "PNG" and picture.mode == "1"
    np.testing.assert_array_equal(np.asarray(picture.convert("L")), pixels * np.uint8(255))


@pytest.mark.parametrize("highest", [0, 1, 2, 5, 20, 255])
def test_the_pixels_of_an_indexed_png_are_class_ids(highest):
    class_map = np.random.default_rng(0).integers(0, highest + 1, (37, 53), dtype=np.uint8)
    class_map[0, 0] = highest
    picture = opened(indexed_png(class_map))
    assert picture.format == "PNG" and picture.mode == "P"
    np.testing.assert_array_equal(np.asarray(picture), class_map)
    assert picture.convert("RGB").getpixel((0, 0)) == (color_of(highest) if highest else (0, 0, 0))


def test_the_background_of_an_indexed_png_is_black():
    class_map = np.array([[0, 3]], np.uint8)
    assert np.asarray(opened(indexed_png(class_map)).convert("RGB")).tolist() == [[[0, 0, 0], list(color_of(3))]]
