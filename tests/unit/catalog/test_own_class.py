"""The class of docs/extending.md is added by the command that stands there, and answers through a gateway."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from models.catalog.loading import load
from models.runtime import Runtime
from services.cli import app
from services.client import Client
from tests.checkout import ROOT
from tests.photos import BLUE, GREEN, RED, encoded
from tests.unit.hosted_gateway import hosted_gateway

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

SECTION = (ROOT / "docs" / "extending.md").read_text().partition("## A class of your own")[2].partition("\n## ")[0]
COLOURS = {"red": RED, "green": GREEN, "blue": BLUE}


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, in which the lines of the document have run up to `tapetum models add`."""
    (tmp_path / "my_networks.py").write_text(block("python"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_networks", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.delenv("TAPETUM_CATALOG", raising=False)
    assignment = re.search(r"TAPETUM_MODEL_MODULES=(\S+)", block("sh"))
    assert assignment
    monkeypatch.setenv("TAPETUM_MODEL_MODULES", assignment[1])
    runpy.run_path("my_networks.py", run_name="__main__")
    return tmp_path


def photo_of(colour: tuple[int, int, int]) -> bytes:
    return encoded(Image.new("RGB", (50, 40), colour), "PNG")


def add_command() -> list[str]:
    lines = block("sh").replace("\\\n", " ").splitlines()
    return shlex.split(next(line for line in lines if line.startswith("tapetum models add")))[1:]


@pytest.mark.usefixtures("folder")
def test_class_of_the_document_is_added_and_served():
    result = CliRunner().invoke(app, add_command())
    assert result.exit_code == 0, result.stderr
    model = load("colours", Runtime(precision="fp32"))
    answers = model.predict([photo_of(colour) for colour in COLOURS.values()])
    assert [model.class_names[answer.class_ids[0]] for answer in answers] == list(COLOURS)
    with (
        hosted_gateway([{"name": "Own", "task": "classification", "models": ["colours"]}]) as gateway,
        Client(gateway.url) as client,
    ):
        for name, colour in COLOURS.items():
            (best, *_) = client.classify(photo_of(colour)).predictions
            assert best.class_name == name


@pytest.mark.usefixtures("folder")
def test_without_the_setting_the_command_says_which_one_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TAPETUM_MODEL_MODULES")
    result = CliRunner().invoke(app, add_command())
    assert result.exit_code != 0
    assert "set TAPETUM_MODEL_MODULES=my_networks to allow it" in f"{result.stderr}{result.exception}"


def test_document_shows_it_in_about_twenty_lines():
    assert len(block("python").split("\n\n")) <= 6 and len(block("python").splitlines()) <= 22
