"""Class names come from files, YAML or the command line, and what is wrong with them is one line."""

from pathlib import Path

import pytest

from models.errors import UnusableModel
from models.importing.class_names import read_class_names


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_names_on_the_command_line_are_separated_by_commas():
    assert read_class_names("cat, dog,hot dog") == ("cat", "dog", "hot dog")


def test_file_has_a_name_on_each_line(tmp_path):
    assert read_class_names(written(tmp_path / "names.txt", "cat\ndog, big\n\n")) == ("cat", "dog, big")


@pytest.mark.parametrize("names", ["[cat, 7]", "{0: cat, 1: 7}", "{1: 7, 0: cat}"])
def test_yaml_of_yolo_names_classes_in_a_list_or_by_number(tmp_path, names):
    assert read_class_names(written(tmp_path / "data.yaml", f"nc: 2\nnames: {names}\n")) == ("cat", "7")


def test_lists_of_imagenet_and_coco_have_names():
    assert len(read_class_names("imagenet")) == 1000
    assert read_class_names("coco")[:2] == ("person", "bicycle")


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("data.yaml", "names: {1: cat, 2: dog}", "must count up from 0"),
        ("data.yaml", "names: {0: cat, 2: dog}", "must count up from 0"),
        ("data.yaml", "names: {0: cat, true: dog}", "must count up from 0"),
        ("data.yaml", "nc: 2", "there must be `names`"),
        ("data.yaml", "names: [cat, no]", "`names` of class 1 is False to YAML; put it in quotes"),
        ("data.yaml", "names: [", "not YAML"),
        ("names.txt", "", "no class names"),
        ("names.txt", "cat\n\ndog", "name of class 1 is empty"),
        ("names.txt", "cat\nd\xff", "not UTF-8"),
    ],
)
def test_file_without_usable_names_is_one_clear_line(tmp_path, name, text, problem):
    path = tmp_path / name
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UnusableModel, match=problem) as caught:
        read_class_names(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["cat,,dog", "", "missing.txt"])
def test_empty_names_and_missing_files_are_refused(text):
    with pytest.raises(UnusableModel):
        read_class_names(text)
