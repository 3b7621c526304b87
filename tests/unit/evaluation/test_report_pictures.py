"""The pictures of a report: that colours tell what became of objects, and that words count right."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.datasets.samples import ClassTarget, ObjectTarget, RegionTarget
from models.drawing.annotations import Annotation, Pose
from models.drawing.palette import color_of
from models.entries.skeletons import Skeleton
from models.errors import BrokenImage
from models.geometry.masks import Mask
from models.predictions import Classification, Detections, InstanceMasks, SemanticMask
from services.answers.wire import describe_prediction
from services.evaluation.report.matching import Verdict, match
from services.evaluation.report.pictures import COLOR_KEYS, MAX_SIDE, draw_pair
from tests.photos import encoded

NAMES = ("cat", "dog")
SIZE = (240, 480)


def plain(size: tuple[int, int] = SIZE) -> bytes:
    return encoded(Image.new("RGB", (size[1], size[0]), (255, 255, 255)), "PNG")


def boxes_of(*boxes: tuple[float, float, float, float]) -> NDArray[np.float64]:
    return np.array(boxes, np.float64).reshape(-1, 4)


def objects(
    boxes: NDArray[np.float64],
    class_ids: list[int],
    crowds: list[bool] | None = None,
    masks: tuple[Mask, ...] | None = None,
) -> ObjectTarget:
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    crowd = np.array(crowds or [False] * len(class_ids), np.bool_)
    return ObjectTarget(boxes, np.array(class_ids, np.int64), areas, crowd, masks)


def answer_of(boxes: NDArray[np.float64], class_ids: list[int], scores: list[float]) -> dict[str, Any]:
    found = Detections(
        boxes.astype(np.float32), np.array(scores, np.float32), np.array(class_ids, np.int64), image_size=SIZE
    )
    return describe_prediction(found, NAMES)


def annotated(*rows: tuple[int, float, tuple[float, float, float, float]]) -> list[Annotation]:
    return [Annotation(class_id, NAMES[class_id], score, box) for class_id, score, box in rows]


def pixels_of(file: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(BytesIO(file)).convert("RGB"))


def has_color(file: bytes, verdict: Verdict) -> bool:
    """Whether a picture has at least a line of a verdict's colour, as lossy WebP keeps it."""
    off = abs(pixels_of(file).astype(int) - np.array(color_of(COLOR_KEYS[verdict]))).max(2)
    return int((off < 40).sum()) > 30


LEFT, RIGHT, BELOW = (10.0, 40.0, 110.0, 140.0), (200.0, 40.0, 300.0, 140.0), (350.0, 100.0, 450.0, 200.0)


def test_every_target_is_found_once_and_the_best_chooses_first() -> None:
    shifted = (20.0, 40.0, 120.0, 140.0)
    found = match(annotated((0, 0.9, shifted), (0, 0.8, LEFT)), objects(boxes_of(LEFT), [0]))
    assert found.predictions == (Verdict.RIGHT, Verdict.FALSE)
    assert found.targets == (Verdict.RIGHT,)


def test_right_class_has_precedence_over_a_better_score_of_another() -> None:
    found = match(annotated((1, 0.9, LEFT), (0, 0.8, LEFT)), objects(boxes_of(LEFT), [0]))
    assert found.predictions == (Verdict.FALSE, Verdict.RIGHT)


def test_other_class_in_the_right_place_is_half_right() -> None:
    found = match(annotated((1, 0.9, LEFT)), objects(boxes_of(LEFT, RIGHT), [0, 0]))
    assert found.predictions == (Verdict.OTHER_CLASS,)
    assert found.targets == (Verdict.OTHER_CLASS, Verdict.MISSED)


def test_overlap_of_just_half_counts_and_less_does_not() -> None:
    target = objects(boxes_of((0, 0, 100, 100)), [0])
    assert match(annotated((0, 0.9, (0, 0, 100, 50))), target).predictions == (Verdict.RIGHT,)
    assert match(annotated((0, 0.9, (0, 0, 100, 49))), target).predictions == (Verdict.FALSE,)


def test_predictions_in_a_crowd_count_neither_way() -> None:
    crowd = objects(boxes_of((0, 0, 400, 200)), [0], [True])
    found = match(annotated((0, 0.9, LEFT), (0, 0.8, RIGHT), (1, 0.7, LEFT)), crowd)
    assert found.predictions == (Verdict.IGNORED, Verdict.IGNORED, Verdict.FALSE)
    assert found.targets == (Verdict.IGNORED,)


def test_masks_are_matched_by_their_pixels_and_not_by_their_boxes() -> None:
    upper, lower = np.tri(100, dtype=np.bool_).T, np.tri(100, dtype=np.bool_)
    box = (0.0, 0.0, 100.0, 100.0)
    target = objects(boxes_of(box), [0], masks=(Mask.from_array(upper),))
    assert match([Annotation(0, "cat", 0.9, box, mask=Mask.from_array(upper))], target).predictions == (Verdict.RIGHT,)
    assert match([Annotation(0, "cat", 0.9, box, mask=Mask.from_array(lower))], target).predictions == (Verdict.FALSE,)


def test_key_points_of_a_model_are_matched_by_their_names() -> None:
    """The model has one more than the data set, and in another order."""
    skeleton = Skeleton.of(["nose", "tail"], sigmas=[0.05, 0.05])
    points = np.array([[[20.0, 50, 2], [100, 130, 2]]])
    target = replace(objects(boxes_of(LEFT), [0]), key_points=points, skeleton=skeleton)

    def posed(*places: tuple[float, float]) -> list[Annotation]:
        pose = Pose(places, (True,) * 3, (), (0,) * 3, ("ear", "tail", "nose"))
        return [Annotation(0, "cat", 0.9, LEFT, pose=pose)]

    assert match(posed((0, 0), (100, 130), (20, 50)), target).predictions == (Verdict.RIGHT,)
    assert match(posed((20, 50), (20, 50), (100, 130)), target).predictions == (Verdict.FALSE,)


def test_nothing_matches_nothing() -> None:
    assert match([], objects(boxes_of(), [])).targets == ()
    assert match([], objects(boxes_of(LEFT), [0])).targets == (Verdict.MISSED,)
    assert match(annotated((0, 0.9, LEFT)), objects(boxes_of(), [])).predictions == (Verdict.FALSE,)


def test_colours_and_words_tell_what_is_missed_and_what_is_false() -> None:
    answer = answer_of(boxes_of(LEFT, BELOW), [0, 0], [0.95, 0.91])
    pair = draw_pair(plain(), objects(boxes_of(LEFT, RIGHT), [0, 0]), answer, NAMES, 0.5)
    assert pair.notes == ("1 of 2 found", "1 missed", "1 false, at 0.91")
    assert pair.prediction is not None
    for picture in (pair.target, pair.prediction):
        assert has_color(picture, Verdict.RIGHT)
        assert has_color(picture, Verdict.FALSE)


def test_objects_below_the_threshold_and_of_classes_that_nobody_labelled_are_left_out() -> None:
    answer = answer_of(boxes_of(LEFT, RIGHT, BELOW), [0, 1, 0], [0.9, 0.8, 0.2])
    pair = draw_pair(plain(), objects(boxes_of(LEFT), [0]), answer, NAMES, 0.5, measured=[0])
    assert pair.notes == ("1 of 1 found",)
    everything = draw_pair(plain(), objects(boxes_of(LEFT), [0]), answer, NAMES)
    assert everything.notes == ("1 of 1 found", "2 false, up to 0.80")


def test_image_without_objects_says_so() -> None:
    pair = draw_pair(plain(), objects(boxes_of(), []), answer_of(boxes_of(), [], []), NAMES, 0.5)
    assert pair.notes == ("nothing is there",)


@pytest.mark.parametrize("size", [(1000, 1600), (416, 300), (20, 20)])
def test_pictures_are_small_whatever_the_photo(size: tuple[int, int]) -> None:
    answer = {"image": {"height": size[0], "width": size[1]}, "predictions": []}
    pair = draw_pair(plain(size), objects(boxes_of((1, 1, 9, 9)), [0]), answer, NAMES)
    assert max(pair.size) == MAX_SIDE
    assert pixels_of(pair.target).shape[:2] == pair.size


def test_instances_are_drawn_with_their_masks_and_nothing_around_them() -> None:
    size = (208, 416)  # enlarged by less than half
    pixels = np.zeros(size, np.bool_)
    pixels[50:150, 50:150][np.tri(100, dtype=np.bool_)] = True
    mask, box = Mask.from_array(pixels), boxes_of((50, 50, 150, 150))
    scores, class_ids = np.array([0.9], np.float32), np.array([0], np.int64)
    found = InstanceMasks(box.astype(np.float32), scores, class_ids, masks=(mask,), image_size=size)
    pair = draw_pair(plain(size), objects(box, [0], masks=(mask,)), describe_prediction(found, NAMES), NAMES, 0.5)
    assert pair.notes == ("1 of 1 found",)
    shown, scale = pixels_of(pair.target), 480 / 416
    inside, corner = (round(120 * scale), round(80 * scale)), (round(70 * scale), round(135 * scale))
    assert shown[inside].min() < 200
    assert shown[corner].min() > 250


def test_regions_are_compared_where_something_is_known_and_hatched_where_nothing_is() -> None:
    there, found = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    there[:, :120] = 1
    there[:, 360:] = 255
    found[:, :60] = 1
    found[:, 400:] = 1
    names = ("background", "road")
    answer = describe_prediction(SemanticMask(found, np.array([1], np.int64), None, SIZE), names)
    pair = draw_pair(plain(), RegionTarget(there), answer, names)
    assert pair.notes == ("16.7% of pixels wrong", "IoU of road 0.500")
    target = pixels_of(pair.target)
    assert target[:, 365:].mean() < 200
    assert target[120:, 130:350].mean() > 250


def test_regions_of_an_image_that_nobody_knows() -> None:
    answer = describe_prediction(SemanticMask(np.zeros(SIZE, np.uint8), np.zeros(0, np.int64), None, SIZE), NAMES)
    pair = draw_pair(plain(), RegionTarget(np.full(SIZE, 255, np.uint8)), answer, NAMES)
    assert pair.notes == ("nothing is known of this image",)


def test_classifier_shows_its_best_classes_and_the_right_one_however_far_behind() -> None:
    names = tuple("abcdefgh")
    found = Classification(np.arange(7, dtype=np.int64), np.linspace(0.2, 0.05, 7).astype(np.float32), image_size=SIZE)
    answer = describe_prediction(found, names)
    pair = draw_pair(plain(), ClassTarget(6), answer, names)
    assert pair.prediction is None
    assert [row.name for row in pair.classes] == ["a", "b", "c", "d", "e", "g"]
    assert [row.right for row in pair.classes] == [False] * 5 + [True]
    assert pair.classes[-1].probability == pytest.approx(0.05, abs=1e-6)
    absent = draw_pair(plain(), ClassTarget(7), answer, names)
    assert (absent.classes[-1].name, absent.classes[-1].probability) == ("h", None)
    assert len(draw_pair(plain(), ClassTarget(0), answer, names).classes) == 5


def test_photo_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(BrokenImage):
        draw_pair(plain()[:60], ClassTarget(0), {"image": {}, "predictions": []}, NAMES)
