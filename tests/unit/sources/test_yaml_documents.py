"""YAML files of people: what is read, and that no file of a megabyte takes long or ends in a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.datasets.opening import open_dataset
from models.datasets.samples import DatasetError
from models.sources.text_documents import DocumentError
from models.sources.yaml_documents import read_yaml
from services.configuration import TopologyError
from services.serve_file import read_serve_file
from tests.unit.evaluation_files import write_text

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{below}'] * 9)}]\n" for below, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def test_settings_with_anchors_and_merged_keys_are_read(tmp_path: Path) -> None:
    text = "usual: &usual {batch: 8, wait: 0.5}\nmodels:\n  - {<<: *usual, name: a, batch: 4}\n  - *usual\n"
    document = read_yaml(write_text(tmp_path / "data.yaml", text))
    assert document["models"] == [{"batch": 4, "wait": 0.5, "name": "a"}, {"batch": 8, "wait": 0.5}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_are_told_by_the_first_bytes(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "data.yaml"
    path.write_bytes("names: [Kätzchen]\r\n".encode(encoding))
    assert read_yaml(path) == {"names": ["Kätzchen"]}


def test_an_empty_file_is_nothing(tmp_path: Path) -> None:
    assert read_yaml(write_text(tmp_path / "data.yaml", "")) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "more than 262144 items"),
        ("a: &a [*a]", r"the alias \*a stands for nothing"),
        ("a: &x [1]\nb: *y", r"the alias \*y stands for nothing"),
        ("[" * 100_000, "nested deeper than 50"),
        ("{a: " * 1000, "nested deeper than 50"),
        ("- " * 1000 + "x", "nested deeper than 50"),
        ("[" + "1," * 300_000 + "]", "more than 262144 items"),
        ("x: " + "1:1" * 200_000, "more than 3500 characters"),
        ("x: '" + "a" * 2**20 + "'", "larger than 1 MiB"),
        ("x: !!python/object/apply:os.system [ls]", "the tag .* is not read"),
        ("x: !!int ''", "the tag .* is not read"),
        ("x: 2026-99-99", "not YAML: month must be in 1..12"),
        ("x: 0x_", "not YAML: invalid literal"),
        ("names: {0: cat, 0: dog}", "the key '0' is there twice"),
        ("a: 1\n---\nb: 2", "expected a single document"),
        ("a: [1, 2", "not YAML"),
        ("a: \0", "not YAML"),
        ("{[1]: 2}", "not YAML: .*unhashable key"),
    ],
)
@pytest.mark.timeout(20)
def test_what_cannot_be_read_is_one_line_with_the_file(tmp_path: Path, text: str, message: str) -> None:
    path = write_text(tmp_path / "data.yaml", text)
    with pytest.raises(DocumentError, match=message) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_bomb_is_refused_wherever_settings_are_read(tmp_path: Path) -> None:
    path = write_text(tmp_path / "data.yaml", BOMB)
    with pytest.raises(TopologyError, match="more than 262144 items"):
        read_serve_file(path)
    with pytest.raises(DatasetError, match="more than 262144 items"):
        open_dataset(str(path), "detection")
