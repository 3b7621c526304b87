"""Key points of COCO's files and of YOLO's pose labels, and what is wrong with them."""

# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false
# pyright: reportArgumentType=false, reportCallIssue=false

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.datasets.labelled_photos import LabelledPhotos
from models.datasets.opening import open_dataset
from models.datasets.samples import DatasetError, ObjectTarget
from models.entries.skeletons import PERSON, Skeleton

CASES = Path(__file__).parents[3].parent / "shared" / "cases" / "yolo-pose-labels"
CATEGORY = {"id": 7, "name": "doll", "keypoints": ["nose", "left_hand", "right_hand"], "skeleton": [[1, 2], [1, 3]]}


def write_coco(folder: Path, annotations: list[dict[str, Any]], name: str = "person_keypoints_val2017.json") -> Path:
    (folder / "images").mkdir()
    Image.new("RGB", (100, 50)).save(folder / "images" / "a.png")
    rows = [{"id": number, "image_id": 1, **row} for number, row in enumerate(annotations, 1)]
    images = [{"id": 1, "file_name": "a.png", "width": 100, "height": 50}]
    categories = [CATEGORY, {"id": 8, "name": "box without points"}]
    (folder / name).write_text(json.dumps({"images": images, "annotations": rows, "categories": categories}))
    return folder


def write_yolo(folder: Path, settings: str, row: str) -> Path:
    for part in ("images/val", "labels/val"):
        (folder / part).mkdir(parents=True)
    Image.new("RGB", (100, 50)).save(folder / "images/val/a.png")
    (folder / "labels/val/a.txt").write_text(row)
    (folder / "data.yaml").write_text(f"val: images/val\nnames: [doll]\n{settings}")
    return folder


def target_of(data: Any) -> ObjectTarget:
    target = data.load(0).target
    assert isinstance(target, ObjectTarget) and target.key_points is not None
    return target


def doll(points: list[float], **members: Any) -> dict[str, Any]:
    return {"category_id": 7, "bbox": [10, 10, 40, 30], "area": 700, "keypoints": points, **members}


def test_cocos_key_points_are_read_with_their_skeleton(tmp_path: Path) -> None:
    data = open_dataset(str(write_coco(tmp_path, [doll([12, 13, 2, 40, 20, 1, 0, 0, 0])])), "keypoints")
    target = target_of(data)
    assert target.key_points.tolist() == [[[12, 13, 2], [40, 20, 1], [0, 0, 0]]]
    assert target.skeleton == Skeleton.of(["nose", "left_hand", "right_hand"], [(0, 1), (0, 2)])
    assert target.skeleton.mirrored == (0, 2, 1)
    assert (data.class_names, data.category_ids, target.areas.tolist()) == (("doll",), (7,), [700])


def test_objects_of_a_category_without_key_points_are_left_out(tmp_path: Path) -> None:
    rows = [doll([1, 1, 2] * 3), {"category_id": 8, "bbox": [0, 0, 9, 9], "area": 81}]
    data = open_dataset(str(write_coco(tmp_path, rows)), "keypoints")
    assert len(target_of(data).boxes) == 1 and not data.problems


def test_an_object_without_key_points_has_none_that_are_labelled(tmp_path: Path) -> None:
    row = doll([])
    data = open_dataset(str(write_coco(tmp_path, [row, doll([1, 1, 2] * 3)])), "keypoints")
    assert target_of(data).key_points[0].tolist() == [[0, 0, 0]] * 3


@pytest.mark.parametrize(
    ("points", "message"), [([1, 2, 2], "3 times x, y and v"), ([1, 1, 2, 1, 1, 5, 1, 1, 2], "visibility 5")]
)
def test_wrong_key_points_are_a_problem_with_its_line(tmp_path: Path, points: list[float], message: str) -> None:
    data = open_dataset(str(write_coco(tmp_path, [doll(points), doll([1, 1, 2] * 3)])), "keypoints")
    assert len(target_of(data).boxes) == 1
    assert [problem.kind for problem in data.problems] == ["bad_number"] and message in data.problems[0].message


def test_a_file_without_key_points_cannot_be_measured_on(tmp_path: Path) -> None:
    folder = write_coco(tmp_path, [doll([1, 1, 2] * 3)])
    file = folder / "person_keypoints_val2017.json"
    file.write_text(file.read_text().replace('"keypoints": ["nose"', '"other": ["nose"'))
    with pytest.raises(DatasetError, match="no category has `keypoints`"):
        open_dataset(str(file), "keypoints")


def test_boxes_of_the_same_folder_are_read_from_their_own_file(tmp_path: Path) -> None:
    folder = write_coco(tmp_path, [doll([1, 1, 2] * 3)])
    text = (folder / "person_keypoints_val2017.json").read_text()
    (folder / "instances_val2017.json").write_text(text)
    assert target_of(open_dataset(str(folder), "keypoints")).key_points is not None
    assert open_dataset(str(folder), "detection").load(0).target.key_points is None  # pyright: ignore


def test_yolos_key_points_are_shares_of_the_photo(tmp_path: Path) -> None:
    row = "0 0.3 0.5 0.4 0.6 0.12 0.26 2 0.4 0.4 1 0 0 0"
    folder = write_yolo(tmp_path, "kpt_shape: [3, 3]\nflip_idx: [0, 2, 1]\n", row)
    target = target_of(open_dataset(str(folder), "keypoints"))
    np.testing.assert_allclose(target.key_points, [[[12, 13, 2], [40, 20, 1], [0, 0, 0]]])
    assert target.skeleton is not None and target.skeleton.mirrored == (0, 2, 1) and not target.skeleton.is_named
    assert target.areas.tolist() == pytest.approx([40 * 30 * 0.53])


def test_yolos_points_of_two_numbers_are_visible_unless_they_are_zero(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path, "kpt_shape: [2, 2]\nkpt_names: {0: [head, tail]}\n", "0 0.3 0.5 0.4 0.6 0.5 0.5 0 0")
    target = target_of(open_dataset(str(folder), "keypoints"))
    assert target.key_points.tolist() == [[[50, 25, 2], [0, 0, 0]]]
    assert target.skeleton is not None and target.skeleton.names == ("head", "tail")


def test_seventeen_points_of_yolo_are_cocos_people(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path, "kpt_shape: [17, 3]\n", "0 0.3 0.5 0.4 0.6" + " 0.5 0.5 2" * 17)
    assert target_of(open_dataset(str(folder), "keypoints")).skeleton == PERSON


def test_yolo_labels_of_boxes_are_no_poses(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path, "", "0 0.3 0.5 0.4 0.6")
    with pytest.raises(DatasetError, match="no key points; `kpt_shape"):
        open_dataset(str(folder), "keypoints")


@pytest.mark.parametrize("settings", ["flip_idx: [0, 1]\n", "flip_idx: [1, 2, 0]\n", "kpt_names: [a, b]\n"])
def test_settings_that_do_not_fit_are_one_line(tmp_path: Path, settings: str) -> None:
    folder = write_yolo(tmp_path, f"kpt_shape: [3, 3]\n{settings}", "0 0.3 0.5 0.4 0.6" + " 0.5 0.5 2" * 3)
    with pytest.raises(DatasetError, match="key points") as caught:
        open_dataset(str(folder), "keypoints")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not CASES.is_dir(), reason="no ../shared/cases beside the project")
@pytest.mark.parametrize(("case", "count"), [("k17x3", 17), ("k4x3", 4), ("k5x2", 5)])
def test_the_cases_of_pose_labels_are_read(case: str, count: int) -> None:
    target = target_of(open_dataset(str(CASES / case), "keypoints"))
    assert target.key_points.shape == (1, count, 3) and (target.key_points[..., 2] > 0).all()


@pytest.mark.parametrize("point", ["64 26 2", "0.5 2.5 2", "-3 0.5 1"])
def test_a_key_point_in_pixels_is_reported(tmp_path: Path, point: str) -> None:
    row = f"0 0.3 0.5 0.4 0.6 0.12 0.26 2 {point} 0 0 0\n0 0.5 0.5 0.4 0.6 0.5 0.5 2 0 0 0 0 0 0"
    data = open_dataset(str(write_yolo(tmp_path, "kpt_shape: [3, 3]\n", row)), "keypoints")
    assert isinstance(data, LabelledPhotos) and "bad_number" in {problem.kind for problem in data.problems}


def test_a_visibility_of_two_is_no_share(tmp_path: Path) -> None:
    row = "0 0.3 0.5 0.4 0.6 0.12 0.26 2 0.4 0.4 2 -0.2 1.4 2"
    data = open_dataset(str(write_yolo(tmp_path, "kpt_shape: [3, 3]\n", row)), "keypoints")
    assert isinstance(data, LabelledPhotos) and not data.problems
