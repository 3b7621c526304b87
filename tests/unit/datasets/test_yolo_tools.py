"""YOLO data sets as tools write them: key points, corners, spellings of rows, settings and lists of other machines."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.datasets.opening import open_dataset
from models.datasets.samples import DatasetError, EvaluationSet
from tests.unit.evaluation_files import objects, problems, write_photo, write_text

BOX = "0 0.5 0.5 0.2 0.5"
READ = [[40, 15, 60, 45]]
NAMES = "val: images/val\nnames: [cat, dog]\n"


def write_yolo(folder: Path, lines: str, yaml: str | None = NAMES, text: str = "cat\ndog\n") -> Path:
    """Writes a photo `a` with what is tried."""
    write_photo(folder / "images" / "val" / "a.png")
    write_text(folder / "labels" / "val" / "a.txt", lines)
    write_text(folder / ("classes.txt" if yaml is None else "data.yaml"), text if yaml is None else yaml)
    return folder


def read(folder: Path) -> EvaluationSet:
    return open_dataset(str(folder), "detection")


def pose(count: int, numbers: int, visible: str = "2") -> str:
    """A row with key points around the middle of the box."""
    point = ("0.45 0.45", "0.55 0.45", "0.55 0.6", "0.5 0.5", "0.42 0.6")
    tail = f" {visible}" if numbers == 3 else ""
    return " ".join([BOX, *(point[number % 5] + tail for number in range(count))])


@pytest.mark.parametrize("shape", ["[{k}, {d}]", "\n  - {k}\n  - {d}", "({k}, {d})", '"{k},{d}"', "[{k}.0, {d}.0]"])
@pytest.mark.parametrize(("count", "numbers"), [(1, 2), (1, 3), (2, 2), (4, 3), (5, 2), (17, 3), (133, 3)])
def test_the_box_of_a_pose_is_read(tmp_path: Path, count: int, numbers: int, shape: str) -> None:
    yaml = f"{NAMES}kpt_shape: {shape.format(k=count, d=numbers)}\n"
    data = read(write_yolo(tmp_path, f"{pose(count, numbers)}\n", yaml))
    assert (problems(data), objects(data, 0).boxes.tolist()) == ([], READ)


def test_rows_of_a_pose_data_set_are_boxes_with_all_key_points_or_none(tmp_path: Path) -> None:
    rows = [pose(5, 2), "1 0.5 0.5 0.2 0.5", pose(4, 2), pose(5, 3), "0 0.1 0.1 0.5 0.1 0.1 0.6"]
    data = read(write_yolo(tmp_path, "\n".join(rows), f"{NAMES}kpt_shape: [5, 2]\n"))
    assert (problems(data), objects(data, 0).boxes.tolist()) == ([("unreadable", line) for line in (3, 4, 5)], READ * 2)
    with pytest.raises(DatasetError, match="has a box and no polygon"):
        open_dataset(str(tmp_path), "instance")


@pytest.mark.parametrize("shape", ["17", "[17, 4]", "[17]", "[1.5, 2]", "[-1, 2]", "many"])
def test_a_shape_of_key_points_that_is_none_is_refused(tmp_path: Path, shape: str) -> None:
    with pytest.raises(DatasetError, match=r"data.yaml: `kpt_shape: .*` must be \[number of key points, 2 or 3\]"):
        read(write_yolo(tmp_path, BOX, f"{NAMES}kpt_shape: {shape}\n"))


@pytest.mark.parametrize("yaml", [None, NAMES])
@pytest.mark.parametrize(
    "row", [pose(5, 2), pose(4, 3), pose(4, 3, "1"), pose(2, 3), pose(1, 2), pose(16, 2), f"{BOX} 0.87 7"]
)
def test_poses_without_their_shape_are_not_taken_for_polygons(tmp_path: Path, row: str, yaml: str | None) -> None:
    folder = write_yolo(tmp_path, f"{BOX}\n\n{row}\n", yaml)
    with pytest.raises(DatasetError, match=r"a.txt:3: .* can be a polygon of .* or a box with key points"):
        read(folder)
    (folder / "classes.txt").unlink(missing_ok=True)
    write_text(folder / "data.yaml", f"{NAMES}kpt_shape: []\n")
    assert len(objects(read(folder), 0).boxes) >= 1


def test_an_odd_number_of_key_point_numbers_is_told_with_its_line(tmp_path: Path) -> None:
    data = read(write_yolo(tmp_path, f"{BOX}\n{pose(17, 3)}\n"))
    assert problems(data) == [("unreadable", 2)]
    assert "kpt_shape" in data.problems[0].message


@pytest.mark.parametrize(
    ("row", "box"),
    [
        ("0 0.4 0.25 0.6 0.25 0.6 0.75 0.4 0.75", READ[0]),  # four corners, as Ultralytics' obb task has them
        ("0 0.5 0.25 0.6 0.5 0.5 0.75 0.4 0.5", READ[0]),  # turned by 45 degrees
        ("0 0.6 0.4 0.7 0.4 0.75 0.5 0.65 0.6 0.55 0.5", [55, 24, 75, 36]),  # small, with the points in the "box"
        ("0 0.4 0.25 0.6 0.75 0.5 0.3", READ[0]),
    ],
)
def test_corners_and_polygons_are_no_poses(tmp_path: Path, row: str, box: list[float]) -> None:
    data = read(write_yolo(tmp_path, row))
    assert (problems(data), objects(data, 0).boxes.tolist()) == ([], [box])


@pytest.mark.parametrize(
    ("row", "kind", "said"),
    [
        ("0 0.5 0.5 0.2 0.5 0.87", "unreadable", "prediction, with its score"),
        ("0 48 32 24 32", "bad_number", "pixels"),
        ("0 10 10 50 10 10 36", "bad_number", "pixels"),
        ("0,0.5,0.5,0.2,0.5", "bad_number", "spaces between"),
        ("0 0,5 0,5 0,2 0,5", "bad_number", "spaces between"),
        ("# class x y w h", "bad_number", "spaces between"),
        ("0 0.5 0.5 0.2 0.5 # cat", "bad_number", "spaces between"),
        ("0 1e999 0.5 0.2 0.5", "bad_number", "finite"),
        ("0 0.5 0.5 -0.2 0.5", "zero_area", "no area"),
        ("0 -0.5 0.5 0.2 0.5", "outside_image", "outside"),
        ("0.0 0.50 5e-1 0.2 0.5", "duplicate", "the same as line 1"),
        ("2 0.5 0.5 0.2 0.5", "unknown_class", "there is no class 2; classes are 0 to 1"),
        ("1e9 0.5 0.5 0.2 0.5", "unknown_class", "there is no class 1e"),
        ("0 0.5", "unreadable", "neither a box (5) nor a polygon"),
    ],
)
def test_a_row_that_is_no_label_is_told_with_its_line(tmp_path: Path, row: str, kind: str, said: str) -> None:
    data = read(write_yolo(tmp_path, f"{BOX}\r\n\r\n{row}\r\n"))
    assert (problems(data), said in data.problems[0].message) == ([(kind, 3)], True)
    assert objects(data, 0).boxes.tolist() == READ


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("row", ["0.0 0.5 0.5 0.2 0.5", "\t0\t0.5  .5 2e-1 0.50 ", f"\n\n{BOX}\n\n \n"])
def test_rows_are_read_in_every_spelling_of_numbers(tmp_path: Path, row: str, codec: str) -> None:
    folder = write_yolo(tmp_path, BOX)
    (folder / "labels" / "val" / "a.txt").write_bytes(row.replace("\n", "\r\n").encode(codec))
    data = read(folder)
    assert (problems(data), objects(data, 0).boxes.tolist()) == ([], READ)


def test_suffixes_may_be_in_upper_case(tmp_path: Path) -> None:
    write_photo(tmp_path / "Images" / "a.PNG")
    write_text(tmp_path / "Labels" / "a.TXT", BOX)
    write_text(tmp_path / "data.yaml", "names: [cat]\nval: Images\n")
    assert (problems(read(tmp_path)), objects(read(tmp_path), 0).boxes.tolist()) == ([], READ)


def test_empty_and_missing_files_are_photos_that_show_nothing(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path, BOX)
    for name in ("b", "c"):
        write_photo(folder / "images" / "val" / f"{name}.jpg")
    write_text(folder / "labels" / "val" / "b.txt", " \n")
    data = read(folder)
    assert (problems(data), [len(objects(data, index).boxes) for index in range(3)]) == ([], [1, 0, 0])


@pytest.mark.parametrize(
    "yaml",
    [
        "path: /home/alice/pets\nval: images/val\nnames: [cat, dog]\n",
        "val: /home/alice/pets/images/val\nnames: [cat, dog]\n",
        "val: 'C:\\data\\pets\\images\\val'\nnames: [cat, dog]\n",
        "path: .\\\nval: .\\images\\val\nnames: [cat, dog]\n",
        "train: ../train/images\nval: ../images/val\nnc: 2\nnames: ['cat', 'dog']\n",
        "validation: images/val\nnames: {'0': cat, '1': dog}\n",
        "train: images/train\ntest: images/val\nnames: {0: cat, 1: dog}\n",
        "train: images/train\nval:\nnames: {0: cat, 7: dog}\n",
        "train: images/train\nnames: [cat, dog]\nnc: '2'\n",
        "val: [images/val, ./images/val/]\nnames: [cat, dog]\n",
        "val: list.txt\nnames: [cat, dog]\n",
        "val: data/list.txt\nnames: [cat, dog]\n",
    ],
)
@pytest.mark.parametrize(
    "line", ["./images/val/a.png", "C:\\pets\\images\\val\\a.png", "/mnt/x/images/val/a.png", "data/images/val/a.png"]
)
def test_settings_and_lists_of_other_machines_are_found(tmp_path: Path, yaml: str, line: str) -> None:
    folder = write_yolo(tmp_path / "pets", BOX, yaml)
    write_text(folder / "list.txt", f"\ufeff{line}\r\n\r\n")
    data = read(folder)
    assert (len(data), problems(data), objects(data, 0).boxes.tolist()) == (1, [], READ)
    assert data.class_names == ("cat", "dog")


def test_a_list_names_missing_photos_and_repeated_ones_with_their_lines(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path, BOX, "val: val.txt\nnames: [cat]\n")
    write_photo(folder / "images" / "val" / "b.png")
    write_text(folder / "labels" / "val" / "b.txt", BOX)
    write_text(folder / "val.txt", "images/val/a.png\n\nimages/val/gone.png\n./images/val/a.png\n")
    data = read(folder)
    assert (len(data), problems(data)) == (1, [("missing_file", 3), ("duplicate", 4)])
    assert data.problems[0].file == str(folder / "val.txt")


def test_what_settings_and_lists_name_must_be_in_the_data_folder(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path / "pets", BOX, "val: val.txt\nnames: [cat]\n")
    write_photo(tmp_path / "private" / "secret.png")
    write_text(folder / "val.txt", "images/val/a.png\n../private/secret.png\n")
    with pytest.raises(DatasetError, match=r"val.txt:2: .*secret.png is outside the data folder .*--allow-outside"):
        read(folder)
    assert len(open_dataset(str(folder), "detection", allow_outside=True)) == 2
    write_text(folder / "data.yaml", "val: ../private\nnames: [cat]\n")
    with pytest.raises(DatasetError, match=r"`val: ../private`: .* is outside the data folder"):
        read(folder)


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("val: images/val\nnames: [no, cat]\n", "that of class 0 is False to YAML; put it in quotes"),
        ("val: images/val\nnames: {cat: 0}\n", "'cat' is not a class number"),
        ("val: images/val\nnames: {-1: cat}\n", "-1 is not a class number"),
        ("val: images/val\nnames: [cat, dog]\nnc: 3\n", "nc is 3, and there are 2 names"),
        ("val: ../elsewhere/images\nnames: [cat, dog]\n", "nothing at `val: ../elsewhere/images`"),
        ("val: images/val\nnames: [cat]\nnames: [dog]\n", "the key 'names' is there twice"),
        ("a: &a [x, x]\nb: &b [*a, *a]\n" * 20, "not YAML"),
    ],
)
def test_settings_that_are_wrong_are_named(tmp_path: Path, yaml: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read(write_yolo(tmp_path, BOX, yaml))


def test_an_empty_line_of_a_class_file_keeps_the_numbers_of_the_others(tmp_path: Path) -> None:
    data = read(write_yolo(tmp_path, "2 0.5 0.5 0.2 0.5\n1 0.5 0.5 0.1 0.1", None, "cat\n\ndog\n\n"))
    assert (data.class_names, problems(data)) == (("cat", "dog"), [("unknown_class", 2)])
    assert objects(data, 0).class_ids.tolist() == [1]


def test_a_folder_of_photos_without_a_folder_of_labels_is_told(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path, BOX, "val: [images/val, images/more]\nnames: [cat]\n")
    write_photo(folder / "images" / "more" / "b.png")
    data = read(folder)
    assert (len(data), problems(data)) == (2, [("missing_file", None)])
    assert data.problems[0].file == str(folder / "images" / "more")


def test_labels_of_photos_that_a_list_leaves_out_are_no_strays(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path, BOX, "val: val.txt\nnames: [cat]\n")
    write_photo(folder / "images" / "val" / "b.png")
    for name in ("b", "gone"):
        write_text(folder / "labels" / "val" / f"{name}.txt", BOX)
    write_text(folder / "val.txt", "images/val/a.png\n")
    data = read(folder)
    assert (len(data), [Path(problem.file).name for problem in data.problems]) == (1, ["gone.txt"])


FIELDS = {
    "class": st.sampled_from(["0", "0.0", "00", "+0", "0e0", "1", "2", "-1", "x", "0,"]),
    "x": st.sampled_from(["0.5", ".5", "5e-1", "0.50", "50", "0,5", "nan", "-0.5", "0.95"]),
    "w": st.sampled_from(["0.2", "0.20", "2e-1", "0", "-0.2"]),
    "tail": st.sampled_from(
        ["", " ", "\t", " #", " 0.45 0.45 0.55 0.55", " 0.45 0.45 2 0.55 0.55 2", " 1", " 0.87", " 0.87 1"]
    ),
    "shape": st.sampled_from(["", "kpt_shape: [2, 2]", "kpt_shape: [2, 3]", "kpt_shape: []"]),
    "end": st.sampled_from(["\n", "\r\n", "\n\n", ""]),
    "codec": st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    "names": st.sampled_from(["[cat]", "{0: cat}", "{'0': cat}", "\n- cat", "\n  0: cat"]),
    "place": st.sampled_from(["images/val", "./images/val/", "../images/val", "images\\val", "/mnt/x/images/val"]),
}


@settings(max_examples=100, deadline=None)
@given(st.fixed_dictionaries(FIELDS))
def test_every_spelling_is_read_as_the_plain_one_or_told(tmp_path_factory: pytest.TempPathFactory, by: dict) -> None:
    folder = tmp_path_factory.mktemp("yolo")
    write_yolo(folder, "", f"val: {by['place']}\nnames: {by['names']}\n{by['shape']}\n")
    write_photo(folder / "images" / "val" / "b.png")
    write_text(folder / "labels" / "val" / "b.txt", BOX)
    row = f"{by['class']} {by['x']} 0.5 {by['w']} 0.5{by['tail']}"
    (folder / "labels" / "val" / "a.txt").write_bytes((row + by["end"]).encode(by["codec"]))
    try:
        data = read(folder)
    except DatasetError as error:
        assert "kpt_shape" in str(error)
        return
    stated = by["shape"] == "kpt_shape: []" and len(by["tail"].split()) > 1
    is_triangle = by["tail"] == " 0.87 1" and by["w"] == "0"  # and no box, whose width is above 0
    is_polygon = stated or (("0.45" in by["tail"] or is_triangle) and not by["shape"])
    if not data.problems and not is_polygon:
        assert objects(data, 0).boxes.tolist() == READ
    for problem in data.problems:
        assert (problem.file, problem.line) == (str(folder / "labels" / "val" / "a.txt"), 1)


@pytest.mark.parametrize("stem", ["test", "train", "val", "Valid", "readme"])
def test_labels_of_a_photo_that_is_called_like_a_list_are_read(tmp_path: Path, stem: str) -> None:
    write_yolo(tmp_path, f"{BOX}\n")
    write_photo(tmp_path / "images" / "val" / f"{stem}.png")
    write_text(tmp_path / "labels" / "val" / f"{stem}.txt", f"{BOX}\n")
    data = read(tmp_path)
    assert [objects(data, index).boxes.tolist() for index in range(2)] == [READ, READ]


@pytest.mark.parametrize("number", ["9" * 400, "1e400", ".inf", "0x" + "f" * 900, "true"])
def test_a_class_number_that_is_out_of_range_is_named(tmp_path: Path, number: str) -> None:
    with pytest.raises(DatasetError, match="is not a class number"):
        read(write_yolo(tmp_path, BOX, f"val: images/val\nnames: {{{number}: cat}}\n"))


@pytest.mark.parametrize("number", ["Infinity", "1" + "0" * 400, "true", "null", "1.5"])
def test_a_number_in_notes_json_that_is_out_of_range_is_an_error(tmp_path: Path, number: str) -> None:
    write_yolo(tmp_path, BOX, None, "")
    write_text(tmp_path / "notes.json", f'{{"categories": [{{"id": {number}, "name": "cat"}}]}}')
    with pytest.raises(DatasetError, match=r"notes.json: no list of categories"):
        read(tmp_path)
