"""Names in labels: which files they lead to, and which of them may be read."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from models.datasets.data_folder import DataFolder
from models.datasets.photo_dataset import DatasetError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a photo, beside a file that is nobody's business."""
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "data" / "images" / "a.jpg").touch()
    (tmp_path / "private.jpg").touch()
    return tmp_path / "data"


@pytest.mark.parametrize("name", ["images/a.jpg", "images/../images/a.jpg", "./images/a.jpg", "not/there.jpg", "x\0y"])
def test_what_is_below_the_folder_may_be_read(folder: Path, name: str) -> None:
    assert DataFolder(folder).holds(folder / name)


@pytest.mark.parametrize("name", ["../private.jpg", "images/../../private.jpg", "/etc/passwd", "..", "images/../.."])
def test_what_leads_out_of_the_folder_is_refused_by_place_path_and_option(folder: Path, name: str) -> None:
    with pytest.raises(DatasetError) as caught:
        DataFolder(folder).check(folder / name, "val.csv:17")
    message = str(caught.value)
    assert message.startswith(f"val.csv:17: {folder / name} is outside the data folder {folder}; --allow-outside")
    assert "\n" not in message
    assert DataFolder(folder, allow_outside=True).check(folder / name, "val.csv:17") == folder / name


def test_links_that_lead_out_are_refused_and_those_within_are_not(folder: Path) -> None:
    (folder / "images" / "out.jpg").symlink_to(folder.parent / "private.jpg")
    (folder / "images" / "in.jpg").symlink_to("a.jpg")
    (folder / "elsewhere").symlink_to(folder.parent)
    data = DataFolder(folder)
    assert data.holds(folder / "images" / "in.jpg")
    assert not data.holds(folder / "images" / "out.jpg")
    assert not data.holds(folder / "elsewhere" / "private.jpg")
    with pytest.raises(DatasetError, match=r"images/out\.jpg is outside the data folder"):
        data.checked(sorted((folder / "images").iterdir()))


def test_a_folder_that_is_itself_a_link_and_a_relative_one_are_data_folders(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.parent / "link").symlink_to(folder)
    assert DataFolder(folder.parent / "link").holds(folder.parent / "link" / "images" / "a.jpg")
    monkeypatch.chdir(folder.parent)
    assert DataFolder(Path("data")).holds(folder / "images" / "a.jpg")
    assert not DataFolder(Path("data")).holds(Path("private.jpg"))


@pytest.mark.parametrize(
    ("file", "written"),
    [
        ("sub/my photo.jpg", "sub\\my photo.jpg"),
        ("sub/my photo.jpg", "sub/my%20photo.jpg"),
        ("sub/my photo.jpg", "sub\\my%20photo.JPG"),
        ("sub/100%25.jpg", "sub/100%25.jpg"),
        (unicodedata.normalize("NFC", "grün.jpg"), unicodedata.normalize("NFD", "grün.jpg")),
        (unicodedata.normalize("NFD", "grün.jpg"), unicodedata.normalize("NFC", "grün.jpg")),
        ("IMG_1.JPG", "img_1.jpg"),
        ("a\\b.jpg", "a\\b.jpg"),
    ],
)
def test_names_as_other_systems_spell_them_are_found(tmp_path: Path, file: str, written: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    assert DataFolder(tmp_path).find(tmp_path, written) == tmp_path / file


def test_of_two_files_that_differ_in_case_neither_is_guessed(tmp_path: Path) -> None:
    for name in ("a.JPG", "A.jpg"):
        (tmp_path / name).touch()
    data = DataFolder(tmp_path)
    assert data.find(tmp_path, "a.jpg") is None
    assert data.find(tmp_path, "a.JPG") == tmp_path / "a.JPG"
