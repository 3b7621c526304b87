"""Detectors with augmentation answer in the pixels of the photo, and fuse what the views show."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from models.augmentation.augmented import View
from models.augmentation.choice import OBJECT_VIEWS, augmented
from models.catalog.lookup import find
from models.classification.noop import NoopClassifier
from models.entries import LetterboxPreprocessing
from models.parameters import DetectionParameters
from models.runtime import Runtime
from tests.unit.augmentation.bright_things import LETTERBOX, BrightThings, box_of, detector, scene, with_views

AUGMENTED = DetectionParameters(augment=True)


@pytest.mark.parametrize("size", [(100, 160), (160, 100), (90, 90), (700, 400)])
def test_box_is_where_it_is_in_the_photo(size: tuple[int, int]):
    height, width = size
    box = [width // 10, height // 5, width // 2, height // 2]
    network = BrightThings()
    (found,) = with_views(detector(network)).predict([scene(*size, box)], AUGMENTED)
    assert np.abs(found.boxes - box).max() < max(size) / 128 + 1
    assert found.scores == pytest.approx([0.8]) and found.image_size == size
    assert sum(shape[0] for shape in network.shapes) == len(OBJECT_VIEWS)


def test_views_are_of_several_sizes_and_some_mirrored():
    adapter = with_views(detector(BrightThings()))
    item = adapter.preprocess(adapter.decode(scene(128, 96, (0, 0, 40, 128))))
    assert item.kinds == OBJECT_VIEWS and item.kinds[0] == View()
    assert adapter.view_count == item.view_count == len(OBJECT_VIEWS)
    assert item.pixel_count == sum(view.pixels.shape[0] * view.pixels.shape[1] for view in item.views)
    assert len({view.pixels.shape[0] for view in item.views}) == len({view.scale for view in OBJECT_VIEWS})


def test_mirror_image_has_its_padding_at_the_right():
    made = detector(BrightThings())
    plain = made.preprocess(made.decode(scene(100, 57, (0, 0, 20, 100))))
    width = 128 * 57 // 100
    mirrored = made.mirrored(plain)
    assert np.array_equal(mirrored.pixels[:, :width], plain.pixels[:, :width][:, ::-1])
    assert (mirrored.pixels[:, width:] == 114).all() and mirrored.pixels.shape[1] > width
    assert np.array_equal(made.mirrored(mirrored).pixels, plain.pixels)


def test_object_that_one_view_misses_loses_score():
    def unless_mirrored(image: np.ndarray) -> float:
        box = box_of(image)
        return 0.8 if box and box[0] < image.shape[1] / 2 else 0.0

    photo = scene(128, 128, (4, 4, 40, 40))
    (found,) = with_views(detector(BrightThings(unless_mirrored))).predict([photo], AUGMENTED)
    plain = sum(not view.mirrored for view in OBJECT_VIEWS)
    assert found.scores == pytest.approx([0.8 * plain / len(OBJECT_VIEWS)])


def test_thresholds_of_the_request_hold_for_the_fused_boxes():
    photo = scene(128, 128, (4, 4, 40, 40))
    adapter = with_views(detector(BrightThings()))
    for parameters, count in (
        (DetectionParameters(0.79, augment=True), 1),
        (DetectionParameters(0.81, augment=True), 0),
        (DetectionParameters(0.1, class_ids=(), augment=True), 0),
    ):
        (found,) = adapter.predict([photo], parameters)
        assert len(found.scores) == count


def test_images_of_several_shapes_get_their_own_boxes():
    adapter = with_views(detector(BrightThings()))
    photos = [scene(100, 160, (10, 10, 50, 50)), scene(160, 100, (20, 30, 60, 90)), scene(50, 50)]
    first, second, third = adapter.predict(photos, AUGMENTED)
    assert np.abs(first.boxes - [10, 10, 50, 50]).max() < 3
    assert np.abs(second.boxes - [20, 30, 60, 90]).max() < 3
    assert len(third.scores) == 0


def test_network_of_one_input_size_gets_no_other_sizes():
    fixed = LetterboxPreprocessing(128, 128, *(LETTERBOX.mean, LETTERBOX.std), stride=128)
    network = BrightThings()
    with_views(detector(network, fixed)).predict([scene(100, 60, (5, 5, 30, 30))], AUGMENTED)
    assert {shape[1:3] for shape in network.shapes} == {(128, 128)}
    assert sum(shape[0] for shape in network.shapes) == 2


def test_compiled_network_gets_no_other_sizes():
    made = detector(BrightThings())
    made.runtime = Runtime(precision="fp32", backend="torch", compile=True).resolve()
    assert with_views(made).view_count == 2


def test_model_that_never_saw_mirror_images_gets_none():
    item_of = with_views(detector(BrightThings(), flip=0.0))
    item = item_of.preprocess(item_of.decode(scene(64, 64)))
    assert not any(kind.mirrored for kind in item.kinds)


def test_jpeg_is_decoded_finely_enough_for_the_largest_view():
    file = io.BytesIO()
    Image.new("RGB", (1200, 1200)).save(file, "JPEG")
    made = detector(BrightThings())
    plain, for_views = made.decode(file.getvalue()), with_views(made).decode(file.getvalue())
    assert plain.pixels.shape[0] == 300 and for_views.pixels.shape[0] >= 2 * 128 * max(
        view.scale for view in OBJECT_VIEWS
    )


def test_model_without_a_network_has_no_augmentation():
    assert augmented(NoopClassifier(find("noop"), Runtime())) is None
