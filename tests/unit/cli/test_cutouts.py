"""`--cutout`: what `--save` then writes, and when it makes no sense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from models.geometry.masks import Mask
from services.answers.image_problem import Problem
from services.cli import app
from services.cli.results import Result
from services.cli.saving import save_pictures
from services.client.answers import Region, Segmentation
from services.client.masks import Polygons, RunLengths
from tests.photos import encoded, photo

SIZE = (400, 600)
CUP = Mask.from_region(np.ones((100, 200), bool), (50, 60), SIZE)


def answered(mask: RunLengths | Polygons, name: str = "photos/coffee.jpg") -> Result:
    found: tuple[Any, ...] = (Region(1, "cup", CUP.area, CUP.area / 240000, mask),)
    outcome = Segmentation("cup-net", "1", SIZE, found, False, "r")
    return Result(name, outcome, encoded(photo("coffee"), "JPEG", quality=95), 2)


def test_what_masks_cover_is_saved_as_png_whatever_the_photo_was(tmp_path: Path):
    results = [answered(RunLengths(SIZE, CUP.counts.decode()))]
    (saved,) = save_pictures(results, tmp_path / "new", cutout=True)
    assert saved.picture == tmp_path / "new" / "coffee.png"
    with Image.open(tmp_path / "new" / "coffee.png") as image:
        assert np.array_equal(np.asarray(image)[..., 3] > 0, CUP.to_array())


def test_masks_that_came_as_polygons_are_cut_out_too(tmp_path: Path):
    ring = (60.0, 50.0, 260.0, 50.0, 260.0, 150.0, 60.0, 150.0)
    (saved,) = save_pictures([answered(Polygons(SIZE, (ring,)))], tmp_path, cutout=True)
    assert saved.picture is not None
    with Image.open(saved.picture) as image:
        assert np.array_equal(np.asarray(image)[..., 3] > 0, CUP.to_array())


def test_nothing_is_overwritten_and_problems_pass(tmp_path: Path):
    results = [answered(RunLengths(SIZE, CUP.counts.decode())), Result("x", Problem("broken_image", "broken"))] * 2
    saved = list(save_pictures(results, tmp_path, cutout=True))
    assert [one.picture and one.picture.name for one in saved] == ["coffee.png", None, "coffee-2.png", None]


def test_cutout_without_a_folder_is_a_mistake():
    result = CliRunner().invoke(app, ["segment", "photo.jpg", "--cutout"])
    assert result.exit_code == 2
    assert "--save" in result.output
