"""Draws the style picture of the bundled model by code: panes of coloured glass between lead lines."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_GLASS: Final = np.array(
    [
        (18, 52, 140),
        (30, 110, 190),
        (20, 150, 160),
        (30, 130, 70),
        (150, 190, 60),
        (245, 200, 60),
        (240, 140, 30),
        (205, 45, 40),
        (140, 25, 70),
        (240, 230, 205),
    ],
    np.float64,
)
"""Colours of the panes, (10, 3) RGB, 0 to 255."""
_LEAD: Final = np.array((18.0, 16.0, 22.0))
"""Colour of the lines between panes, RGB, 0 to 255."""
_PANE_PIXELS: Final = 30
"""Distance of neighbouring pane centres, before they are shifted at random."""
_LEAD_PIXELS: Final = 3.2
"""Width of the lines."""


def stained_glass(side: int = 384, seed: int = 0) -> NDArray[np.uint8]:
    """Draws a square stained-glass window: Voronoi cells of random colours, with streaks of light, and dark borders.

    Args:
        side: Height and width in pixels, at least 1. A greater picture shows more panes of the same size.
        seed: Of places, colours and streaks; equal arguments give the same picture.

    Returns:
        (side, side, 3) uint8 RGB.
    """
    random = np.random.default_rng(seed)
    centres = _centres(side, random)
    rows, columns = np.mgrid[:side, :side].astype(np.float64)
    wave = 1.5 * np.sin(columns / 9.0) + 1.5 * np.sin(rows / 7.0)
    places = np.stack([rows + wave, columns - wave], axis=-1).reshape(-1, 2)
    nearest, gap = _nearest_panes(places, centres)
    tints = _GLASS[random.integers(len(_GLASS), size=len(centres))] + random.normal(0, 10, (len(centres), 3))
    angles = random.uniform(0, np.pi, len(centres))
    offsets = places - centres[nearest]
    along = offsets[:, 0] * np.cos(angles[nearest]) + offsets[:, 1] * np.sin(angles[nearest])
    light = 1.0 + 0.16 * np.sin(along / 2.6 + angles[nearest] * 9) - 0.012 * np.abs(along)
    glass = tints[nearest] * light[:, None] + random.normal(0, 4, (len(places), 1))
    lead = np.clip(_LEAD_PIXELS / 2 + 0.5 - gap, 0, 1)[:, None]
    picture = glass * (1 - lead) + _LEAD * lead
    return np.clip(picture.round(), 0, 255).astype(np.uint8).reshape(side, side, 3)


def _centres(side: int, random: np.random.Generator) -> NDArray[np.float64]:
    steps = np.arange(-_PANE_PIXELS, side + 2 * _PANE_PIXELS, _PANE_PIXELS, dtype=np.float64)
    grid = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    return grid + random.uniform(-0.42, 0.42, grid.shape) * _PANE_PIXELS


def _nearest_panes(
    places: NDArray[np.float64], centres: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The nearest centre of each place, (N,), and the distance to the border with the next pane in pixels, (N,)."""
    from scipy import spatial  # pyright: ignore[reportMissingTypeStubs]

    tree: Any = spatial
    distances, indices = tree.cKDTree(centres).query(places, k=2)
    first, second = centres[indices[:, 0]], centres[indices[:, 1]]
    between = np.linalg.norm(second - first, axis=1)
    return indices[:, 0], (distances[:, 1] ** 2 - distances[:, 0] ** 2) / (2 * between)
