"""Images fit whole into a network's input, and boxes come back to where they were."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.entries import LetterboxPreprocessing
from models.imaging.letterbox import Letterbox

ZERO, ONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
YOLO = LetterboxPreprocessing(416, 416, ZERO, ONE)
TWO_STAGE = LetterboxPreprocessing(800, 1333, ZERO, ONE, stride=1)
STRETCHED = LetterboxPreprocessing(320, 320, ZERO, ONE, stride=1, keep_aspect=False)

sizes = st.tuples(st.integers(1, 9000), st.integers(1, 9000))
schemes = st.sampled_from([YOLO, TWO_STAGE, STRETCHED])
shares = st.floats(0, 1, width=32)


@pytest.mark.parametrize(
    ("image_size", "preprocessing", "resized_size", "input_size"),
    [
        ((480, 640), YOLO, (312, 416), (320, 416)),
        ((640, 480), YOLO, (416, 312), (416, 320)),
        ((416, 416), YOLO, (416, 416), (416, 416)),
        ((20, 10), YOLO, (416, 208), (416, 224)),
        ((1, 50_000_000), YOLO, (1, 416), (32, 416)),
        ((480, 640), TWO_STAGE, (800, 1066), (800, 1066)),
        ((480, 1000), TWO_STAGE, (639, 1333), (639, 1333)),
        ((480, 640), STRETCHED, (320, 320), (320, 320)),
    ],
)
def test_an_image_is_scaled_to_the_first_limit_that_it_meets(image_size, preprocessing, resized_size, input_size):
    letterbox = Letterbox.fit(image_size, preprocessing)
    assert (letterbox.resized_size, letterbox.input_size) == (resized_size, input_size)


def test_a_square_is_padded_on_both_sides():
    assert Letterbox.fit((30, 400), YOLO, square=True).input_size == (416, 416)


@given(sizes, schemes)
def test_no_input_is_larger_than_the_largest(image_size, preprocessing):
    short, long = sorted(Letterbox.fit(image_size, preprocessing).input_size)
    assert short <= preprocessing.largest_size[0]
    assert long <= preprocessing.largest_size[1]
    assert short % preprocessing.stride == long % preprocessing.stride == 0


@given(sizes, schemes, st.lists(st.tuples(shares, shares, shares, shares), max_size=8))
def test_a_box_comes_back_to_where_it_was(image_size, preprocessing, corners):
    height, width = image_size
    points = torch.tensor(corners).reshape(-1, 2, 2).sort(dim=1).values
    boxes = (points * torch.tensor([width, height])).reshape(-1, 4)
    letterbox = Letterbox.fit(image_size, preprocessing)
    placed = letterbox.project(boxes)
    assert torch.all(placed[:, 3] <= letterbox.resized_size[0] + 1e-3)
    restored = letterbox.restore(placed)
    assert restored.shape == boxes.shape and restored.dtype == torch.float32
    assert torch.all((restored - boxes).abs() < 0.5)


@given(sizes, schemes, st.lists(st.tuples(*[st.floats(-1e6, 1e6, width=32)] * 4), max_size=8))
def test_restored_boxes_lie_in_the_image_and_are_never_inverted(image_size, preprocessing, boxes):
    restored = Letterbox.fit(image_size, preprocessing).restore(torch.tensor(boxes).reshape(-1, 4))
    height, width = image_size
    assert torch.all(restored >= 0)
    assert torch.all(restored <= torch.tensor([width, height, width, height]))
    assert torch.all(restored[:, 2:] >= restored[:, :2])


def test_the_image_lies_at_the_top_left_and_the_rest_is_grey():
    placed = Letterbox.fit((200, 400), YOLO).place(np.full((200, 400, 3), [10, 20, 30], np.uint8))
    assert placed.shape == (224, 416, 3) and placed.dtype == np.uint8 and placed.flags.c_contiguous
    assert np.all(placed[:208] == [10, 20, 30])
    assert np.all(placed[208:] == 114)


def test_a_mark_in_the_pixels_lies_where_its_box_is_projected_to():
    pixels = np.zeros((300, 500, 3), np.uint8)
    pixels[60:180, 100:350] = 255
    letterbox = Letterbox.fit((300, 500), YOLO)
    rows, columns = np.nonzero(letterbox.place(pixels)[: letterbox.resized_size[0], :, 0] > 127)
    found = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    expected = letterbox.project(torch.tensor([[100.0, 60, 350, 180]]))[0]
    assert torch.all((found - expected).abs() <= 0.5)


def test_pixels_decoded_at_a_smaller_scale_lie_in_the_same_place():
    letterbox = Letterbox.fit((1200, 1600), YOLO)
    ramp = np.broadcast_to(np.linspace(0, 255, 1600).astype(np.uint8)[None, :, None], (1200, 1600, 3)).copy()
    small = ramp.reshape(600, 2, 800, 2, 3).mean((1, 3)).astype(np.uint8)
    difference = letterbox.place(ramp).astype(int) - letterbox.place(small)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 300_000), (300_000, 1), (2, 70_000)])
@pytest.mark.parametrize("preprocessing", [YOLO, TWO_STAGE, STRETCHED])
def test_extreme_shapes_are_placed_in_bounded_room(size, preprocessing):
    letterbox = Letterbox.fit(size, preprocessing)
    placed = letterbox.place(np.full((*size, 3), 200, np.uint8))
    assert placed.shape == (*letterbox.input_size, 3)
    height, width = letterbox.resized_size
    assert np.all(placed[:height, :width] == 200)
