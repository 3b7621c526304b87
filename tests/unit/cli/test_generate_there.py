"""`tapetum generate --url`: a gateway with the bundled generator gives the images that this process makes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.cli import app
from tests.unit.hosted_gateway import hosted_gateway

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with hosted_gateway([{"name": "Generator", "task": "generation", "models": ["gan-digits"]}]) as gateway:
        yield gateway.url


def generate(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["generate", *arguments])


def test_a_server_makes_the_image_that_this_process_makes(url: str, tmp_path: Path) -> None:
    here, there = tmp_path / "here.png", tmp_path / "there.png"
    asked = ("--class", "7", "--seed", "1", "--count", "3", "-o")
    assert generate(*asked, str(here)).exit_code == 0
    assert generate(*asked, str(there), "--url", url).exit_code == 0
    assert here.read_bytes() == there.read_bytes()


def test_json_of_a_server_has_the_classes_that_the_seed_drew(url: str, tmp_path: Path) -> None:
    asked = ("--count", "4", "--seed", "3", "--json", "-o", str(tmp_path / "a.png"))
    here, there = json.loads(generate(*asked).stdout), json.loads(generate(*asked, "--url", url).stdout)
    assert there == here
    assert len(here["class_ids"]) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--class", "ten"), "the model has no class 'ten'"),
        (("--seed", "-1"), "seed: "),
        (("--seed", str(2**53)), "seed: "),
        (("--count", "65"), "count: "),
        (("--model", "gan-digit"), "there is no model 'gan-digit'; did you mean gan-digits?"),
    ],
)
def test_what_a_server_refuses_is_said_in_one_line(url: str, arguments: tuple[str, ...], message: str) -> None:
    result = generate(*arguments, "--url", url)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_server_that_does_not_answer_is_said_in_one_line() -> None:
    result = generate("--url", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "no server answers at http://127.0.0.1:9" in result.stderr
