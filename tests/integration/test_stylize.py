"""`tapetum stylize` as a user runs it: real Ray, one actor, real weights, and pictures of a few pixels."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

pytestmark = pytest.mark.integration

TAPETUM = str(Path(sys.executable).parent / "tapetum")
SIZE = (64, 48)
"""(width, height) of the photo in pixels."""


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def environment(folder: Path) -> dict[str, str]:
    """Without the user's settings, and with an empty cache of weights that nothing can be downloaded to."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("TAPETUM_", "RAY_"))}
    return {**clean, "OMP_NUM_THREADS": "1", "TORCH_HOME": str(folder), "https_proxy": "http://127.0.0.1:9"}


def stylize(photo: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [TAPETUM, "stylize", photo, *arguments]
    return subprocess.run(
        command, cwd=photo.parent, env=environment(photo.parent), capture_output=True, text=True, timeout=240
    )


@contextlib.contextmanager
def started(photo: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A job in a process group of its own, as in a terminal."""
    process = subprocess.Popen(
        [TAPETUM, "stylize", photo, *arguments],
        cwd=photo.parent,
        env=environment(photo.parent),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_a_job_shows_its_losses_and_leaves_previews_and_the_picture(photo: Path) -> None:
    done = stylize(photo, "stained-glass", "-o", "window.png", "--steps", "25", "--preview-every", "10")
    assert (done.returncode, done.stdout) == (0, "window.png\n"), done.stderr
    lines = [re.fullmatch(r"step (\d+) of 25  content \S+  style \S+  total (\S+)", line) for line in steps(done)]
    assert [match and match[1] for match in lines] == ["10", "20", "25"]
    assert float(lines[-1][2]) < float(lines[0][2])  # type: ignore[index]
    made = {path.name for path in photo.parent.glob("*.png")} - {"photo.png"}
    assert made == {"window.png", "window-0010.png", "window-0020.png"}
    with Image.open(photo.parent / "window.png") as picture:
        assert (picture.format, picture.size) == ("PNG", SIZE)


def steps(done: subprocess.CompletedProcess[str]) -> list[str]:
    return done.stderr.splitlines()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_job_keeps_its_picture_and_leaves_no_process(photo: Path, number: int) -> None:
    with started(photo, "stained-glass", "-o", "window.jpg", "--steps", "100000", "--preview-every", "10") as process:
        assert process.stderr is not None
        for _ in range(2):
            assert process.stderr.readline().startswith("step ")
        children = psutil.Process(process.pid).children(recursive=True)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        rest, printed = process.stderr.read(), process.stdout.read() if process.stdout else ""
        process.wait(60)
    assert (process.returncode, printed) == (128 + number, "")
    *others, last = rest.splitlines()
    assert re.fullmatch(r"stopped after \d+ of 100000 steps: window\.jpg", last), rest
    assert all(line.startswith("step ") for line in others), rest
    with Image.open(photo.parent / "window.jpg") as picture:
        assert (picture.format, picture.size) == ("JPEG", SIZE)
    assert (photo.parent / "window-0010.jpg").exists()
    assert children
    assert alive(children) == []


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    _, left = psutil.wait_procs(processes, timeout=10)
    return left


def test_missing_weights_are_one_line_that_says_how_to_get_them(photo: Path) -> None:
    done = stylize(photo, "stained-glass", "--features", "vgg19", "--steps", "10")
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (1, "")
    assert line.startswith("error: torchvision/vgg19: ")
    assert "run `tapetum models pull torchvision/vgg19`" in line
    assert line.endswith("; --features efficientnet-lite0 needs no download")
    assert [path.name for path in photo.parent.glob("*.png")] == ["photo.png"]
