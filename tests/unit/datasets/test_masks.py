"""Folders whose masks are pictures of numbers."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from models.datasets.opening import open_dataset
from models.datasets.samples import DatasetError
from tests.checkout import SHARED_DATA
from tests.unit.evaluation_files import class_map, objects, problems, write_numbers, write_photo, write_text

DATA = SHARED_DATA


def two_cells() -> np.ndarray:
    """(8, 10): number 300 of six pixels, and number 7 of four in two pieces."""
    numbers = np.zeros((8, 10), np.uint16)
    numbers[1:3, 2:5] = 300
    numbers[5, 0:2], numbers[7, 8:10] = 7, 7
    return numbers


def write_cells(root: Path, bits: int = 16) -> Path:
    for stem in ("a", "b"):
        write_photo(root / "images" / f"{stem}.png", 8, 10)
    write_numbers(root / "labels" / "a.png", two_cells(), bits)
    write_numbers(root / "labels" / "b.png", np.zeros((8, 10)), bits)
    return root


def test_numbers_are_objects(tmp_path: Path) -> None:
    data = open_dataset(str(write_cells(tmp_path / "cells" / "val")), "instance")
    assert (data.name, data.class_names, len(data)) == ("cells/val", ("object",), 2)
    target = objects(data, 0)
    assert target.boxes.tolist() == [[0, 5, 10, 8], [2, 1, 5, 3]]
    assert target.areas.tolist() == [4, 6]
    assert target.masks is not None
    assert [mask.to_array().tolist() for mask in target.masks] == [(two_cells() == n).tolist() for n in (7, 300)]
    assert len(objects(data, 1).boxes) == 0


def test_detectors_get_boxes_around_masks_and_semantic_models_all_objects_as_one(tmp_path: Path) -> None:
    write_cells(tmp_path)
    boxes = objects(open_dataset(str(tmp_path), "detection"), 0)
    assert (boxes.boxes.tolist(), boxes.masks) == ([[0, 5, 10, 8], [2, 1, 5, 3]], None)
    data = open_dataset(str(tmp_path), "semantic")
    assert data.class_names == ("background", "object")
    assert class_map(data, 0).tolist() == (two_cells() > 0).astype(int).tolist()


def test_the_val_split_comes_first(tmp_path: Path) -> None:
    write_cells(tmp_path / "train")
    write_cells(tmp_path / "val")
    (tmp_path / "val" / "images" / "b.png").unlink()
    (tmp_path / "val" / "labels" / "b.png").unlink()
    assert len(open_dataset(str(tmp_path), "instance")) == 1


def write_classes(root: Path) -> Path:
    write_photo(root / "images" / "a.png", 2, 4)
    write_numbers(root / "labels" / "a.png", [[0, 1, 2, 255], [0, 0, 9, 1]])
    write_text(root / "classes.txt", "nothing\nroad\nsky\n")
    return root


def test_numbers_are_classes_where_a_file_names_them(tmp_path: Path) -> None:
    data = open_dataset(str(write_classes(tmp_path)), "semantic")
    assert data.class_names == ("background", "road", "sky")
    assert class_map(data, 0).tolist() == [[0, 1, 2, 255], [0, 0, 255, 1]]
    assert problems(data) == [("unknown_class", None)]
    assert "pixels of 9 are none of 3 classes" in data.problems[0].message


def test_classes_tell_no_objects_apart(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"classes.txt: says that pixels are classes, .* only a semantic model"):
        open_dataset(str(write_classes(tmp_path)), "instance")


def test_names_of_classes_may_stand_above_the_splits(tmp_path: Path) -> None:
    write_classes(tmp_path / "val")
    (tmp_path / "val" / "classes.txt").rename(tmp_path / "classes.txt")
    for spec in (tmp_path, tmp_path / "val"):
        assert open_dataset(str(spec), "semantic").class_names == ("background", "road", "sky")


def test_photos_whose_label_is_missing_or_wrong_are_left_out(tmp_path: Path) -> None:
    write_cells(tmp_path)
    for stem in ("colour", "empty", "other", "unlabelled"):
        write_photo(tmp_path / "images" / f"{stem}.png", 8, 10)
    write_photo(tmp_path / "labels" / "colour.png", 8, 10)
    (tmp_path / "labels" / "empty.png").write_bytes(b"")
    write_numbers(tmp_path / "labels" / "other.png", np.zeros((8, 11)))
    write_numbers(tmp_path / "labels" / "stray.png", np.zeros((8, 10)))
    data = open_dataset(str(tmp_path), "instance")
    assert len(data) == 2
    found = [(problem.kind, Path(problem.file).stem) for problem in data.problems]
    wanted = [("unreadable", "colour"), ("unreadable", "empty"), ("wrong_size", "other"), ("missing_file", "stray")]
    assert found == [*wanted, ("no_label", "unlabelled")]
    assert "is 8 x 11 (height x width), and its photo is 8 x 10" in data.problems[2].message


def test_a_folder_without_photos_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no photos; looked in val/images and images"):
        open_dataset(f"masks:{tmp_path}", "instance")


def test_a_label_that_changes_after_it_was_read_is_an_error(tmp_path: Path) -> None:
    data = open_dataset(str(write_cells(tmp_path)), "instance")
    write_numbers(tmp_path / "labels" / "a.png", np.zeros((4, 4)))
    with pytest.raises(DatasetError, match=r"a.png: its masks cannot be read"):
        data.load(0)


def test_names_of_labels_may_differ_from_their_photos_in_case_and_form_of_unicode(tmp_path: Path) -> None:
    numbers = np.ones((60, 100), np.uint8)
    for stem in ("a", unicodedata.normalize("NFC", "grün")):
        write_photo(tmp_path / "images" / f"{stem}.JPG")
    write_numbers(tmp_path / "labels" / "a.PNG", numbers)
    write_numbers(tmp_path / "labels" / unicodedata.normalize("NFD", "grün.png"), numbers)
    data = open_dataset(f"masks:{tmp_path}", "instance")
    assert (len(data), data.problems) == (2, ())


def test_colours_are_no_numbers_and_are_told(tmp_path: Path) -> None:
    for stem in ("a", "b"):
        write_photo(tmp_path / "images" / f"{stem}.png")
    write_numbers(tmp_path / "labels" / "a.png", np.ones((60, 100), np.uint8))
    write_photo(tmp_path / "labels" / "b.png")
    data = open_dataset(f"masks:{tmp_path}", "instance")
    assert (len(data), [problem.kind for problem in data.problems]) == (1, ["unreadable"])
    assert "not colours (RGB)" in data.problems[0].message


def test_links_that_lead_out_of_the_folder_need_the_option(tmp_path: Path) -> None:
    outside = write_numbers(tmp_path / "private.png", np.ones((60, 100), np.uint8))
    write_photo(tmp_path / "data" / "images" / "a.png")
    (tmp_path / "data" / "labels").mkdir()
    (tmp_path / "data" / "labels" / "a.png").symlink_to(outside)
    with pytest.raises(DatasetError, match=r"labels/a\.png is outside the data folder .*--allow-outside"):
        open_dataset(f"masks:{tmp_path / 'data'}", "instance")
    assert len(open_dataset(f"masks:{tmp_path / 'data'}", "instance", allow_outside=True)) == 1


@pytest.mark.skipif(not (DATA / "person").is_dir(), reason="needs the photos of shared/data/person")
def test_the_person_photos_with_masks_are_those_that_say_so() -> None:
    assert len(open_dataset(str(DATA / "person"), "detection")) == 309
    data = open_dataset(str(DATA / "person"), "instance")
    assert (data.name, len(data), data.class_names, data.problems) == ("person/val", 141, ("person",), ())
