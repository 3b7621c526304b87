"""A card has what the file says and what the user adds, and asks for what neither says."""

from dataclasses import replace
from pathlib import Path

import pytest

from models.entries import LetterboxPreprocessing, Preprocessing
from models.errors import OpenQuestion, UnusableModel
from models.importing.card import NORMALISATIONS, CardOptions, card_of
from models.importing.found import FoundModel

FILE = Path("best.onnx")
UNIT = NORMALISATIONS["0 to 1"]
YOLO = FoundModel(
    "onnx",
    "onnx",
    ("detection",),
    ("yolov8",),
    class_count=2,
    class_names=("cat", "dog"),
    input_size=(640, 640),
    normalisation=UNIT,
)
CLASSIFIER = replace(YOLO, kinds=("classification",), outputs=("logits",), input_size=(224, 224))
NAMED = CardOptions("pets")


def test_fixed_square_input_is_padded_to_the_full_square():
    entry = card_of(FILE, YOLO, NAMED)
    assert entry.preprocessing == LetterboxPreprocessing(640, 640, *UNIT, stride=640, antialias=False)
    assert (entry.name, entry.version, entry.task, entry.outputs) == ("pets", "1", "detection", "yolov8")
    assert (entry.architecture, entry.class_names, entry.licence) == ("onnx", ("cat", "dog"), "unknown")


def test_input_of_any_size_has_the_usual_side_unless_the_user_names_one():
    found = replace(YOLO, input_size=None, stride=32)
    assert card_of(FILE, found, NAMED).preprocessing.largest_size == (640, 640)
    smaller = card_of(FILE, found, replace(NAMED, size=320)).preprocessing
    assert isinstance(smaller, LetterboxPreprocessing)
    assert (smaller.long_side, smaller.stride) == (320, 32)
    with pytest.raises(UnusableModel, match="multiple of its stride, 32, not 300"):
        card_of(FILE, found, replace(NAMED, size=300))


def test_classifier_is_resized_and_cropped():
    entry = card_of(FILE, CLASSIFIER, NAMED)
    assert entry.preprocessing == Preprocessing(256, 224, "bilinear", *UNIT)


def test_preprocessing_of_the_file_is_kept_whole():
    own = Preprocessing(232, 224, "bicubic", (1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    assert card_of(FILE, replace(CLASSIFIER, preprocessing=own), NAMED).preprocessing == own


def test_network_without_duplicates_has_no_suppression_by_default():
    assert card_of(FILE, replace(YOLO, outputs=("end-to-end",)), NAMED).defaults["iou_threshold"] == 1.0
    assert card_of(FILE, YOLO, NAMED).defaults["iou_threshold"] == 0.5


def test_what_the_user_says_goes_before_what_the_file_says():
    options = CardOptions(
        "pets@3", None, ("a", "b"), NORMALISATIONS["imagenet"], "yolov5", None, "bgr", "MIT", "Finds pets."
    )
    entry = card_of(FILE, YOLO, options)
    assert (entry.version, entry.class_names, entry.outputs) == ("3", ("a", "b"), "yolov5")
    assert entry.image_preprocessing.mean == NORMALISATIONS["imagenet"][0]
    assert (entry.arguments, entry.licence, entry.weights.licence) == ({"channels": "bgr"}, "MIT", "MIT")
    assert entry.description == "Finds pets."


@pytest.mark.parametrize(
    ("missing", "option"),
    [
        ({"kinds": ("instance", "semantic")}, "--task"),
        ({"kinds": ()}, "--task"),
        ({"outputs": ()}, "--layout"),
        ({"class_names": None}, "--classes"),
        ({"normalisation": None}, "--mean"),
        ({"architecture": None, "format": "checkpoint"}, "--architecture"),
    ],
)
def test_what_nobody_says_is_a_question_that_names_its_option(missing, option):
    with pytest.raises(OpenQuestion) as caught:
        card_of(FILE, replace(YOLO, **missing), NAMED)
    assert caught.value.option == option
    assert option in str(caught.value)


def test_task_of_segmentation_is_enough_where_one_kind_of_it_fits():
    found = replace(YOLO, kinds=("detection", "instance"), outputs=("yolov8", "yolov8-segmentation"))
    entry = card_of(FILE, found, replace(NAMED, task="segmentation"))
    assert (entry.kind, entry.outputs) == ("instance", "yolov8-segmentation")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"class_names": ("a",)}, "has 2 classes, and --classes names 1"),
        ({"layout": "yolo"}, "--layout must be one of logits, "),
        ({"layout": "logits", "task": "detection"}, "is for classification, not for detection"),
        ({"task": "pose"}, "--task must be one of classification, detection, "),
        ({"task": "semantic"}, "looks like detection, not semantic"),
        ({"size": 320}, "takes images of 640 x 640 pixels only, not of --size 320"),
    ],
)
def test_contradictions_of_user_and_file_are_one_clear_line(options, problem):
    with pytest.raises(UnusableModel, match=problem):
        card_of(FILE, YOLO, replace(NAMED, **options))


def test_input_that_is_no_square_is_refused():
    with pytest.raises(UnusableModel, match="takes images of 480 x 640 pixels only"):
        card_of(FILE, replace(YOLO, input_size=(480, 640)), NAMED)
