"""Recognising what an ONNX file returns, by its shapes, names and metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.errors import UnusableModel
from models.importing.onnx_file import IMAGENET, inspect_onnx
from models.outputs.layouts import LAYOUTS
from tests.unit.importing.onnx_graphs import FLOAT, INT32, INT64, UINT8, constant, helper, value, write

UNIT = ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0))
BYTES = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
ANY = ("N", 3, "height", "width")


@pytest.mark.parametrize(
    ("outputs", "options", "layouts", "class_count"),
    [
        ({"out": ("N", 1000)}, {}, ["logits", "probabilities"], 1000),
        ({"out": ("N", 1000)}, {"operator": "Softmax"}, ["probabilities"], 1000),
        ({"out": ("N", 1000)}, {"operator": "LogSoftmax"}, ["logits"], 1000),
        ({"out": ("N", 10, 1, 1)}, {"operator": "Softmax"}, ["probabilities"], 10),
        ({"out": ("N", 21, "h", "w"), "aux": ("N", 21, "h", "w")}, {}, ["class-logits"], 21),
        ({"out": ("N", 21, 640, 640)}, {"operator": "Softmax"}, ["class-probabilities"], 21),
        ({"out": ("N", 1, 640, 640)}, {}, ["class-logits"], 2),
        ({"out": ("N", 1, 640, 640)}, {"operator": "Sigmoid"}, ["class-probabilities"], 2),
        ({"out": ("N", 640, 640)}, {"types": {"out": INT64}}, ["class-map"], None),
        ({"out": ("N", 1, 640, 640)}, {"types": {"out": INT64}}, ["class-map"], None),
        ({"out": ("N", 640, 640)}, {"operator": "ArgMax"}, ["class-map"], None),
        ({"output": (1, 25200, 85)}, {}, ["yolov5"], 80),
        ({"output": (1, 25200, 6)}, {}, ["yolov5"], 1),
        ({"output": (1, 102000, 85)}, {"image": (1, 3, 1280, 1280)}, ["yolov5"], 80),
        ({"output": (1, 25200, 85), "a": (1, 3, 80, 80, 85), "b": (1, 3, 40, 40, 85)}, {}, ["yolov5"], 80),
        ({"output": (1, 8400, 85)}, {}, ["yolox", "yolov5"], 80),
        ({"output0": (1, 84, 8400)}, {}, ["yolov8"], 80),
        ({"output0": (1, 5, 8400)}, {}, ["yolov8"], 1),
        ({"output0": ("N", 84, "anchors")}, {"image": ANY}, ["yolov8"], 80),
        ({"output": ("N", "anchors", 85)}, {"image": ANY}, ["yolov5", "yolox", "rt-detr-rows"], 80),
        ({"output0": (1, 300, 6)}, {}, ["end-to-end"], None),
        ({"output0": (1, "K", 6)}, {}, ["end-to-end", "yolov5", "yolox"], None),
        ({"output0": (1, "K", 6)}, {"metadata": {"end2end": "True"}}, ["end-to-end"], None),
        ({"output0": (1, 300, 84)}, {}, ["rt-detr-rows"], 80),
        ({"a": (1, 85, 80, 80), "b": (1, 85, 40, 40), "c": (1, 85, 20, 20)}, {}, ["yolox-maps"], 80),
        ({"logits": ("N", 100, 92), "pred_boxes": ("N", 100, 4)}, {"image": ANY}, ["detr", "rt-detr"], 91),
        ({"logits": ("N", 300, 80), "pred_boxes": ("N", 300, 4)}, {}, ["rt-detr", "detr"], 80),
        ({"logits": ("N", 300, 4), "pred_boxes": ("N", 300, 4)}, {}, ["rt-detr", "detr"], 4),
        ({"dets": (1, 300, 4), "labels": (1, 300, 91)}, {}, ["rt-detr", "detr"], 91),
        (
            {"labels": ("N", 300), "boxes": ("N", 300, 4), "scores": ("N", 300)},
            {"types": {"labels": INT64}, "inputs": [value("orig_target_sizes", ("N", 2), INT64)]},
            ["labels-boxes-scores"],
            None,
        ),
        ({"dets": ("N", "K", 5), "labels": ("N", "K")}, {"types": {"labels": INT64}}, ["mmdeploy"], None),
        ({"boxes": ("K", 4), "labels": ("K",), "scores": ("K",)}, {"types": {"labels": INT64}}, ["torchvision"], None),
        (
            {"boxes": ("K", 4), "labels": ("K",), "scores": ("K",), "masks": ("K", 1, "h", "w")},
            {"types": {"labels": INT64}},
            ["torchvision-masks"],
            None,
        ),
        (
            {"num_dets": (1, 1), "det_boxes": (1, 100, 4), "det_scores": (1, 100), "det_classes": (1, 100)},
            {"types": {"num_dets": INT32, "det_classes": INT32}},
            ["efficient-nms"],
            None,
        ),
        ({"output0": (1, 116, 8400), "output1": (1, 32, 160, 160)}, {}, ["yolov8-segmentation"], 80),
        ({"output0": (1, 300, 38), "output1": (1, 32, 160, 160)}, {}, ["end-to-end-segmentation"], None),
    ],
)
def test_layouts_that_fit(
    tmp_path: Path, outputs: dict[str, Any], options: dict[str, Any], layouts: list[str], class_count: int | None
):
    found = inspect_onnx(write(tmp_path, outputs, **options))
    assert (list(found.outputs), found.class_count) == (layouts, class_count)
    assert found.kinds == tuple(dict.fromkeys(LAYOUTS[layout].kind for layout in layouts))
    assert any(all(layout in line for layout in layouts) for line in found.evidence)


def test_number_of_class_names_decides_between_layouts(tmp_path: Path):
    outputs = {"logits": ("N", 100, 6), "pred_boxes": ("N", 100, 4)}
    path = write(tmp_path, outputs, metadata={"names": "a,b,c,d,e"})
    assert inspect_onnx(path).outputs == ("detr",)
    assert inspect_onnx(path, class_names="abcdef").outputs == ("rt-detr",)


def test_layout_that_the_user_names_decides(tmp_path: Path):
    path = write(tmp_path, {"output": (1, 8400, 85)})
    found = inspect_onnx(path, "yolov5")
    assert (found.outputs, found.channels, found.normalisation) == (("yolov5",), "rgb", UNIT)
    with pytest.raises(UnusableModel, match=r"does not fit the layout detr: its outputs are output \(1, 8400, 85\)"):
        inspect_onnx(path, "detr")
    with pytest.raises(UnusableModel, match="there is no layout 'yolov99'; the layouts are logits, probabilities"):
        inspect_onnx(path, "yolov99")


def test_layout_that_the_user_names_is_taken_where_shapes_are_unknown(tmp_path: Path):
    path = write(tmp_path, {"output": ("a", "b", "c"), "further": ("a", "b", "c")})
    found = inspect_onnx(path, "detr", class_names=("person",))
    assert (found.outputs, found.class_count) == (("detr",), 1)


ULTRALYTICS = {
    "description": "Ultralytics YOLO11n model trained on coco.yaml",
    "author": "Ultralytics",
    "stride": "32",
    "task": "detect",
    "imgsz": "[640, 640]",
    "names": "{0: 'person', 1: \"driver's seat\"}",
    "args": "{'batch': 1, 'half': False, 'nms': False}",
}


def test_metadata_of_ultralytics(tmp_path: Path):
    found = inspect_onnx(write(tmp_path, {"output0": ("N", 6, "anchors")}, image=ANY, metadata=ULTRALYTICS))
    assert found.class_names == ("person", "driver's seat")
    assert (found.stride, found.input_size, found.usual_size) == (32, None, (640, 640))
    assert (found.kinds, found.outputs, found.class_count) == (("detection",), ("yolov8",), 2)
    assert (found.normalisation, found.channels, found.keep_aspect) == (UNIT, "rgb", True)
    assert "metadata 'names': 2 class names" in found.evidence


def test_classifier_of_ultralytics_takes_pixels_from_zero_to_one(tmp_path: Path):
    metadata = {**ULTRALYTICS, "task": "classify", "imgsz": "[224, 224]"}
    path = write(tmp_path, {"output0": (1, 2)}, image=(1, 3, 224, 224), operator="Softmax", metadata=metadata)
    found = inspect_onnx(path)
    assert (found.outputs, found.normalisation) == (("probabilities",), UNIT)


def test_export_of_ultralytics_with_nms(tmp_path: Path):
    metadata = {**ULTRALYTICS, "args": "{'nms': True}"}
    assert inspect_onnx(write(tmp_path, {"output0": (1, "K", 6)}, metadata=metadata)).outputs == ("end-to-end",)


@pytest.mark.parametrize("task", ["pose", "obb"])
def test_tasks_of_ultralytics_that_are_not_served(tmp_path: Path, task: str):
    path = write(tmp_path, {"output0": (1, 56, 8400)}, metadata={**ULTRALYTICS, "task": task})
    with pytest.raises(UnusableModel, match=f"is for the task '{task}' of Ultralytics, which is not supported"):
        inspect_onnx(path)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("names", "['cat', 'dog']"),
        ("names", '{"0": "cat", "1": "dog"}'),
        ("class_names", "cat, dog"),
        ("classes", "cat\ndog\n"),
        ("labels", '["cat", "dog"]'),
        ("id2label", "{1: 'dog', 0: 'cat'}"),
        ("classes", "{'dog': 1, 'cat': 0}"),
    ],
)
def test_class_names_in_metadata(tmp_path: Path, key: str, text: str):
    found = inspect_onnx(write(tmp_path, {"out": ("N", 2)}, metadata={key: text}))
    assert found.class_names == ("cat", "dog")


def test_metadata_is_never_run(tmp_path: Path):
    text = f"__import__('pathlib').Path({str(tmp_path / 'ran')!r}).touch()"
    with pytest.raises(UnusableModel):
        inspect_onnx(write(tmp_path, {"out": ("N", 7)}, metadata={"names": text}))
    assert not (tmp_path / "ran").exists()


def test_class_names_must_count_up_from_zero(tmp_path: Path):
    path = write(tmp_path, {"out": ("N", 2)}, metadata={"names": "{1: 'cat', 2: 'dog'}"})
    with pytest.raises(UnusableModel, match=r"2 class names that do not count up from 0: 0 is missing.*--classes"):
        inspect_onnx(path)
    assert inspect_onnx(path, class_names=("cat", "dog")).class_names == ("cat", "dog")


def test_two_names_of_one_class_do_not_count_up(tmp_path: Path):
    path = write(tmp_path, {"out": ("N", 2)}, metadata={"names": "{'cat': 0, 'dog': 0}"})
    with pytest.raises(UnusableModel, match="do not count up from 0: 1 is missing"):
        inspect_onnx(path)


def test_mean_and_std_of_unknown_scale_are_not_read(tmp_path: Path):
    metadata = {"mean": "[0.1, 0.1, 0.1]", "std": "[0.5, 0.5, 0.5]", "layout": "NCHW", "stride": "-3"}
    found = inspect_onnx(write(tmp_path, {"out": ("N", 2)}, metadata=metadata))
    assert (found.normalisation, found.stride) == (IMAGENET, None)


def test_class_names_must_be_as_many_as_the_outputs_have_classes(tmp_path: Path):
    path = write(tmp_path, {"output0": (1, 84, 8400)}, metadata=ULTRALYTICS)
    with pytest.raises(UnusableModel, match=r"has 2 class names, and 80 classes by its outputs, output0 \(1, 84,"):
        inspect_onnx(path)
    with pytest.raises(UnusableModel, match="has 3 class names, and 80 classes"):
        inspect_onnx(path, class_names="abc")


def test_unfamiliar_outputs_are_listed_with_the_layouts_that_exist(tmp_path: Path):
    with pytest.raises(UnusableModel) as caught:
        inspect_onnx(write(tmp_path, {"heat": (1, 3, 4, 5, 6)}))
    text = str(caught.value)
    assert "has outputs of no known layout: heat (1, 3, 4, 5, 6)" in text
    assert all(name in text for name in LAYOUTS)
    assert "\n" not in text


def test_yolo_nas_is_not_taken_for_a_transformer(tmp_path: Path):
    with pytest.raises(UnusableModel, match="no known layout"):
        inspect_onnx(write(tmp_path, {"boxes": (1, 8400, 4), "scores": (1, 8400, 80)}))


@pytest.mark.parametrize(
    ("outputs", "options", "expected"),
    [
        ({"out": ("N", 1000)}, {}, (IMAGENET, "rgb", True)),
        ({"out": ("N", 1000)}, {"image_type": UINT8, "image": ("N", 224, 224, 3)}, (BYTES, "rgb", True)),
        ({"output": (1, 8400, 85)}, {}, (BYTES, "bgr", True)),
        ({"output": (1, 25200, 85)}, {}, (UNIT, "rgb", True)),
        ({"logits": ("N", 100, 92), "pred_boxes": ("N", 100, 4)}, {}, (IMAGENET, "rgb", True)),
        ({"logits": ("N", 300, 80), "pred_boxes": ("N", 300, 4)}, {}, (UNIT, "rgb", False)),
        ({"dets": (1, 300, 4), "labels": (1, 300, 91)}, {}, (IMAGENET, "rgb", False)),
    ],
)
def test_usual_preprocessing_by_layout(tmp_path: Path, outputs: dict[str, Any], options: dict[str, Any], expected: Any):
    found = inspect_onnx(write(tmp_path, outputs, **options))
    assert (found.normalisation, found.channels, found.keep_aspect) == expected


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([("Sub", MEAN), ("Div", STD)], UNIT),
        ([("Div", (255,)), ("Sub", MEAN), ("Div", STD)], BYTES),
        ([("Sub", (123.675, 116.28, 103.53)), ("Mul", (1 / 58.4, 1 / 57.1, 1 / 57.4))], BYTES),
        ([("Sub", (103.9, 116.8, 123.7))], BYTES),
        ([("Mul", (2.0,)), ("Sub", (1.0,))], UNIT),
        ([("Div", (255.0,))], BYTES),
        ([("Cast", ()), ("Add", (-127.0,)), ("Mul", (1 / 128,))], BYTES),
    ],
)
def test_normalisation_at_the_start_of_the_graph(tmp_path: Path, steps: list[tuple[str, Any]], expected: Any):
    nodes: list[Any] = []
    for index, (operator, numbers) in enumerate(steps):
        inputs = [f"x{index}" if index else "images", *([f"c{index}"] if numbers else [])]
        options: dict[str, Any] = {} if numbers else {"to": FLOAT}
        nodes.append(helper.make_node(operator, inputs, [f"x{index + 1}"], **options))
    constants = [constant(f"c{index}", numbers) for index, (_, numbers) in enumerate(steps) if numbers]
    found = inspect_onnx(write(tmp_path, {"out": ("N", 10)}, first=nodes, constants=constants))
    assert found.normalisation == expected
    assert any("in the graph" in line for line in found.evidence)


def test_convolution_at_the_start_is_no_normalisation(tmp_path: Path):
    nodes = [helper.make_node("Conv", ["images", "w"], ["x"]), helper.make_node("Sub", ["x", "c"], ["y"])]
    constants = [constant("w", [0.5] * 27, (1, 3, 3, 3)), constant("c", MEAN)]
    found = inspect_onnx(write(tmp_path, {"out": ("N", 10)}, first=nodes, constants=constants))
    assert found.normalisation == IMAGENET
