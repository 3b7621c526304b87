"""`tapetum stylize`: what is refused before Ray starts, each in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import services.stylizing
from services.cli import app
from tests.checkout import DOCS

PHOTO = DOCS / "images" / "astronaut.jpg"


@pytest.fixture(autouse=True)
def no_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def start(*_: object) -> None:
        raise AssertionError("the job was started")

    monkeypatch.setattr(services.stylizing, "stylizing", start)
    monkeypatch.chdir(tmp_path)


def stylize(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["stylize", *(str(argument) for argument in arguments)])


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """The first bytes of a JPEG."""
    path = tmp_path / "damaged.jpg"
    path.write_bytes(PHOTO.read_bytes()[:3000])
    return path


def test_a_damaged_photo_is_named(damaged: Path) -> None:
    result = stylize(damaged, "stained-glass")
    assert (result.exit_code, result.stderr) == (1, f"error: {damaged}: the JPEG is truncated or corrupt\n")


def test_a_damaged_style_picture_is_named(damaged: Path) -> None:
    result = stylize(PHOTO, damaged)
    assert (result.exit_code, result.stderr) == (1, f"error: {damaged}: the JPEG is truncated or corrupt\n")


@pytest.mark.parametrize("arguments", [("absent.jpg", "stained-glass"), (PHOTO, "absent.jpg")])
def test_a_missing_picture_is_named(arguments: tuple[str | Path, str]) -> None:
    result = stylize(*arguments)
    assert (result.exit_code, result.stderr) == (1, "error: absent.jpg: No such file or directory\n")


def test_a_folder_that_is_missing_is_an_error_before_anything_is_computed() -> None:
    result = stylize(PHOTO, "stained-glass", "-o", "absent/window.png")
    assert (result.exit_code, result.stderr) == (1, "error: absent: there is no such folder\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-o", "window.gif"), "window.gif: the name must end in .png, .jpg, .jpeg, .webp"),
        (("--preview-every", "15"), "--preview-every must be a multiple of 10, not 15"),
        (("--device", "gpu"), "'gpu' is none of cpu, cuda and cuda:N"),
        (("--features", "vgg16"), "vgg16"),
    ],
)
def test_options_that_cannot_be_are_usage_errors(arguments: tuple[str, ...], message: str) -> None:
    result = stylize(PHOTO, "stained-glass", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_ctrl_c_while_ray_starts_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(services.stylizing, "stylizing", interrupted)
    result = stylize(PHOTO, "stained-glass")
    assert (result.exit_code, result.stderr) == (130, "error: stopped before the first picture\n")


def test_a_picture_is_written_in_the_format_of_its_name(tmp_path: Path) -> None:
    import numpy as np

    from services.cli.picture_files import replace_picture

    for suffix, expected in ((".png", "PNG"), (".JPG", "JPEG"), (".webp", "WEBP")):
        path = tmp_path / f"picture{suffix}"
        path.write_bytes(b"older")
        replace_picture(np.zeros((4, 6, 3), np.uint8), path)
        with Image.open(path) as picture:
            assert (picture.format, picture.size) == (expected, (6, 4))


def test_losses_of_a_card_are_not_shown_in_percent() -> None:
    result = CliRunner().invoke(app, ["models", "show", "style-stained-glass"])
    lines = [line for line in result.stdout.splitlines() if line.startswith(("content_loss", "style_loss"))]
    assert lines
    assert not any("%" in line for line in lines)
