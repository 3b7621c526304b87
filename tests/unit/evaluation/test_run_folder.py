"""The folder of a run: parts that are kept, and runs that are told apart."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models.files import replaced
from services.evaluation.run_folder import JsonList, RunFolder, RunFolderError
from services.evaluation.worker import Chunk, ChunkResult, pack

PLAN = {"model": {"name": "m", "parameters": {"top_k": 5}}, "data": "abc", "images": 4}


def finished(part: Chunk) -> ChunkResult:
    lines = b"".join(b'{"index":%d}\n' % index for index in range(part.start, part.stop))
    return ChunkResult(part, lines, pack({"indices": np.arange(part.start, part.stop)}), 0, 0.1)


def test_a_finished_part_is_found_again_with_its_lines_and_arrays(tmp_path: Path) -> None:
    folder, part = RunFolder(tmp_path / "run"), Chunk(1, 2, 4)
    assert not folder.open(PLAN)
    folder.add(finished(part))
    again = RunFolder(tmp_path / "run")
    assert again.open(PLAN)
    assert again.has(part)
    assert not again.has(Chunk(0, 0, 2))
    assert [line["index"] for line in again.lines([part])] == [2, 3]
    assert [columns["indices"].tolist() for columns in again.columns([part])] == [[2, 3]]


def test_another_run_in_the_folder_is_refused_by_what_differs(tmp_path: Path) -> None:
    RunFolder(tmp_path).open(PLAN)
    with pytest.raises(RunFolderError, match="with another data, images; "):
        RunFolder(tmp_path).open({**PLAN, "data": "xyz", "images": 5})


def test_a_cleared_folder_takes_another_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.open(PLAN)
    folder.clear()
    assert not folder.is_unfinished(PLAN)
    assert not folder.open({**PLAN, "data": "xyz"})


def test_a_part_whose_writing_was_cut_off_is_not_finished(tmp_path: Path) -> None:
    folder, part = RunFolder(tmp_path), Chunk(0, 0, 2)
    folder.open(PLAN)
    folder.add(finished(part))
    (tmp_path / "parts" / "000000.npz").unlink()
    assert not folder.has(part)


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with pytest.raises(ZeroDivisionError), replaced(path) as file:
        file.write(b"half of")
        raise ZeroDivisionError
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"before", [path])


@pytest.mark.parametrize("rows", [[], [{"a": 1}], [{"a": 1}, {"b": [2]}]])
def test_a_list_is_json_however_many_rows_it_has(tmp_path: Path, rows: list[dict[str, object]]) -> None:
    with replaced(tmp_path / "rows.json") as file, JsonList(file) as written:
        for row in rows:
            written.add(row)
    assert json.loads((tmp_path / "rows.json").read_bytes()) == rows
    assert written.rows == len(rows)
