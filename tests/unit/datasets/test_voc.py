"""Pascal VOC folders: boxes that count from 1, difficult objects, and masks in pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.datasets.opening import open_dataset
from models.datasets.samples import DatasetError
from models.datasets.xml_lines import read_xml
from tests.unit.evaluation_files import class_map, objects, problems, write_numbers, write_photo, write_text

CAT = """  <object>
    <name>cat</name><difficult>0</difficult>
    <bndbox><xmin>11</xmin><ymin>21</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>
  </object>
"""


def write_annotation(folder: Path, stem: str, inside: str) -> None:
    text = (
        f"<annotation>\n  <size><width>100</width><height>60</height><depth>3</depth></size>\n{inside}</annotation>\n"
    )
    write_text(folder / "Annotations" / f"{stem}.xml", text)
    write_photo(folder / "JPEGImages" / f"{stem}.jpg")


def test_boxes_count_pixels_from_one_and_include_the_last(tmp_path: Path) -> None:
    write_annotation(tmp_path / "VOC", "000001", CAT)
    data = open_dataset(str(tmp_path / "VOC"), "detection")
    target = objects(data, 0)
    assert target.boxes.tolist() == [[10, 20, 30, 40]]
    assert (target.areas.tolist(), target.crowds.tolist()) == ([400], [False])
    assert (data.name, data.class_names, data.load(0).name) == ("VOC", ("cat",), "JPEGImages/000001.jpg")


def test_difficult_objects_are_crowds(tmp_path: Path) -> None:
    write_annotation(tmp_path, "a", CAT + CAT.replace(">0<", ">1<").replace("cat", "bird"))
    data = open_dataset(str(tmp_path), "detection")
    assert data.class_names == ("bird", "cat")
    assert (objects(data, 0).class_ids.tolist(), objects(data, 0).crowds.tolist()) == ([1, 0], [False, True])


def test_the_list_of_the_val_split_is_preferred(tmp_path: Path) -> None:
    for stem in ("a", "b", "c"):
        write_annotation(tmp_path / "VOC", stem, CAT)
    write_text(tmp_path / "VOC" / "ImageSets" / "Main" / "test.txt", "a\nb\n")
    assert len(open_dataset(str(tmp_path / "VOC"), "detection")) == 2
    write_text(tmp_path / "VOC" / "ImageSets" / "Main" / "val.txt", "c 1\nc 1\nd 1\n")
    data = open_dataset(str(tmp_path / "VOC"), "detection")
    assert (data.name, len(data), data.load(0).name) == ("VOC/val", 1, "JPEGImages/c.jpg")
    assert problems(data) == [("duplicate", 2), ("missing_file", 3)]


@pytest.mark.parametrize(
    ("wrong", "kind", "line"),
    [
        (CAT.replace("30", "11").replace("11</xmax>", "10</xmax>"), "zero_area", 7),
        (CAT.replace(">11<", ">111<").replace(">30<", ">130<"), "outside_image", 7),
        (CAT.replace(">11<", ">x<"), "bad_number", 7),
        (CAT.replace(">11<", ">nan<"), "bad_number", 7),
        (CAT.replace("<xmin>11</xmin>", ""), "bad_number", 7),
        (CAT.replace("cat", ""), "unknown_class", 7),
    ],
)
def test_a_wrong_object_is_left_out_with_its_line(tmp_path: Path, wrong: str, kind: str, line: int) -> None:
    write_annotation(tmp_path, "a", CAT + wrong)
    data = open_dataset(str(tmp_path), "detection")
    assert problems(data) == [(kind, line)]
    assert objects(data, 0).boxes.tolist() == [[10, 20, 30, 40]]


def test_photos_whose_file_is_wrong_are_left_out(tmp_path: Path) -> None:
    for stem in ("good", "broken", "other", "unlabelled"):
        write_annotation(tmp_path, stem, CAT)
    (tmp_path / "Annotations" / "broken.xml").write_text("<annotation>")
    (tmp_path / "Annotations" / "unlabelled.xml").unlink()
    (tmp_path / "JPEGImages" / "good.jpg").replace(tmp_path / "JPEGImages" / "good.jpg")
    write_photo(tmp_path / "JPEGImages" / "other.jpg", 61, 100)
    data = open_dataset(str(tmp_path), "detection")
    assert [data.load(index).name for index in range(len(data))] == ["JPEGImages/good.jpg"]
    assert problems(data) == [("unreadable", None), ("wrong_size", 2), ("no_label", None)]
    assert "says that its photo is 60 x 100 (height x width), and it is 61 x 100" in data.problems[1].message


def test_a_document_type_is_refused_before_its_entities_are_read(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>\n<annotation>&b;</annotation>'
    with pytest.raises(DatasetError, match="declares a document type"):
        read_xml(write_text(tmp_path / "a.xml", bomb))
    with pytest.raises(DatasetError, match="not XML"):
        read_xml(write_text(tmp_path / "a.xml", ""))


def write_masks(folder: Path) -> Path:
    """A dog (12) as object 1 and a person (15) as object 2, with a border that nobody knows."""
    write_photo(folder / "JPEGImages" / "a.jpg", 8, 10)
    classes = np.zeros((8, 10), np.uint8)
    classes[1:4, 1:5], classes[4, 1:5], classes[5:8, 2:9] = 12, 255, 15
    numbers = np.zeros((8, 10), np.uint8)
    numbers[1:4, 1:5], numbers[4, 1:5], numbers[5:8, 2:9] = 1, 255, 2
    write_numbers(folder / "SegmentationClass" / "a.png", classes)
    write_numbers(folder / "SegmentationObject" / "a.png", numbers)
    write_text(folder / "ImageSets" / "Segmentation" / "val.txt", "a\n")
    return folder


def test_class_pictures_are_read_for_semantic_models(tmp_path: Path) -> None:
    data = open_dataset(str(write_masks(tmp_path / "VOC")), "semantic")
    assert (data.name, len(data.class_names), data.class_names[12], data.class_names[15]) == (
        "VOC/val",
        21,
        "dog",
        "person",
    )
    pixels = class_map(data, 0)
    assert [int(pixels[row, 3]) for row in (0, 2, 4, 6)] == [0, 12, 255, 15]


def test_object_pictures_give_instances_of_their_classes(tmp_path: Path) -> None:
    data = open_dataset(str(write_masks(tmp_path)), "instance")
    target = objects(data, 0)
    assert [data.class_names[class_id] for class_id in target.class_ids] == ["dog", "person"]
    assert target.boxes.tolist() == [[1, 1, 5, 4], [2, 5, 9, 8]]
    assert target.areas.tolist() == [12, 21]
    assert target.masks is not None and [mask.area for mask in target.masks] == [12, 21]
    assert target.crowds.tolist() == [False, False]


def test_an_object_that_its_xml_file_calls_difficult_is_a_crowd(tmp_path: Path) -> None:
    write_masks(tmp_path)
    dog = CAT.replace("cat", "dog")
    person = CAT.replace("cat", "person").replace(">0<", ">1<")
    write_text(tmp_path / "Annotations" / "a.xml", f"<annotation>{dog}{person}</annotation>")
    assert objects(open_dataset(str(tmp_path), "instance"), 0).crowds.tolist() == [False, True]


def test_own_classes_are_named_by_a_file(tmp_path: Path) -> None:
    write_text(write_masks(tmp_path) / "classes.txt", "background\n" + "".join(f"class {n}\n" for n in range(1, 13)))
    data = open_dataset(str(tmp_path), "semantic")
    assert problems(data) == [("unknown_class", None)]
    assert int(class_map(data, 0)[6, 3]) == 255
    assert problems(open_dataset(str(tmp_path), "instance")) == [("unknown_class", None)]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    write_annotation(tmp_path, "a", CAT)
    with pytest.raises(DatasetError, match=r"no labels; looked for SegmentationClass/\*.png"):
        open_dataset(str(tmp_path), "semantic")
    with pytest.raises(DatasetError, match="folders by class"):
        open_dataset(str(tmp_path), "classification")
    (tmp_path / "JPEGImages" / "a.jpg").unlink()
    with pytest.raises(DatasetError, match="no photos in JPEGImages/ or images/"):
        open_dataset(str(tmp_path), "detection")
