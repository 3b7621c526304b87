"""Folders as annotation tools export them, found by what lies in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.datasets.opening import open_dataset
from models.datasets.samples import ClassTarget, DatasetError
from tests.unit.evaluation_files import objects, problems, write_numbers, write_photo, write_text

ROW = "0 0.5 0.5 0.2 0.5"
READ = [[40, 15, 60, 45]]
XML = (
    "<annotation><filename>a.jpg</filename><object><name>cat</name>"
    "<bndbox><xmin>41</xmin><ymin>16</ymin><xmax>60</xmax><ymax>45</ymax></bndbox></object></annotation>"
)
CVAT = '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version></annotations>'


def coco(file_name: str = "a.jpg") -> str:
    image = {"id": 1, "file_name": file_name, "height": 60, "width": 100}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [40, 15, 20, 30], "area": 600, "iscrowd": 0}
    return json.dumps({"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "cat"}]})


LAYOUTS: dict[str, dict[str, str]] = {
    "Roboflow, COCO": {
        "train/_annotations.coco.json": coco("b.jpg"),
        "train/b.jpg": "",
        "valid/_annotations.coco.json": coco(),
        "valid/a.jpg": "",
        "test/_annotations.coco.json": coco("c.jpg"),
        "test/c.jpg": "",
        "README.roboflow.txt": "pets",
    },
    "Roboflow, VOC": {"train/b.jpg": "", "train/b.xml": XML, "valid/a.jpg": "", "valid/a.xml": XML},
    "Roboflow, YOLO": {
        "data.yaml": "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 1\nnames: ['cat']\n",
        "train/images/b.jpg": "",
        "train/labels/b.txt": ROW,
        "valid/images/a.jpg": "",
        "valid/labels/a.txt": ROW,
        "README.dataset.txt": "pets",
    },
    "Roboflow, YOLO, test alone": {"data.yaml": "names: [cat]\n", "test/images/a.jpg": "", "test/labels/a.txt": ROW},
    "Roboflow, CSV": {
        "valid/a.jpg": "",
        "valid/_annotations.csv": "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,100,60,cat,40,15,60,45\n",
        "train/_annotations.csv": "filename,width,height,class,xmin,ymin,xmax,ymax\n",
    },
    "CVAT, COCO": {"annotations/instances_default.json": coco(), "images/a.jpg": ""},
    "CVAT, COCO, subsets": {
        "annotations/instances_train.json": coco("b.jpg"),
        "annotations/instances_val.json": coco(),
        "images/a.jpg": "",
        "images/b.jpg": "",
    },
    "CVAT, YOLO 1.1": {
        "obj.data": "classes = 1\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n",
        "obj.names": "cat\n",
        "train.txt": "data/obj_train_data/a.jpg\n",
        "obj_train_data/a.jpg": "",
        "obj_train_data/a.txt": ROW,
    },
    "CVAT, YOLO 1.1, subsets": {
        "obj.data": "classes = 1\ntrain = data/train.txt\nvalid = data/valid.txt\nnames = data/obj.names\n",
        "obj.names": "cat\n",
        "train.txt": "data/obj_train_data/b.jpg\n",
        "valid.txt": "data/obj_valid_data/a.jpg\n",
        "obj_train_data/b.jpg": "",
        "obj_valid_data/a.jpg": "",
        "obj_valid_data/a.txt": ROW,
    },
    "CVAT, Ultralytics YOLO": {
        "data.yaml": "path: .\ntrain: train.txt\nnames:\n  0: cat\n",
        "train.txt": "data/images/train/a.jpg\n",
        "images/train/a.jpg": "",
        "labels/train/a.txt": ROW,
    },
    "CVAT, VOC": {
        "Annotations/a.xml": XML,
        "JPEGImages/a.jpg": "",
        "ImageSets/Main/default.txt": "a\n",
        "labelmap.txt": "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:128,0,0::\n",
    },
    "Label Studio, YOLO": {
        "classes.txt": "cat\n",
        "notes.json": '{"categories": [{"id": 0, "name": "cat"}], "info": {"year": 2026}}',
        "images/a.jpg": "",
        "labels/a.txt": ROW,
    },
    "Label Studio, YOLO without classes.txt": {
        "notes.json": '{"categories": [{"id": 0, "name": "cat"}]}',
        "images/a.jpg": "",
        "labels/a.txt": ROW,
    },
    "Label Studio, COCO": {"result.json": coco("images/a.jpg"), "images/a.jpg": ""},
    "Label Studio, VOC": {"Annotations/a.xml": XML, "images/a.jpg": ""},
    "LabelImg, VOC beside the photos": {"a.jpg": "", "a.xml": XML},
    "LabelImg, VOC, lower case": {"images/a.jpg": "", "annotations/a.xml": XML},
    "LabelImg, YOLO beside the photos": {"a.jpg": "", "a.txt": ROW, "classes.txt": "cat\n"},
    "LabelImg, YOLO in labels": {"images/a.jpg": "", "labels/a.txt": ROW, "labels/classes.txt": "cat\n"},
    "darknet": {
        "coco.names": "cat\n",
        "pets.data": "classes=1\ntrain=/home/x/train.txt\nvalid = /home/x/test.txt\nnames = data/coco.names\n",
        "test.txt": "/home/x/JPEGImages/a.jpg\n",
        "JPEGImages/a.jpg": "",
        "labels/a.txt": ROW,
    },
    "VOC, splits within": {
        "images/train/b.jpg": "",
        "annotations/train/b.xml": XML,
        "images/val/a.jpg": "",
        "annotations/val/a.xml": XML,
    },
    "darknet, lists beside the photos": {
        "obj.names": "cat\n",
        "obj.data": "names = obj.names\nvalid = some.txt\n",
        "some.txt": "a.jpg\n",
        "a.jpg": "",
        "a.txt": ROW,
    },
    "Ultralytics, coco128": {
        "coco128.yaml": "path: ../datasets/coco128\ntrain: images/train2017\nval: images/val2017\nnames: {0: cat}\n",
        "images/val2017/a.jpg": "",
        "labels/val2017/a.txt": ROW,
    },
}


def write_layout(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        if name.endswith(".jpg"):
            write_photo(folder / name)
        else:
            write_text(folder / name, text)
    return folder


@pytest.mark.parametrize("tool", LAYOUTS)
def test_the_layout_of_a_tool_is_found_by_its_folder(tmp_path: Path, tool: str) -> None:
    data = open_dataset(str(write_layout(tmp_path / "pets", LAYOUTS[tool])), "detection")
    assert (len(data), problems(data), data.class_names) == (1, [], ("cat",))
    assert (Path(data.load(0).name).name, objects(data, 0).boxes.tolist()) == ("a.jpg", READ)


@pytest.mark.parametrize("tool", ["Roboflow, YOLO", "Roboflow, VOC", "Roboflow, COCO"])
def test_a_split_is_named_by_its_folder(tmp_path: Path, tool: str) -> None:
    folder = write_layout(tmp_path / "pets", LAYOUTS[tool])
    data = open_dataset(str(folder / "train"), "detection")
    assert (len(data), Path(data.load(0).name).name, data.class_names) == (1, "b.jpg", ("cat",))


def test_key_points_are_known_for_a_split_that_is_named_by_its_folder(tmp_path: Path) -> None:
    files = dict(LAYOUTS["Roboflow, YOLO"])
    files["data.yaml"] += "kpt_shape: [2, 2]\n"
    files["train/labels/b.txt"] = f"{ROW} 0.45 0.45 0.55 0.55"
    data = open_dataset(str(write_layout(tmp_path, files) / "train"), "detection")
    assert (problems(data), objects(data, 0).boxes.tolist()) == ([], READ)


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        (["LabelImg, VOC, lower case", "Label Studio, YOLO"], ["voc:", "yolo:"]),
        (["CVAT, COCO", "Ultralytics, coco128"], ["annotations/instances_default.json: coco:", "yolo:"]),
        (["LabelImg, VOC beside the photos", "LabelImg, YOLO beside the photos"], ["voc:", "yolo:"]),
    ],
)
def test_two_formats_in_a_folder_are_named_and_one_of_them_is_chosen(
    tmp_path: Path, tools: list[str], said: list[str]
) -> None:
    for tool in tools:
        write_layout(tmp_path, LAYOUTS[tool])
    with pytest.raises(DatasetError, match="holds labels in 2 places; name one of them") as error:
        open_dataset(str(tmp_path), "detection")
    assert all(text in str(error.value) for text in said)
    for name in [text.rpartition(" ")[2].rstrip(":") for text in said]:
        assert objects(open_dataset(f"{name}:{tmp_path}", "detection"), 0).boxes.tolist() == READ


def test_two_files_of_one_split_are_named(tmp_path: Path) -> None:
    write_layout(tmp_path, {"annotations/instances_val2014.json": coco(), "annotations/instances_val2017.json": coco()})
    message = r"annotations/instances_val2014.json: coco:.*; annotations/instances_val2017.json: coco:"
    with pytest.raises(DatasetError, match=message):
        open_dataset(str(tmp_path), "detection")
    with pytest.raises(DatasetError, match=r"annotations/instances_val2014.json, .*val2017.json; name one of them"):
        open_dataset(f"coco:{tmp_path}", "detection")


def test_a_format_that_cannot_be_measured_on_is_no_rival(tmp_path: Path) -> None:
    write_layout(tmp_path, LAYOUTS["LabelImg, VOC, lower case"])
    write_numbers(tmp_path / "labels" / "a.png", [[1] * 100] * 60)
    assert len(open_dataset(str(tmp_path), "instance")) == 1
    with pytest.raises(DatasetError, match=r"name one of them: .*voc:.*masks:"):
        open_dataset(str(tmp_path), "detection")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"annotations.xml": CVAT, "images/a.jpg": ""}, "CVAT's own format: export COCO 1.0"),
        ({"train/a.jpg": "", "train/_classes.csv": "filename, cat, dog\na.jpg, 1, 0\n"}, "a column for every class"),
        ({"VOC2007/Annotations/a.xml": XML, "VOC2007/JPEGImages/a.jpg": ""}, r"name one of .*VOC2007"),
        ({"train/_annotations.coco.json": coco(), "train/a.jpg": ""}, r"name one of .*train"),
        ({"annotations/instances_train.json": coco(), "images/a.jpg": ""}, r"name one of .*instances_train.json"),
        ({"labels_my.json": coco(), "a.jpg": ""}, r"name one of .*labels_my.json"),
        (
            {"a.yaml": "names: [cat]\n", "b.yaml": "names: [dog]\n", "images/a.jpg": "", "labels/a.txt": ROW},
            r"2 files of settings; name one of .*a.yaml, .*b.yaml",
        ),
        ({"notes.txt": ""}, "holds no labels that are known; data can be digits"),
    ],
)
def test_what_is_not_read_says_what_to_name_or_to_export(tmp_path: Path, files: dict[str, str], said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        open_dataset(str(write_layout(tmp_path, files)), "detection")


@pytest.mark.parametrize("split", ["val", "valid", "test"])
def test_a_split_of_folders_by_class_is_no_class(tmp_path: Path, split: str) -> None:
    files = {f"{place}/{name}/{name}.jpg": "" for place in ("train", split) for name in ("cat", "dog")}
    data = open_dataset(str(write_layout(tmp_path, files)), "classification")
    assert (data.class_names, len(data)) == (("cat", "dog"), 2)
    target = data.load(0).target
    assert isinstance(target, ClassTarget) and target.class_id == 0
