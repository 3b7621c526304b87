"""What `tapetum evaluate` refuses before it starts anything, and how it shows figures."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from models.datasets.label_problems import WrongLabels
from models.datasets.samples import LabelProblem
from services.cli import app, evaluation_session
from services.cli.console import Screen
from services.cli.evaluation_display import counted, show_figures


@pytest.fixture(autouse=True)
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*_: object) -> None:
        raise AssertionError("the job was started")

    monkeypatch.setattr(evaluation_session, "evaluate", started)


def tapetum(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["evaluate", *arguments], env={"COLUMNS": "200"})


def refusal(*arguments: str, model: str = "yolo-digits", data: str = "digits") -> str:
    """The one line of a command that is refused at once."""
    found = tapetum("--model", model, "--data", data, *arguments)
    assert found.exit_code == 2, found.output
    assert found.stdout == ""
    (line,) = found.stderr.splitlines()
    return line


def test_what_is_not_there_is_told_before_anything_starts(tmp_path: Path) -> None:
    assert "did you mean yolo-digits or gan-digits?" in refusal(model="yolo-digit")
    assert "no such file or folder; data can be digits," in refusal(data=str(tmp_path / "gone"))
    assert "digits:COUNT" not in refusal(data="digits:x")
    assert "not an HTTP address" in refusal("--through", "gateway", "--url", "ftp://here")
    assert "No such file" in refusal("--max-drop", "1", "--baseline", str(tmp_path / "gone"))


def test_gpus_that_no_worker_would_use_or_see_are_refused() -> None:
    for options, reason in (
        (("--worker-gpus", "1"), "add --device cuda"),
        (("--worker-gpus", "1", "--device", "cuda:1"), "from cuda:0 on"),
    ):
        found = tapetum("--model", "yolo-digits", "--data", "digits", *options)
        assert found.exit_code == 2 and reason in found.stderr


def test_a_server_that_is_not_there_is_told_once(unused_port: int = 9) -> None:
    url = f"http://127.0.0.1:{unused_port}"
    found = tapetum("--model", "m", "--data", "digits", "--through", "gateway", "--url", url)
    assert (found.exit_code, found.stderr.count(url)) == (1, 1)


def test_a_file_can_be_no_folder_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for output in ("file", "file/below/it"):
        assert f"{tmp_path / 'file'} is a file" in refusal("--output", str(tmp_path / output))


def test_a_finished_run_of_another_model_or_other_data_is_not_written_over(tmp_path: Path) -> None:
    document = {"format": 1, "headline": {}, "model": {"name": "yolo-digits"}, "data": {"spec": "digits:1"}}
    (tmp_path / "result.json").write_text(json.dumps(document))
    assert "holds the run of yolo-digits on digits:1" in refusal("--output", str(tmp_path))
    for more in (["--data", "digits:1"], ["--data", "digits", "--fresh"]):
        found = tapetum("--model", "yolo-digits", "--output", str(tmp_path), *more)
        assert isinstance(found.exception, AssertionError)  # it went on to the job


def test_strict_lists_the_wrong_labels_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(*_: object) -> None:
        raise WrongLabels([LabelProblem("zero_area", "a.txt", line, "no area") for line in range(1, 121)])

    monkeypatch.setattr(evaluation_session, "evaluate", found)
    answer = tapetum("--model", "yolo-digits", "--data", "digits", "--strict")
    lines = answer.stderr.splitlines()
    assert (answer.exit_code, lines[0], lines[99]) == (1, "  a.txt:1: no area", "  a.txt:100: no area")
    assert lines[100:] == ["  … and 20 more", "error: 120 labels are wrong, and --strict stops at that"]


def shown(width: int, *, terminal: bool, baseline: bool = False) -> list[str]:
    """The figures of a run of two classes, one with a long name."""
    names = ("cat", "a class with a name that is very long")
    row = {"targets": 1200, "map": 0.5, "map_50": 0.75, "precision": 1.0, "recall": None, "best_score": 0.25}
    result: dict[str, Any] = {
        "model": {"name": "m", "version": "1", "kind": "detection"},
        "data": {"name": "d", "images": 1},
        "through": "adapter",
        "time": {"seconds": 1},
        "headline": {
            "map": {"value": 0.5, "low": 0.4, "high": 0.6},
            "map_large": dict.fromkeys(("value", "low", "high")),
        },
        "per_class": [{"class_name": name, **row} for name in names],
    }
    file = io.StringIO()
    out = Console(file=file, width=width, force_terminal=terminal, color_system=None)
    show_figures(Screen(out, out), result, {"headline": {"map": {"value": 0.48}}} if baseline else None)
    return file.getvalue().splitlines()


def test_a_pipe_gets_all_columns_whole_however_narrow_it_says_it_is() -> None:
    lines = shown(20, terminal=False, baseline=True)
    assert lines[0] == "m 1 on d: 1 image through the adapter in 0:00:01"
    assert lines[2].split() == ["map", "0.500", "+2.00", "0.400", "–", "0.600"]
    assert lines[3].split() == ["map_large", "–", "–"]
    assert lines[4].split() == ["2", "classes", "targets", "map", "map_50", "precision", "recall", "best_score"]
    assert lines[6].startswith("a class with a name that is very long    1,200  0.500")


def test_a_narrow_terminal_gets_the_columns_that_fit_and_no_number_is_cut() -> None:
    lines = shown(34, terminal=True)
    assert lines[5:] == ["cat                   1,200  0.500", "a class with a na…    1,200  0.500"]
    assert max(map(len, lines[1:])) == 34


def test_things_are_counted_in_the_plural_but_for_one() -> None:
    assert [counted(1, "image"), counted(1000, "image"), counted(2, "class")] == [
        "1 image",
        "1,000 images",
        "2 classes",
    ]
