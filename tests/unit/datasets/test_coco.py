"""COCO's files: what is read, what is left out, and where it stands."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from models.datasets.opening import open_dataset
from models.datasets.samples import DatasetError
from tests.checkout import SHARED_DATA
from tests.unit.evaluation_files import class_map, objects, problems, write_coco, write_photo, write_text

DATA = SHARED_DATA
SQUARE = [[10.0, 10.0, 30.0, 10.0, 30.0, 30.0, 10.0, 30.0]]


def annotation(**changes: Any) -> dict[str, Any]:
    """A cat of 20 x 20 pixels on photo 1."""
    row = {"id": 1, "image_id": 1, "category_id": 3, "bbox": [10, 10, 20, 20], "area": 400, "iscrowd": 0}
    return {**row, **changes}


def test_objects_are_read_with_their_own_areas_and_crowds(tmp_path: Path) -> None:
    crowd = annotation(id=2, category_id=7, bbox=[0, 0, 100, 60], area=1234.5, iscrowd=1)
    data = open_dataset(str(write_coco(tmp_path / "pets", [annotation(area=321.5), crowd])), "detection")
    assert (data.name, data.class_names, data.category_ids) == ("pets/val", ("cat", "dog"), (3, 7))
    assert (len(data), data.problems) == (2, ())
    target = objects(data, 0)
    assert target.boxes.tolist() == [[10, 10, 30, 30], [0, 0, 100, 60]]
    assert target.class_ids.tolist() == [0, 1]
    assert target.areas.tolist() == [321.5, 1234.5]
    assert target.crowds.tolist() == [False, True]
    assert target.masks is None


def test_a_photo_without_objects_is_part_of_the_set(tmp_path: Path) -> None:
    data = open_dataset(str(write_coco(tmp_path, [annotation()])), "detection")
    sample = data.load(1)
    assert (sample.image_id, sample.name, len(objects(data, 1).boxes)) == (2, "2.png", 0)
    assert sample.image == (tmp_path / "images" / "2.png").read_bytes()


def test_masks_are_those_of_pycocotools(tmp_path: Path) -> None:
    polygons = [[5.5, 3.2, 40.1, 9.9, 22.0, 50.7], [60, 20, 90, 20, 90, 45.5, 61, 44]]
    runs = {"size": [60, 100], "counts": [100, 50, 10, 40, 5800]}
    rows = [
        annotation(segmentation=polygons),
        annotation(id=2, segmentation=runs),
        annotation(id=3, segmentation=runs, iscrowd=1),
    ]
    path = write_coco(tmp_path, rows)
    found = objects(open_dataset(str(path), "instance"), 0).masks
    oracle: Any = COCO(str(path))
    assert found is not None
    expected = [oracle.annToMask(row).astype(bool) for row in oracle.loadAnns([1, 2, 3])]
    assert [mask.area for mask in found][1:] == [90, 90]
    assert all(np.array_equal(mask.to_array(), pixels) for mask, pixels in zip(found, expected, strict=True))


def test_a_crowd_without_a_mask_covers_its_box(tmp_path: Path) -> None:
    rows = [annotation(segmentation=SQUARE), annotation(id=2, bbox=[50, 0, 10, 60], iscrowd=1)]
    masks = objects(open_dataset(str(write_coco(tmp_path, rows)), "instance"), 0).masks
    assert masks is not None and [mask.bounds for mask in masks] == [(10, 10, 30, 30), (50, 0, 60, 60)]


def test_of_overlapping_objects_the_later_is_on_top_and_crowds_are_ignored(tmp_path: Path) -> None:
    above = [[20, 10, 40, 10, 40, 30, 20, 30]]
    rows = [
        annotation(segmentation=SQUARE),
        annotation(id=2, category_id=7, segmentation=above),
        annotation(id=3, bbox=[0, 0, 100, 20], iscrowd=1),
    ]
    data = open_dataset(str(write_coco(tmp_path, rows)), "semantic")
    assert (data.class_names, data.category_ids) == (("background", "cat", "dog"), (0, 3, 7))
    pixels = class_map(data, 0)
    assert [int(pixels[25, column]) for column in (5, 15, 25, 35, 45)] == [0, 1, 2, 2, 0]
    assert [int(pixels[15, column]) for column in (5, 15, 25, 35, 45)] == [255, 1, 2, 2, 255]
    assert (class_map(data, 1) == 0).all()


def test_photos_that_say_they_have_no_masks_are_no_part_of_a_set_of_masks(tmp_path: Path) -> None:
    images = [
        {"id": 1, "file_name": "1.png", "height": 60, "width": 100, "has_masks": False},
        {"id": 2, "file_name": "2.png", "height": 60, "width": 100, "has_masks": True},
    ]
    path = write_coco(tmp_path, [annotation(), annotation(id=2, image_id=2, segmentation=SQUARE)], images)
    data = open_dataset(str(path), "instance")
    assert (len(data), data.load(0).image_id, data.problems) == (1, 2, ())
    assert len(open_dataset(str(path), "detection")) == 2


def test_a_photo_of_which_an_object_has_no_mask_is_left_out_and_told(tmp_path: Path) -> None:
    rows = [
        annotation(segmentation=SQUARE),
        annotation(id=2),
        annotation(id=3),
        annotation(id=4, image_id=2, segmentation=SQUARE),
    ]
    data = open_dataset(str(write_coco(tmp_path, rows)), "instance")
    assert (len(data), problems(data)) == (1, [("no_mask", 7)])


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"bbox": [10, 10, 0, 20]}, "zero_area", "has no area"),
        ({"bbox": [10, 10, 20, -5]}, "zero_area", "has no area"),
        ({"bbox": [100, 10, 20, 20]}, "outside_image", "lies outside the image, 60 x 100"),
        ({"bbox": [10, 10, 20]}, "bad_number", "not four finite numbers"),
        ({"bbox": [10, 10, 20, float("nan")]}, "bad_number", "not four finite numbers"),
        ({"bbox": [10, 10, 20, float("inf")]}, "bad_number", "not four finite numbers"),
        ({"bbox": [10, 10, 20, "20,5"]}, "bad_number", "not four finite numbers"),
        ({"bbox": [10, 10, 20, True]}, "bad_number", "not four finite numbers"),
        ({"bbox": [10, 10, 20, 10**400]}, "bad_number", "not four finite numbers"),
        ({"bbox": []}, "bad_number", "not four finite numbers"),
        ({"bbox": {"x": 1}}, "bad_number", "not four finite numbers"),
        ({"iscrowd": "yes"}, "bad_number", "the iscrowd 'yes' is neither 0 nor 1"),
        ({"iscrowd": [0]}, "bad_number", "neither 0 nor 1"),
        ({"iscrowd": float("nan")}, "bad_number", "the iscrowd nan is neither 0 nor 1"),
        ({"bbox": None}, "bad_number", "not four finite numbers"),
        ({"category_id": 5}, "unknown_class", "no category with the id 5"),
        ({"category_id": "cat"}, "unknown_class", "no category with the id 'cat'"),
        ({"category_id": 3.5}, "unknown_class", "no category with the id 3.5"),
        ({"category_id": True}, "unknown_class", "no category with the id True"),
        ({"category_id": None}, "unknown_class", "no category with the id None"),
        ({"category_id": float("nan")}, "unknown_class", "no category with the id nan"),
        ({"category_id": 2**63}, "unknown_class", "no category with the id 9223372036854775808"),
        ({"image_id": 1.5}, "missing_file", "no image with the id 1.5"),
        ({"image_id": 1e300}, "missing_file", "no image with the id 1e"),
        ({"image_id": "one"}, "missing_file", "no image with the id 'one'"),
        ({"image_id": [[[[[[[[1]]]]]]]]}, "missing_file", "no image with the id"),
        ({"image_id": 9}, "missing_file", "no image with the id 9"),
        ({"image_id": [1]}, "missing_file", r"no image with the id \[1\]"),
    ],
)
def test_a_wrong_annotation_is_left_out_with_its_line(
    tmp_path: Path, changes: dict[str, Any], kind: str, message: str
) -> None:
    path = write_coco(tmp_path, [annotation(), annotation(id=2, **changes)])
    data = open_dataset(str(path), "detection")
    assert problems(data) == [(kind, 7)]
    assert str(data.problems[0]).startswith(f"{path}:7: annotations[1]: ")
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(data.problems[0].message)
    assert objects(data, 0).boxes.tolist() == [[10, 10, 30, 30]]


def test_lines_are_found_where_all_is_in_one_line(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [annotation(), annotation(category_id=5)])
    path.write_text(json.dumps(json.loads(path.read_text())))
    data = open_dataset(str(path), "detection")
    assert str(data.problems[0]) == f"{path}:1: annotations[1]: there is no category with the id 5"


def test_a_box_that_reaches_beyond_the_image_is_cut_and_told_but_a_pixel_is_nothing(tmp_path: Path) -> None:
    rows = [annotation(bbox=[90, 50, 11, 11], area=121), annotation(id=2, bbox=[90, 50, 20, 5], area=90)]
    data = open_dataset(str(write_coco(tmp_path, rows)), "detection")
    target = objects(data, 0)
    assert target.boxes.tolist() == [[90, 50, 101, 61], [90, 50, 100, 55]]
    assert target.areas.tolist() == [121, 50]
    assert problems(data) == [("outside_image", 7)]


def test_area_and_box_come_from_the_polygon_where_the_file_has_none(tmp_path: Path) -> None:
    triangle = annotation(segmentation=[[10, 10, 30, 10, 10, 30]])
    del triangle["area"], triangle["bbox"]
    target = objects(open_dataset(str(write_coco(tmp_path, [triangle])), "detection"), 0)
    assert (target.boxes.tolist(), target.areas.tolist()) == ([[10, 10, 30, 30]], [200])


@pytest.mark.parametrize(
    ("segmentation", "kind"),
    [
        ([[1, 2, 3, 4]], "zero_area"),
        ([[1, 2, 3, 4, 5]], "bad_number"),
        ([[]], "bad_number"),
        ([[1, 2, 3, 4, float("nan"), 6]], "bad_number"),
        ([["1", "2", "3", "4", "5", "six"]], "bad_number"),
        ([1, 2, 3, 4], "zero_area"),
        ([[[1, 2], [3, 4], [5, 6]]], "bad_number"),
        ("polygon", "unreadable"),
        ({"size": [10, 10], "counts": [50, 50]}, "unreadable"),
        ({"size": [60, 100], "counts": [0, 7000]}, "unreadable"),
        ({"size": [60, 100], "counts": [-5, 6005]}, "unreadable"),
        ({"size": [60, 100], "counts": "\u00e9"}, "unreadable"),
        ({"size": [60, 100], "counts": "PPPP"}, "unreadable"),
        ({"size": [60, 100], "counts": "oooooooooooooooo1oooooooooooo1"}, "unreadable"),
        ({"size": [60, 100]}, "unreadable"),
        ({"size": [60, 100], "counts": [6000]}, "zero_area"),
    ],
)
def test_a_mask_that_cannot_be_drawn_is_left_out(tmp_path: Path, segmentation: Any, kind: str) -> None:
    rows = [annotation(segmentation=SQUARE), annotation(id=2, segmentation=segmentation)]
    data = open_dataset(str(write_coco(tmp_path, rows)), "instance")
    assert problems(data) == [(kind, 7)]
    assert len(objects(data, 0).boxes) == 1


def test_a_polygon_far_outside_is_cut_before_it_is_drawn(tmp_path: Path) -> None:
    rows = [annotation(segmentation=[[10, 10, 1e12, 10, 1e12, 30, 10, 30]])]
    data = open_dataset(str(write_coco(tmp_path, rows)), "instance")
    masks = objects(data, 0).masks
    assert masks is not None and masks[0].bounds == (10, 10, 100, 30)
    assert problems(data) == [("outside_image", 6)]


def test_wrong_images_are_left_out_with_their_line(tmp_path: Path) -> None:
    good = {"id": 1, "file_name": "1.png", "height": 60, "width": 100}
    images: list[Any] = [
        good,
        {**good, "file_name": "2.png"},
        {**good, "id": 4, "file_name": "gone.png"},
        {**good, "id": "five", "file_name": "2.png"},
        {**good, "id": 6},
        {**good, "id": 8, "file_name": "2.png", "height": 61, "width": 0},
        {**good, "id": 7, "file_name": "x" * 300},
        "photo",
    ]
    data = open_dataset(str(write_coco(tmp_path, [annotation()], images)), "detection")
    assert problems(data) == [
        ("duplicate", 3),
        ("missing_file", 4),
        ("unreadable", 5),
        ("duplicate", 6),
        ("wrong_size", 7),
        ("missing_file", 8),
        ("unreadable", 9),
    ]
    assert len(data) == 1


def test_a_photo_of_another_size_than_its_annotation_cannot_be_loaded(tmp_path: Path) -> None:
    data = open_dataset(str(write_coco(tmp_path, [annotation()])), "detection")
    write_photo(tmp_path / "images" / "1.png", 30, 100)
    with pytest.raises(DatasetError, match=r"1.png: is \(30, 100\), but its labels are for \(60, 100\)"):
        data.load(0)
    (tmp_path / "images" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(DatasetError, match=r"1.png: "):
        data.load(0)


def test_the_digest_changes_with_names_labels_classes_and_kind(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [annotation(segmentation=SQUARE)])
    digests = {open_dataset(str(path), "detection").digest, open_dataset(str(path), "instance").digest}
    assert open_dataset(str(path), "detection").digest in digests
    write_coco(tmp_path, [annotation(bbox=[10, 10, 20, 21], segmentation=SQUARE)])
    digests.add(open_dataset(str(path), "detection").digest)
    write_coco(tmp_path, [annotation(category_id=7, segmentation=SQUARE)])
    digests.add(open_dataset(str(path), "detection").digest)
    path.write_text(path.read_text().replace('"dog"', '"wolf"'))
    digests.add(open_dataset(str(path), "detection").digest)
    (tmp_path / "images" / "1.png").rename(tmp_path / "images" / "one.png")
    path.write_text(path.read_text().replace('"1.png"', '"one.png"'))
    digests.add(open_dataset(str(path), "detection").digest)
    assert len(digests) == 6


def test_photos_are_found_in_a_folder_that_is_named_and_where_coco_has_them(tmp_path: Path) -> None:
    path = write_coco(tmp_path / "coco", [annotation()], name="annotations/instances_val2017.json")
    (tmp_path / "coco" / "images").rename(tmp_path / "coco" / "val2017")
    data = open_dataset(str(path), "detection")
    assert (data.name, len(data)) == ("coco/val2017", 2)
    (tmp_path / "coco" / "val2017").rename(tmp_path / "coco" / "annotations" / "elsewhere")
    with pytest.raises(DatasetError, match=r"the photos, such as 1.png, are in none of .*val2017"):
        open_dataset(str(path), "detection")
    assert len(open_dataset(f"{path}:{path.parent / 'elsewhere'}", "detection")) == 2
    assert len(open_dataset(f"coco:{path}:elsewhere", "detection")) == 2
    with pytest.raises(DatasetError, match="nowhere: no such folder"):
        open_dataset(f"{path}:nowhere", "detection")


def test_the_limit_is_of_photos_that_can_be_used(tmp_path: Path) -> None:
    images = [
        {"id": number, "file_name": name, "height": 60, "width": 100}
        for number, name in ((3, "gone.png"), (1, "1.png"), (2, "2.png"))
    ]
    data = open_dataset(str(write_coco(tmp_path, [annotation()], images)), "detection", limit=1)
    assert (len(data), data.load(0).name) == (1, "1.png")


def test_the_set_travels_by_pickle(tmp_path: Path) -> None:
    data = open_dataset(str(write_coco(tmp_path, [annotation(segmentation=SQUARE)])), "instance")
    again = pickle.loads(pickle.dumps(data))
    masks, others = objects(data, 0).masks, objects(again, 0).masks
    assert masks == others
    assert again.digest == data.digest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON: "),
        ("[" * 100_000, "not JSON: "),
        ("[]", "neither in COCO's format"),
        ('{"images": [], "annotations": []}', "lists of images, annotations, categories"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}', "no images"),
        ('{"images": [], "annotations": [], "categories": []}', "no categories"),
    ],
)
def test_files_that_cannot_be_used_say_why(tmp_path: Path, text: str, message: str) -> None:
    path = write_text(tmp_path / "labels" / "val.json", text)
    with pytest.raises(DatasetError, match=message):
        open_dataset(str(path), "detection")


def test_a_set_without_an_object_tells_the_first_problem(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [annotation(category_id=9)])
    with pytest.raises(
        DatasetError, match=r"no object to measure on; of 1 problems the first is .*:6: annotations\[0\]"
    ):
        open_dataset(str(path), "detection")
    with pytest.raises(DatasetError, match="a classifier is measured on folders by class"):
        open_dataset(str(path), "classification")


@pytest.mark.skipif(not (DATA / "coco80").is_dir(), reason="needs the photos of shared/data/coco80")
def test_photos_of_coco_are_read_as_pycocotools_reads_them() -> None:
    data = open_dataset(str(DATA / "coco80"), "instance")
    oracle: Any = COCO(str(DATA / "coco80" / "instances.json"))
    assert (data.name, len(data), len(data.class_names), data.problems) == ("coco80", 440, 80, ())
    for index in range(0, 440, 11):
        sample, target = data.load(index), objects(data, index)
        rows = oracle.loadAnns(oracle.getAnnIds(sample.image_id))
        sizes = target.boxes[:, 2:] - target.boxes[:, :2]
        assert np.concatenate([target.boxes[:, :2], sizes], 1) == pytest.approx(np.array([row["bbox"] for row in rows]))
        assert target.areas.tolist() == [row["area"] for row in rows]
        assert [data.category_ids[class_id] for class_id in target.class_ids] == [row["category_id"] for row in rows]
        assert target.crowds.tolist() == [bool(row["iscrowd"]) for row in rows]
        assert target.masks is not None
        for mask, row in zip(target.masks, rows, strict=True):
            if row["segmentation"]:  # crowds have none there
                assert np.array_equal(mask.to_array(), oracle.annToMask(row).astype(bool))
