"""Data sets for classifiers, tables of boxes, and how a data set is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from models.datasets.opening import FORMATS, open_dataset
from models.datasets.samples import DatasetError, ProblemKind
from tests.checkout import DOCS, SHARED_DATA
from tests.unit.evaluation_files import classes, objects, problems, write_photo, write_text

DATA = SHARED_DATA
MODEL = ("tench", "goldfish", "shark")


def write_pets(folder: Path) -> Path:
    for name in ("cat/1.png", "cat/2.png", "dog/old/1.png", "dog/2.png", "dog/3.png", "dog/4.png"):
        write_photo(folder / name)
    write_text(folder / "readme.txt", "no class")
    return folder


def test_folders_are_classes(tmp_path: Path) -> None:
    data = open_dataset(str(write_pets(tmp_path / "pets")), "classification")
    assert (data.name, data.class_names, len(data)) == ("pets", ("cat", "dog"), 6)
    assert classes(data)["dog/old/1.png"] == "dog"
    assert data.load(0).image == (tmp_path / "pets" / "cat" / "1.png").read_bytes()


def test_folders_below_val_come_first(tmp_path: Path) -> None:
    write_pets(tmp_path / "pets" / "train")
    write_photo(tmp_path / "pets" / "val" / "cat" / "9.png")
    data = open_dataset(str(tmp_path / "pets"), "classification")
    assert (data.name, classes(data)) == ("pets/val", {"cat/9.png": "cat"})


def test_a_limit_takes_images_of_all_classes(tmp_path: Path) -> None:
    data = open_dataset(str(write_pets(tmp_path)), "classification", limit=3)
    assert classes(data) == {"cat/1.png": "cat", "dog/2.png": "dog", "dog/4.png": "dog"}
    assert [data.load(index).image_id for index in range(3)] == [1, 3, 5]


def test_folders_with_numbers_as_names_are_names(tmp_path: Path) -> None:
    write_photo(tmp_path / "0" / "1.png")
    assert open_dataset(str(tmp_path), "classification", class_names=MODEL).class_names == ("0",)


def write_table(folder: Path, text: str) -> Path:
    for name in ("a", "b"):
        write_photo(folder / f"{name}.png")
    return write_text(folder / "fish.csv", text)


def test_a_csv_file_names_the_classes(tmp_path: Path) -> None:
    path = write_table(tmp_path / "sea", "\ufefffile,class\na.png,shark\nb.png,great tit\n")
    data = open_dataset(str(path), "classification", class_names=MODEL)
    assert (data.name, data.class_names) == ("sea/fish", ("great tit", "shark"))
    assert classes(data) == {"a.png": "shark", "b.png": "great tit"}


def test_whole_numbers_are_the_models_class_ids(tmp_path: Path) -> None:
    path = write_table(tmp_path, "Filename,Label\na.png,2\nb.png,0\n")
    data = open_dataset(str(path), "classification", class_names=MODEL)
    assert (data.class_names, classes(data)) == (MODEL, {"a.png": "shark", "b.png": "tench"})


def test_whole_numbers_are_names_where_the_model_calls_its_classes_so(tmp_path: Path) -> None:
    path = write_table(tmp_path, "file,class\na.png,2\nb.png,10\n")
    model = ("1", "10", "2")
    data = open_dataset(str(path), "classification", class_names=model)
    assert (data.class_names, classes(data)) == (("2", "10"), {"a.png": "2", "b.png": "10"})
    assert open_dataset(str(path), "classification").class_names == ("2", "10")


def test_wrong_rows_of_a_csv_file_are_left_out_with_their_line(tmp_path: Path) -> None:
    rows = ["file,class", "a.png,1", "gone.png,1", "b.png,7", "b.png", "", "b.png,", ",1", "a.png,0"]
    data = open_dataset(str(write_table(tmp_path, "\n".join(rows))), "classification", class_names=MODEL)
    assert problems(data) == [
        ("missing_file", 3),
        ("unknown_class", 4),
        ("unreadable", 5),
        ("no_label", 7),
        ("missing_file", 8),
        ("duplicate", 9),
    ]
    assert classes(data) == {"a.png": "goldfish"}


def test_a_csv_file_of_boxes_is_read_in_pixels(tmp_path: Path) -> None:
    rows = [
        "file,x_min,y_min,x_max,y_max,class",
        "a.png,10,10,30,20.5,dog",
        "a.png,0,0,5,5,cat",
        "b.png,,,,,",
        "a.png,0,0,5,5,cat",
        "a.png,50,0,nan,5,cat",
        "a.png,50,0,x,5,cat",
        "a.png,200,0,210,5,cat",
        "a.png,20,0,20,5,cat",
        "gone.png,0,0,5,5,cat",
    ]
    data = open_dataset(str(write_table(tmp_path, "\n".join(rows))), "detection")
    assert (data.class_names, len(data), len(objects(data, 1).boxes)) == (("cat", "dog"), 2, 0)
    assert objects(data, 0).boxes.tolist() == [[10, 10, 30, 20.5], [0, 0, 5, 5]]
    assert objects(data, 0).areas.tolist() == [210, 25]
    kinds = ["duplicate", "bad_number", "bad_number", "outside_image", "zero_area", "missing_file"]
    assert problems(data) == [(kind, line) for line, kind in enumerate(kinds, 5)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.png;cat\n", r"fish.csv:1: the header has no file, class; it must name, with commas between: file,class"),
        ("", "the header has no file, class"),
        ('file,class\n"a.png,cat\n', "not CSV"),
        ("file,class\n", "no photo to measure on"),
    ],
)
def test_tables_that_cannot_be_used_say_why(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        open_dataset(str(write_table(tmp_path, text)), "classification")


def test_a_table_of_classes_has_no_boxes_and_no_masks(tmp_path: Path) -> None:
    path = write_table(tmp_path, "file,class\na.png,cat\n")
    with pytest.raises(DatasetError, match="the header has no x_min, y_min, x_max, y_max"):
        open_dataset(str(path), "detection")
    with pytest.raises(DatasetError, match="holds no masks"):
        open_dataset(str(path), "semantic")


def test_labels_json_gives_numbers_or_names(tmp_path: Path) -> None:
    write_photo(tmp_path / "images" / "a.png")
    write_photo(tmp_path / "images" / "b.png")
    write_text(tmp_path / "labels.json", json.dumps({"a.png": 2, "b.png": 1}))
    data = open_dataset(str(tmp_path), "classification", class_names=MODEL)
    assert classes(data) == {"a.png": "shark", "b.png": "goldfish"}
    path = write_text(
        tmp_path / "other.json", '{"a.png": "cat",\n\n "b.png": "dog",\n "a.png": "dog",\n "c.png": "dog"}'
    )
    data = open_dataset(str(path), "classification", class_names=MODEL)
    assert classes(data) == {"a.png": "cat", "b.png": "dog"}
    assert problems(data) == [("duplicate", 4), ("missing_file", 5)]
    with pytest.raises(DatasetError, match="has no boxes, masks or key points"):
        open_dataset(str(path), "detection")


def test_a_wrong_class_in_labels_json_costs_its_own_photo_only(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.png")
    write_text(tmp_path / "labels.json", '{"a.png": "cat",\n "b.png": null,\n "c.png": true,\n "d.png": 1.5}')
    data = open_dataset(str(tmp_path), "classification")
    assert classes(data) == {"a.png": "cat"}
    assert problems(data) == [("unreadable", 2), ("unreadable", 3), ("unreadable", 4)]


def test_an_image_that_cannot_be_read_after_all_is_an_error(tmp_path: Path) -> None:
    data = open_dataset(str(write_pets(tmp_path)), "classification")
    (tmp_path / "cat" / "1.png").write_bytes(b"text")
    with pytest.raises(DatasetError, match=r"cat/1.png: not an image"):
        data.load(0)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere", "nowhere: no such file or folder; data can be digits, mnist1d, a COCO"),
        ("csv:nowhere", "^nowhere: no such file"),
        ("empty", "holds no labels that are known; data can be digits"),
        ("notes.txt", "not a file of labels"),
        ("voc:notes.txt", "voc is a folder, and this is a file"),
        ("coco:empty", "no instances_val.json, instances.json, "),
        ("csv:empty", "no CSV file"),
        ("masks:empty", "masks are labels of pixels"),
        ("folders:empty", "no folders with images; looked for val/CLASS/ and CLASS/"),
        ("list.json", "neither in COCO's format"),
        ("latin.json", "not UTF-8"),
        ("x" * 300, "no such file or folder"),
    ],
)
def test_what_cannot_be_opened_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write_text(tmp_path / "notes.txt", "text")
    write_text(tmp_path / "list.json", "[1]")
    (tmp_path / "latin.json").write_bytes(b'{"\xe9": 1}')
    with pytest.raises(DatasetError, match=message):
        open_dataset(spec, "classification")


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(DatasetError, match="the limit must be 1 or more, not 0"):
        open_dataset("digits", "detection", limit=0)


def test_a_folder_of_photos_alone_is_no_class(tmp_path: Path) -> None:
    write_photo(tmp_path / "images" / "a.png")
    with pytest.raises(DatasetError, match="holds no labels that are known"):
        open_dataset(str(tmp_path), "classification")


def test_folders_by_class_are_not_for_detectors(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="measured on COCO, YOLO, VOC, CSV or masks"):
        open_dataset(str(write_pets(tmp_path)), "detection")


@pytest.mark.skipif(not (DATA / "imagenet-sample").is_dir(), reason="needs the photos of shared/data/imagenet-sample")
def test_numbers_of_the_imagenet_sample_are_the_models() -> None:
    names = tuple(f"class {number}" for number in range(1000))
    data = open_dataset(str(DATA / "imagenet-sample"), "classification", limit=5, class_names=names)
    assert classes(data) == {f"{number:04}.jpg": f"class {number}" for number in (0, 200, 400, 600, 800)}


def test_every_prefix_and_every_kind_of_problem_is_documented() -> None:
    text = (DOCS / "datasets.md").read_text(encoding="utf-8")
    assert all(f"`{prefix}:PATH`" in text for prefix in FORMATS)
    assert all(f"\n| `{kind}` |" in text for kind in get_args(ProblemKind))
