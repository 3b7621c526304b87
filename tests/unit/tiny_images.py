"""Tiny pictures of three kinds, for tests that train."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

KINDS = ("ball", "box", "stripes")
SIDE = 24


def picture(kind: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(24, 24, 3) RGB: dark noise, and upon it a red ball, a green box or blue stripes."""
    pixels = rng.integers(0, 90, (SIDE, SIDE, 3)).astype(np.uint8)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    row, column = rng.integers(8, 16, 2)
    radius = rng.integers(5, 8)
    shapes = {
        "ball": (rows - row) ** 2 + (columns - column) ** 2 < radius**2,
        "box": (abs(rows - row) < radius) & (abs(columns - column) < radius),
        "stripes": (rows // 3) % 2 == 0,
    }
    pixels[shapes[kind], KINDS.index(kind)] = rng.integers(150, 255)
    return pixels


def write_pictures(folder: Path, count: int, seed: int, kinds: tuple[str, ...] = KINDS) -> Path:
    """Write `count` PNG files of each kind to `folder/KIND/`."""
    rng = np.random.default_rng(seed)
    for kind in kinds:
        (folder / kind).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(picture(kind, rng)).save(folder / kind / f"{number:02}.png")
    return folder
