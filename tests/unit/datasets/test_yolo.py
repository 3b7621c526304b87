"""YOLO's text files: boxes and polygons as shares of the image, and what can be wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.datasets.opening import open_dataset
from models.datasets.samples import DatasetError
from tests.unit.evaluation_files import class_map, objects, problems, write_photo, write_text

BOX = "1 0.5 0.5 0.2 0.5"
TRIANGLE = "0 0.1 0.1 0.5 0.1 0.1 0.6"


def write_yolo(folder: Path, lines: str, settings: str | None = "names: [cat, dog]\nval: images/val\n") -> Path:
    """Writes a data set of two photos, of which the second shows nothing."""
    for name in ("a", "b"):
        write_photo(folder / "images" / "val" / f"{name}.png")
    write_text(folder / "labels" / "val" / "a.txt", lines)
    if settings is not None:
        write_text(folder / "data.yaml", settings)
    return folder


def test_boxes_are_made_pixels(tmp_path: Path) -> None:
    data = open_dataset(str(write_yolo(tmp_path / "pets", BOX)), "detection")
    assert (data.name, data.class_names, data.category_ids) == ("pets/val", ("cat", "dog"), (0, 1))
    target = objects(data, 0)
    assert target.boxes.tolist() == [[40, 15, 60, 45]]
    assert (target.class_ids.tolist(), target.areas.tolist(), target.crowds.tolist()) == ([1], [600], [False])
    assert data.load(0).name == "images/val/a.png"


def test_a_photo_without_a_text_file_shows_nothing(tmp_path: Path) -> None:
    data = open_dataset(str(write_yolo(tmp_path, BOX)), "detection")
    assert (len(data), len(objects(data, 1).boxes), data.problems) == (2, 0, ())


def test_polygons_are_masks_and_boxes_around_them(tmp_path: Path) -> None:
    data = open_dataset(str(write_yolo(tmp_path, TRIANGLE)), "instance")
    target = objects(data, 0)
    assert target.boxes.tolist() == [[10, 6, 50, 36]]
    assert target.areas.tolist() == [600]
    assert target.masks is not None and target.masks[0].size == (60, 100)
    assert target.masks[0].area == pytest.approx(600, rel=0.05)
    found = objects(open_dataset(str(tmp_path), "detection"), 0)
    assert (found.boxes.tolist(), found.areas.tolist(), found.masks) == ([[10, 6, 50, 36]], [600], None)
    pixels = class_map(open_dataset(str(tmp_path), "semantic"), 0)
    assert (int(pixels[10, 15]), int(pixels[50, 80])) == (1, 0)


def test_a_box_among_polygons_leaves_out_its_photo(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path, f"{TRIANGLE}\n{BOX}\n")
    write_text(folder / "labels" / "val" / "b.txt", TRIANGLE)
    data = open_dataset(str(folder), "instance")
    assert (len(data), problems(data)) == (1, [("no_mask", 2)])
    assert len(objects(open_dataset(str(folder), "detection"), 0).boxes) == 2


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("5 0.5 0.5 0.2 0.5", "unknown_class"),
        ("-1 0.5 0.5 0.2 0.5", "unknown_class"),
        ("0.5 0.5 0.5 0.2 0.5", "unknown_class"),
        ("cat 0.5 0.5 0.2 0.5", "bad_number"),
        ("0 0.5 nan 0.2 0.5", "bad_number"),
        ("0 0.5 inf 0.2 0.5", "bad_number"),
        ("0 0.5 0.5 0.2 0", "zero_area"),
        ("0 1.5 0.5 0.2 0.5", "outside_image"),
        ("0 0.5 0.5 0.2", "unreadable"),
        ("0 0.5 0.5 0.2 0.5 0.9", "unreadable"),
        ("0 0.1 0.1 0.5 0.1 0.1 nan", "bad_number"),
        (BOX, "duplicate"),
    ],
)
def test_a_wrong_line_is_left_out_with_its_number(tmp_path: Path, line: str, kind: str) -> None:
    data = open_dataset(str(write_yolo(tmp_path, f"{BOX}\n\n{line}\n")), "detection")
    assert problems(data) == [(kind, 3)]
    assert data.problems[0].file == str(tmp_path / "labels" / "val" / "a.txt")
    assert objects(data, 0).boxes.tolist() == [[40, 15, 60, 45]]


def test_a_box_beyond_the_edge_is_cut(tmp_path: Path) -> None:
    data = open_dataset(str(write_yolo(tmp_path, "0 0.95 0.5 0.2 0.5")), "detection")
    assert (objects(data, 0).boxes.tolist(), problems(data)) == ([[85, 15, 100, 45]], [("outside_image", 1)])


def test_photos_that_are_broken_or_missing_are_told(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path, BOX)
    (folder / "images" / "val" / "b.png").write_bytes(b"no image")
    write_text(folder / "labels" / "val" / "c.txt", BOX)
    data = open_dataset(str(folder), "detection")
    assert len(data) == 1
    assert problems(data) == [("unreadable", None), ("missing_file", None)]
    assert data.problems[1].file.endswith("c.txt")


@pytest.mark.parametrize("place", ["images/val", "val/images", "valid/images", "images"])
def test_photos_are_found_where_tools_put_them(tmp_path: Path, place: str) -> None:
    write_photo(tmp_path / "pets" / place / "a.png")
    write_text(tmp_path / "pets" / place.replace("images", "labels") / "a.txt", BOX)
    write_text(tmp_path / "pets" / "classes.txt", "cat\ndog\n")
    data = open_dataset(str(tmp_path / "pets"), "detection")
    assert (len(data), data.class_names) == (1, ("cat", "dog"))
    assert data.name == ("pets" if place == "images" else "pets/val")


@pytest.mark.parametrize(
    "settings",
    [
        "path: .\nval: images/val\nnames:\n  0: cat\n  1: dog\n",
        "path: ../pets\nval: [images/val]\nnames: {1: dog, 0: cat}\n",
        "path: datasets/pets\nval: images/val\nnames: [cat, dog]\n",
        "val: ../images/val\nnames: [cat, dog]\n",
        "val: val.txt\nnames: [cat, dog]\n",
    ],
)
def test_settings_say_where_the_photos_are(tmp_path: Path, settings: str) -> None:
    folder = write_yolo(tmp_path / "pets", BOX, settings)
    write_text(folder / "val.txt", "./images/val/a.png\nimages/val/b.png\n")
    for spec in (folder, folder / "data.yaml"):
        data = open_dataset(str(spec), "detection")
        assert (len(data), data.class_names) == (2, ("cat", "dog"))


def test_a_photo_of_the_list_that_is_not_there_is_missing(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path, BOX, "val: val.txt\nnames: [cat, dog]\n")
    write_text(folder / "val.txt", "images/val/a.png\nimages/val/gone.png\n")
    assert problems(open_dataset(str(folder), "detection")) == [("missing_file", 2)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (None, r"nothing names the classes; looked for `names:` in data.yaml and classes.txt"),
        ("names: [", "not YAML"),
        ("text", "there must be names of classes"),
        ("names: [cat, dog]\nval: nowhere\n", "nothing at `val: nowhere`; looked for .*nowhere"),
        ("names: []\nval: images/val\n", "nothing names the classes"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, settings: str | None, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        open_dataset(str(write_yolo(tmp_path, BOX, settings)), "detection")


def test_a_folder_without_labels_or_photos_is_an_error(tmp_path: Path) -> None:
    write_photo(tmp_path / "images" / "a.png")
    write_text(tmp_path / "classes.txt", "cat\n")
    with pytest.raises(DatasetError, match=r"no labels; looked in .*labels"):
        open_dataset(f"yolo:{tmp_path}", "detection")
    (tmp_path / "images" / "a.png").unlink()
    with pytest.raises(DatasetError, match="no photos; looked in images/val"):
        open_dataset(f"yolo:{tmp_path}", "detection")
    with pytest.raises(DatasetError, match="folders by class"):
        open_dataset(f"yolo:{tmp_path}", "classification")


def test_the_limit_counts_photos(tmp_path: Path) -> None:
    assert len(open_dataset(str(write_yolo(tmp_path, BOX)), "detection", limit=1)) == 1
