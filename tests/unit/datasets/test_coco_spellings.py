"""Members of COCO's files as tools write them: read as they are meant, or listed as problems; never another figure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from models.datasets.opening import open_dataset
from models.datasets.samples import DatasetError, EvaluationSet, Kind
from tests.unit.coco_spellings import READ, Document, all_spellings, clean, spelled
from tests.unit.evaluation_files import objects, write_photo

pytestmark = pytest.mark.slow

ALL = list(all_spellings())
KINDS: tuple[Kind, ...] = ("detection", "instance")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of the clean file."""
    folder = tmp_path_factory.mktemp("pets")
    for number in (1, 2):
        write_photo(folder / "images" / f"{number}.png")
    return folder


def opened(folder: Path, document: Any, kind: Kind = "detection") -> EvaluationSet:
    path = folder / "instances_val.json"
    path.write_text(json.dumps(document))
    return open_dataset(str(path), kind)


def average_precision_of_pycocotools(path: Path) -> float:
    """Of the clean file's boxes, found perfectly; 0 where it cannot read the file."""
    try:
        truth: Any = COCO(str(path))
        rows = clean()["annotations"]
        results = truth.loadRes(
            [{key: row[key] for key in ("image_id", "category_id", "bbox")} | {"score": 0.9} for row in rows]
        )
        measured: Any = COCOeval(truth, results, "bbox")
        measured.evaluate()
        measured.accumulate()
        measured.summarize()
    except Exception:  # whatever numpy and dictionaries raise
        return 0.0
    return float(measured.stats[0])


def figure_of(data: EvaluationSet) -> list[Any]:
    """All that a figure is made of: of every photo its boxes, classes, areas, crowds and masks."""
    targets = [objects(data, index) for index in range(len(data))]
    arrays = [(target.boxes, target.class_ids, target.areas, target.crowds) for target in targets]
    return [[array.tolist() for array in row] for row in arrays] + [target.masks for target in targets]


@pytest.mark.parametrize(("section", "member", "name"), ALL)
def test_each_spelling_is_read_as_the_clean_file_or_told_with_its_place(
    folder: Path, section: str, member: str, name: str
) -> None:
    for kind in KINDS:
        expected = figure_of(opened(folder, clean(), kind))
        try:
            found = opened(folder, spelled(clean(), section, member, name), kind)
        except DatasetError as error:
            assert "instances_val.json" in str(error) and "\n" not in str(error)
            continue
        assert figure_of(found) == expected or found.problems


@pytest.mark.parametrize(("section", "member", "name"), ALL)
def test_what_pycocotools_evaluates_is_read(folder: Path, section: str, member: str, name: str) -> None:
    expected = figure_of(opened(folder, clean()))
    document = spelled(clean(), section, member, name)
    path = folder / "instances_val.json"
    path.write_text(json.dumps(document))
    if member == "file_name" or average_precision_of_pycocotools(path) < 1:
        return
    if (member, name) == ("bbox", "NaN"):  # of which pycocotools makes 1, too
        with pytest.raises(DatasetError, match=r"annotations\[0\]: the bbox \[nan, .*\] is not four finite numbers"):
            opened(folder, document)
        return
    assert figure_of(opened(folder, document)) == expected


@pytest.mark.parametrize(("section", "member", "names"), [(*member, names) for member, names in READ.items()])
def test_spellings_of_real_tools_are_read_without_a_problem(
    folder: Path, section: str, member: str, names: tuple[str, ...]
) -> None:
    for kind in KINDS:
        expected = figure_of(opened(folder, clean(), kind))
        for name in names:
            for index in (None,) if name in ("folder", "backslash") else (None, 0):  # in all rows, and in one of them
                found = opened(folder, spelled(clean(), section, member, name, index), kind)
                assert (figure_of(found), found.problems) == (expected, ())


@pytest.mark.parametrize("value", [1, True, 1.0, "1", "1.0", "true", " 1 "])
def test_a_crowd_is_one_in_every_spelling(folder: Path, value: Any) -> None:
    document = clean()
    document["annotations"][1]["iscrowd"] = value
    data = opened(folder, document)
    assert (objects(data, 0).crowds.tolist(), data.problems) == ([False, True], ())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.sampled_from(ALL), st.integers(0, 2)),
        min_size=1,
        max_size=4,
        unique_by=lambda change: change[0][:2],
    )
)
def test_any_mixture_of_spellings_gives_the_clean_figure_or_is_told(
    folder: Path, mixture: list[tuple[tuple[str, str, str], int]]
) -> None:
    expected = figure_of(opened(folder, clean()))
    document: Document = clean()
    for (section, member, name), index in mixture:
        document = spelled(document, section, member, name, index)
    try:
        found = opened(folder, document)
        same = figure_of(found) == expected
    except DatasetError as error:
        assert str(folder) in str(error) and "\n" not in str(error)
        return
    assert same or found.problems
    assert all(problem.line == 1 for problem in found.problems)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)))
@settings(max_examples=100, deadline=None)
def test_no_value_of_a_member_ends_in_another_error(folder: Path, value: Any) -> None:
    for section, member in (("annotations", "bbox"), ("annotations", "segmentation"), ("images", "id")):
        document = clean()
        document[section][0][member] = value
        try:
            opened(folder, document, "instance")
        except DatasetError:
            continue


def test_a_photo_that_is_there_twice_is_told_with_what_was_left_out(folder: Path) -> None:
    document = clean()
    document["images"][1]["file_name"] = "./1.png"
    data = opened(folder, document)
    assert [problem.kind for problem in data.problems] == ["duplicate"]
    assert "images[1]: image 1 is this photo, too, and stays; 1 annotations" in data.problems[0].message
    assert len(data) == 1


def test_of_equal_annotations_with_one_id_the_later_is_told_and_of_different_ones_both_count(folder: Path) -> None:
    document = clean()
    document["annotations"].append(dict(document["annotations"][0]))
    document["annotations"][1]["id"] = 1
    data = opened(folder, document)
    assert figure_of(data) == figure_of(opened(folder, clean()))
    assert [(problem.kind, problem.message) for problem in data.problems] == [
        ("duplicate", "annotations[3]: the same as annotations[0]")
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_are_told_by_the_first_bytes(folder: Path, encoding: str) -> None:
    document = clean()
    document["categories"][0]["name"] = "Löwe"
    path = folder / "instances_val.json"
    path.write_bytes(json.dumps(document, ensure_ascii=False).encode(encoding))
    assert open_dataset(str(path), "detection").class_names == ("cat", "Löwe")
    path.write_bytes(json.dumps(document, ensure_ascii=False).encode("latin-1"))
    with pytest.raises(DatasetError, match=r"instances_val\.json: not UTF-8: invalid start byte at byte 708"):
        open_dataset(str(path), "detection")


def test_a_category_may_be_called_by_a_number(folder: Path) -> None:
    document = clean()
    document["categories"][0]["name"] = 7
    assert opened(folder, document).class_names == ("cat", "7")


@pytest.mark.parametrize("written", [(-1, -1), ("60", "100.0"), (60, -1), (None, 100), (0, 0), (None, None), ("", "")])
def test_a_size_that_is_not_known_is_that_of_the_photo(folder: Path, written: tuple[Any, Any]) -> None:
    document = clean()
    for row in document["images"]:
        row["height"], row["width"] = written
    data = opened(folder, document)
    assert data.problems == ()
    assert [data.load(index).image_id for index in (0, 1)] == [1, 2]


def test_a_side_that_contradicts_the_photo_leaves_it_out(folder: Path) -> None:
    document = clean()
    document["images"][1] |= {"height": 61, "width": -1}
    data = opened(folder, document)
    assert (len(data), [problem.kind for problem in data.problems]) == (1, ["wrong_size"])
    assert "images[1]: the height is 61, but that of" in data.problems[0].message


def test_names_that_lead_out_of_the_folder_need_the_option(tmp_path: Path) -> None:
    folder = tmp_path / "pets"
    for number in (1, 2):
        write_photo(folder / "images" / f"{number}.png")
    outside = write_photo(tmp_path / "private" / "3.png")
    (folder / "images" / "link.png").symlink_to(outside)
    for name in ("../../private/3.png", str(outside), "link.png", "..\\..\\private\\3.png", "%2E%2E/../private/3.png"):
        document = clean()
        document["images"][1]["file_name"] = name
        with pytest.raises(DatasetError, match=r"instances_val.json:1: images\[1\]: .* is outside .*--allow-outside"):
            opened(folder, document)
        allowed = open_dataset(str(folder / "instances_val.json"), "detection", allow_outside=True)
        assert (len(allowed), allowed.problems) == (2, ())
        assert allowed.load(1).image == outside.read_bytes()
    named = open_dataset(f"{folder / 'instances_val.json'}:{folder / 'images'}", "detection", limit=1)
    assert len(named) == 1


def test_a_folder_that_the_user_names_is_no_way_out_for_others(tmp_path: Path) -> None:
    for number in (1, 2):
        write_photo(tmp_path / "elsewhere" / f"{number}.png")
    write_photo(tmp_path / "private" / "2.png")
    path = tmp_path / "labels" / "instances_val.json"
    path.parent.mkdir()
    path.write_text(json.dumps(clean()))
    assert len(open_dataset(f"{path}:{tmp_path / 'elsewhere'}", "detection")) == 2
    document = clean()
    document["images"][1]["file_name"] = "../private/2.png"
    path.write_text(json.dumps(document))
    with pytest.raises(DatasetError, match="--allow-outside"):
        open_dataset(f"{path}:{tmp_path / 'elsewhere'}", "detection")


def test_photos_are_found_as_cvat_exports_them(tmp_path: Path) -> None:
    for number in (1, 2):
        write_photo(tmp_path / "task" / "images" / "default" / f"{number}.png")
    path = tmp_path / "task" / "annotations" / "instances_default.json"
    path.parent.mkdir()
    path.write_text(json.dumps(clean()))
    assert len(open_dataset(str(path), "detection")) == 2
    document = clean()
    document["images"][0]["file_name"] = "images/default/1.png"
    document["images"][1]["file_name"] = "images\\default\\2.png"
    path.write_text(json.dumps(document))
    assert len(open_dataset(str(path), "detection")) == 2
