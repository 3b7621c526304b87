"""Text and JSON files of people: encodings, and errors of one line."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from models.sources.text_documents import DocumentError, read_json, read_text
from tests.unit.evaluation_files import write_text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_encodings_are_told_by_the_first_bytes(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "labels.json"
    path.write_bytes('{"a.jpg": "Kätzchen"}'.encode(encoding))
    assert read_json(path) == {"a.jpg": "Kätzchen"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "not JSON: nested too deeply"),
        ('{"a":' * 100_000, "not JSON: nested too deeply"),
        ("9" * 5000, "not JSON: Exceeds the limit"),
        ("{", "not JSON: Expecting property name"),
        ("", "not JSON: Expecting value"),
        (" " * (2**24 + 1), "larger than 16 MiB"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_the_file(tmp_path: Path, text: str, message: str) -> None:
    path = write_text(tmp_path / "labels.json", text)
    with pytest.raises(DocumentError, match=message) as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_what_is_in_no_known_encoding_is_told_by_byte(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes("Kätzchen".encode("cp1252"))
    with pytest.raises(DocumentError, match=r"labels\.txt: not UTF-8: invalid continuation byte at byte 1"):
        read_text(tmp_path / "labels.txt")
    with pytest.raises(DocumentError, match=r"gone\.txt: No such file"):
        read_text(tmp_path / "gone.txt")


def test_reading_allocates_no_more_than_the_file_has(tmp_path: Path) -> None:
    path = write_text(tmp_path / "labels.txt", "cat\n")
    tracemalloc.start()
    try:
        assert read_text(path, 2**28) == "cat\n"
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
