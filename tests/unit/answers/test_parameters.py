"""What a model is told: defaults filled in, class names turned into ids."""

from __future__ import annotations

import pytest

from models.parameters import ClassificationParameters, DetectionParameters, SegmentationParameters
from services.kinds.completion import BackgroundAsked, UnknownClasses, complete, find_classes

ANIMALS = ("cat", "dog", "crane", "crane", "2")


def test_what_a_request_sets_goes_before_the_models_default_and_that_before_the_tasks():
    given = {"score_threshold": 0.9, "iou_threshold": None}
    assert complete("detection", given, {"score_threshold": 0.3, "iou_threshold": 0.65}, ANIMALS) == (
        DetectionParameters(score_threshold=0.9, iou_threshold=0.65, max_detections=100)
    )
    assert complete("classification", {}, {"top_k": 3}, ANIMALS) == ClassificationParameters(3)


@pytest.mark.parametrize(
    ("wanted", "class_ids"),
    [
        (["dog", "cat"], (0, 1)),
        (["cat", "cat", 0, "0"], (0,)),
        (["crane"], (2, 3)),
        (["2"], (4,)),
        ([2], (2,)),
        (["3", 0], (0, 3)),
        ([0, 1, 2, 3, 4], None),
    ],
    ids=["any order", "once", "both of a name", "a name before an id", "an id", "digits", "all are none"],
)
def test_classes_are_found_by_name_or_id(wanted: list[str | int], class_ids: tuple[int, ...] | None):
    assert find_classes(wanted, ANIMALS) == class_ids


@pytest.mark.parametrize("wrong", ["dgo", "Dog", "", "5", 5, -1, "-1", "²", "9" * 5000, 10**30])
def test_class_that_is_not_there_is_named(wrong: str | int):
    with pytest.raises(UnknownClasses) as caught:
        find_classes(["cat", wrong], ANIMALS)
    assert (caught.value.unknown, caught.value.known) == ((wrong,), ANIMALS)
    assert str(caught.value).endswith("; it has cat, dog, crane, crane, 2")


def test_value_out_of_range_is_refused():
    with pytest.raises(ValueError, match="max_detections"):
        complete("detection", {"max_detections": 0}, {}, ANIMALS)


def test_parameters_that_say_nothing_to_a_segmenter_make_no_difference():
    given = {"score_threshold": 0.9, "max_detections": 3, "probabilities": True, "mask_format": "png"}
    semantic = complete("semantic", given, {}, ("background", "cat"))
    instance = complete("instance", given, {"score_threshold": 0.3}, ("cat",))
    assert semantic == SegmentationParameters(probabilities=True, mask_format="png")
    assert instance == SegmentationParameters(score_threshold=0.9, max_detections=3, mask_format="png")


def test_background_is_none_of_the_classes():
    names = ("background", "cat", "dog")
    assert find_classes(["dog"], names, has_background=True) == (2,)
    assert find_classes(["cat", 2], names, has_background=True) is None, "all that there are"
    for wanted in (["background"], [0], ["cat", "0"]):
        with pytest.raises(BackgroundAsked) as caught:
            find_classes(wanted, names, has_background=True)
        assert (caught.value.unknown, caught.value.known) == (("background",), ("cat", "dog"))
    with pytest.raises(UnknownClasses) as caught:
        find_classes(["background", "cow"], names, has_background=True)
    assert (caught.value.unknown, caught.value.known) == (("cow",), ("cat", "dog"))
