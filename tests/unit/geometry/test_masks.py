"""Masks are what pycocotools says they are, however they were made."""

from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco_mask

from models.geometry.masks import Mask

sides = st.integers(1, 12)
pictures = st.tuples(sides, sides).flatmap(lambda size: arrays.arrays(np.bool_, size))


def coco(pixels: np.ndarray) -> Any:
    return coco_mask.encode(np.asfortranarray(pixels, np.uint8))


@settings(deadline=None)
@given(pictures)
def test_masks_are_those_of_pycocotools_both_ways(pixels):
    mask = Mask.from_array(pixels)
    assert mask.counts == coco(pixels)["counts"]
    assert mask.to_coco() == {"size": list(pixels.shape), "counts": mask.counts.decode()}
    np.testing.assert_array_equal(coco_mask.decode(cast(Any, mask.to_coco())), pixels)
    theirs = Mask.from_coco(coco(pixels))
    assert theirs == mask
    np.testing.assert_array_equal(theirs.to_array(), pixels)


@settings(deadline=None)
@given(pictures, sides, sides, sides, sides)
def test_a_region_is_the_image_that_it_is_pasted_into(region, above, left, below, right):
    whole = np.pad(region, ((above, below), (left, right)))
    mask = Mask.from_region(region, (above, left), whole.shape)
    assert mask == Mask.from_array(whole) and mask.counts == coco(whole)["counts"]
    cut, (top, start) = mask.to_region()
    pasted = np.zeros_like(whole)
    pasted[top : top + cut.shape[0], start : start + cut.shape[1]] = cut
    np.testing.assert_array_equal(pasted, whole)


@settings(deadline=None)
@given(pictures)
def test_area_bounds_and_runs_are_those_of_the_pixels(pixels):
    mask = Mask.from_array(pixels)
    assert mask.area == pixels.sum()
    rows, columns = np.nonzero(pixels)
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else (0, 0, 0, 0)
    assert mask.bounds == box
    drawn = np.zeros_like(pixels)
    for column, top, bottom in zip(*mask.runs(), strict=True):
        assert not drawn[max(0, top - 1) : bottom + 1, column].any(), "runs of a column lie apart"
        drawn[top:bottom, column] = True
    np.testing.assert_array_equal(drawn, pixels)


@settings(deadline=None)
@given(st.integers(1, 9).flatmap(lambda side: st.lists(arrays.arrays(np.bool_, (side, 5)), min_size=1, max_size=4)))
def test_a_union_covers_what_any_covers(pictures):
    united = Mask.union([Mask.from_array(pixels) for pixels in pictures])
    np.testing.assert_array_equal(united.to_array(), np.any(pictures, 0))


def test_masks_of_different_images_cannot_be_united():
    with pytest.raises(ValueError, match="of one size"):
        Mask.union([Mask.from_array(np.ones((2, 3), np.bool_)), Mask.from_array(np.ones((3, 2), np.bool_))])
    with pytest.raises(ValueError, match="of one size"):
        Mask.union([])


@pytest.mark.parametrize(
    ("picture", "lengths"),
    [("...", [3]), ("###", [0, 3]), (".#./.#.", [2, 2, 2]), ("#../.#./..#", [0, 1, 3, 1, 3, 1])],
)
def test_run_lengths_go_down_the_columns(picture, lengths):
    pixels = np.array([[mark == "#" for mark in row] for row in picture.split("/")])
    assert Mask.from_array(pixels) == Mask.from_coco({"size": list(pixels.shape), "counts": lengths})


def test_a_small_object_in_a_large_photo_weighs_little():
    mask = Mask.from_region(np.ones((30, 20), np.bool_), (9000, 11000), (10_000, 12_000))
    assert mask.area == 600 and mask.bounds == (11000, 9000, 11020, 9030) and len(mask.counts) < 100
    region, top_left = mask.to_region()
    assert region.shape == (30, 20) and region.all() and top_left == (9000, 11000)


def test_nothing_has_no_region():
    mask = Mask.from_region(np.zeros((0, 4), np.bool_), (2, 3), (5, 7))
    assert mask == Mask.from_array(np.zeros((5, 7), np.bool_)) and mask.area == 0
    assert mask.to_region()[0].shape == (0, 0) and not mask.to_array().any()


@pytest.mark.parametrize("top_left", [(-1, 0), (0, -1), (4, 0), (0, 5)])
def test_a_region_beyond_the_image_is_refused(top_left):
    with pytest.raises(ValueError, match="reaches beyond"):
        Mask.from_region(np.ones((2, 3), np.bool_), top_left, (5, 7))


def test_what_begins_where_something_ends_goes_on_there():
    mask = Mask.from_turns(np.array([2, 4, 4, 4, 4, 6, 7, 7]), (3, 4))
    assert mask.to_array().ravel("F").tolist() == [False, False, True, True, True, True, *[False] * 6]


def test_run_lengths_of_a_stranger_are_taken_where_they_hold():
    for pixels in (np.zeros((5, 7), bool), np.ones((5, 7), bool), np.arange(35).reshape(5, 7) % 3 == 0):
        mask = Mask.from_array(pixels)
        turns = np.flatnonzero(np.diff(pixels.T.ravel(), prepend=False)).tolist()
        lengths = np.diff([0, *turns, 35]).tolist()
        assert Mask.from_stranger(mask.to_coco(), (5, 7)) == mask
        assert np.array_equal(Mask.from_stranger({"size": [5, 7], "counts": lengths}, (5, 7)).to_array(), pixels)


@pytest.mark.parametrize("counts", ["", "n", "o" * 9, "52203", "é", [34], [36, -1], [2**70], [[35]], ["x"], None, 35])
def test_run_lengths_of_a_stranger_are_refused_where_they_do_not(counts: object):
    with pytest.raises(ValueError, match="counts must be"):
        Mask.from_stranger({"size": [5, 7], "counts": counts}, (5, 7))
    with pytest.raises(ValueError, match="size must be"):
        Mask.from_stranger({"size": [7, 5], "counts": [35]}, (5, 7))
