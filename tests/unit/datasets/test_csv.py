"""CSV files as spreadsheets, pandas and other tools write them."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from models.datasets.opening import open_dataset
from models.datasets.samples import DatasetError
from tests.unit.evaluation_files import objects, problems, write_photo, write_text

TABLE = "file,x_min,y_min,x_max,y_max,class\na.png,10,10,30,20.5,dog\na.png,0,0,5,5,cat\nb.png,,,,,\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png"):
        write_photo(tmp_path / "images" / name)
    return tmp_path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize(
    "text",
    [
        TABLE,
        TABLE.replace("\n", "\r\n"),
        TABLE.replace(",", ";"),
        TABLE.replace(",", "\t"),
        "sep=;\r\n" + TABLE.replace(",", ";").replace("\n", "\r\n"),
        '"file","x_min","y_min","x_max","y_max","class"\n"a.png","10","10","30","20.5","dog"\n"a.png",0,0,5,5,"cat"\nb.png,,,,,\n',
        TABLE.replace("file,x_min,y_min,x_max,y_max,class", "Filename, XMin ,ymin,XMAX,ymax,Label"),
        TABLE.replace("file,x_min,y_min,x_max,y_max,class", "path,x1,y1,x2,y2,category"),
        TABLE.replace("a.png,10,10,", ".\\a.png,10.0,1e1,"),
        TABLE.replace("a.png,0,0", "A.PNG,0,0"),
    ],
)
def test_boxes_are_read_whatever_tool_wrote_the_table(folder: Path, text: str, encoding: str) -> None:
    path = folder / "val.csv"
    path.write_bytes(text.encode(encoding))
    data = open_dataset(str(path), "detection")
    assert (data.class_names, len(data), data.problems) == (("cat", "dog"), 2, ())
    assert objects(data, 0).boxes.tolist() == [[10, 10, 30, 20.5], [0, 0, 5, 5]]
    assert objects(data, 0).class_ids.tolist() == [1, 0]


def test_an_encoding_that_is_guessed_is_told(folder: Path) -> None:
    write_photo(folder / "images" / "grün.png")
    (folder / "val.csv").write_bytes("file,class\na.png,Kätzchen\ngrün.png,Löwe\n".encode("cp1252"))
    data = open_dataset(str(folder / "val.csv"), "classification")
    assert (data.class_names, len(data), problems(data)) == (("Kätzchen", "Löwe"), 2, [("unreadable", None)])
    assert "not UTF-8; it was read as Windows-1252" in data.problems[0].message


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("a.png,1_0,10,30,20,dog", "bad_number"),
        ("a.png,nan,10,30,20,dog", "bad_number"),
        ("a.png,inf,10,30,20,dog", "bad_number"),
        ('a.png,"10,5",10,30,20,dog', "bad_number"),
        ("a.png,,10,30,20,dog", "bad_number"),
        ("a.png,30,10,10,20,dog", "zero_area"),
        ("a.png,300,10,310,20,dog", "outside_image"),
        ("a.png,10,10,30,20,", "no_label"),
        ("a.png,0,0,5,5,cat", "duplicate"),
        ("gone.png,10,10,30,20,dog", "missing_file"),
        (",10,10,30,20,dog", "missing_file"),
        ("a.png,10,10,30,20", "unreadable"),
    ],
)
def test_a_wrong_row_is_left_out_and_told_with_its_line(folder: Path, row: str, kind: str) -> None:
    path = write_text(folder / "val.csv", f"{TABLE}{row}\n")
    data = open_dataset(str(path), "detection")
    assert problems(data) == [(kind, 5)]
    assert len(objects(data, 0).boxes) == 2


def test_boxes_in_shares_of_the_image_are_refused(folder: Path) -> None:
    path = write_text(folder / "val.csv", "file,x_min,y_min,x_max,y_max,class\na.png,0.1,0.1,0.5,1,dog\n")
    with pytest.raises(DatasetError, match=r"val\.csv:2: all boxes are between 0 and 1; they must be in pixels"):
        open_dataset(str(path), "detection")


def test_class_ids_with_a_point_are_whole_numbers(folder: Path) -> None:
    path = write_text(folder / "val.csv", "file,class\na.png,2.0\nb.png,0.0\n")
    data = open_dataset(str(path), "classification", class_names=("cat", "dog", "cow"))
    assert [data.load(index).target.class_id for index in (0, 1)] == [2, 0]  # type: ignore[union-attr]
    assert open_dataset(str(path), "classification").class_names == ("0", "2")
    table = write_text(folder / "labels.json", '{"a.png": 2.0, "b.png": 0}')
    assert open_dataset(str(table), "classification", class_names=("cat", "dog", "cow")).load(0).target.class_id == 2  # type: ignore[union-attr]


def test_one_photo_in_two_spellings_is_told_as_a_duplicate(folder: Path) -> None:
    path = write_text(folder / "val.csv", "file,class\na.png,cat\n./a.png,dog\n")
    data = open_dataset(str(path), "classification")
    assert (len(data), problems(data)) == (1, [("duplicate", 3)])


def test_names_in_either_form_of_unicode_are_found(folder: Path) -> None:
    write_photo(folder / "images" / unicodedata.normalize("NFD", "grün 1.png"))
    path = write_text(folder / "val.csv", f"file,class\n{unicodedata.normalize('NFC', 'grün 1.png')},cat\n")
    assert (len(data := open_dataset(str(path), "classification")), data.problems) == (1, ())


@pytest.mark.parametrize("table", ["val.csv", "labels.json"])
def test_names_that_lead_out_of_the_folder_need_the_option(folder: Path, table: str) -> None:
    outside = write_photo(folder.parent / f"{folder.name}-private.png")
    for name in (f"../{outside.name}", str(outside)):
        text = f"file,class\n{name},cat\n" if table == "val.csv" else f'{{\n"{name}": "cat"}}'
        path = write_text(folder / table, text)
        with pytest.raises(
            DatasetError, match=rf"{table}:2: .*-private.png is outside the data folder .*--allow-outside"
        ):
            open_dataset(str(path), "classification")
        assert len(open_dataset(str(path), "classification", allow_outside=True)) == 1


def test_links_of_folders_by_class_need_the_option(tmp_path: Path) -> None:
    outside = write_photo(tmp_path / "private.png")
    write_photo(tmp_path / "data" / "cat" / "1.png")
    (tmp_path / "data" / "cat" / "2.png").symlink_to(outside)
    with pytest.raises(DatasetError, match=r"cat/2\.png is outside the data folder"):
        open_dataset(str(tmp_path / "data"), "classification")
    assert len(open_dataset(str(tmp_path / "data"), "classification", allow_outside=True)) == 2
