"""Draws nuclei.jpg: cell nuclei as a fluorescence microscope might show them, all made up.

python docs/images/nuclei.py
"""

from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageFilter

SIDE: Final = 512
NUCLEI: Final = 80
_TRIES: Final = 800


def main() -> None:
    """Writes the picture beside this file; the same one every time."""
    chance = np.random.default_rng(8)
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(float)
    light = chance.normal(10, 2.5, (SIDE, SIDE))
    placed: list[tuple[float, float, float]] = []
    for _ in range(_TRIES):
        y, x = chance.uniform(-4, SIDE + 4, 2)
        length = chance.uniform(11, 19)
        if len(placed) == NUCLEI or any(np.hypot(y - p, x - q) < 0.9 * (length + r) for p, q, r in placed):
            continue
        placed.append((y, x, length))
        turn, width = chance.uniform(0, np.pi), length * chance.uniform(0.6, 0.95)
        along = (columns - x) * np.cos(turn) + (rows - y) * np.sin(turn)
        across = (rows - y) * np.cos(turn) - (columns - x) * np.sin(turn)
        dents = 1 + 0.05 * np.sin(3 * np.arctan2(across, along) + chance.uniform(0, 2 * np.pi))
        away = np.hypot(along / length, across / width) * dents
        light += (chance.uniform(60, 150) + _grain(chance)) / (1 + np.exp(np.clip(14 * (away - 1), -50, 50)))
    picture = Image.fromarray(light.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.8))
    picture.convert("RGB").save(Path(__file__).with_suffix(".jpg"), quality=92)


def _grain(chance: np.random.Generator) -> np.ndarray:
    """The uneven light within a nucleus, around 0."""
    noise = Image.fromarray(chance.integers(0, 256, (SIDE, SIDE), np.uint8))
    return 2.0 * (np.asarray(noise.filter(ImageFilter.GaussianBlur(3))).astype(float) - 127)


if __name__ == "__main__":
    main()
