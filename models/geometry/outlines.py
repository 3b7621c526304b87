"""Traces the contours of a mask from its run lengths, in time proportional to the contours, not to the image."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from models.geometry.masks import Mask


def parts(mask: Mask) -> list[shapely.Polygon]:
    """Converts a mask to polygons, one for every 8-connected component.

    A contour follows the edges of the pixels, pixel (x, y) reaching from (x, y) to (x + 1, y + 1), but connects the
    midpoints of edges wherever it turns. So slopes have no steps, no contour touches itself or another, the centres of
    the mask's pixels are inside and all others outside, and pycocotools rasterises exactly the mask.

    Args:
        mask: Any.

    Returns:
        Valid polygons, some with holes, that do not touch each other; none for an empty mask.
    """
    rings = _rings(mask)
    areas = np.array([_signed_area(ring) for ring in rings])
    shells = [ring for ring, area in zip(rings, areas, strict=True) if area > 0]
    holes = [ring for ring, area in zip(rings, areas, strict=True) if area < 0]
    holes_of: list[list[NDArray[np.float64]]] = [[] for _ in shells]
    for hole, owner in zip(holes, _owners(holes, shells, areas[areas > 0]), strict=True):
        holes_of[owner].append(hole)
    return [shapely.Polygon(shell, inner) for shell, inner in zip(shells, holes_of, strict=True)]


def _rings(mask: Mask) -> list[NDArray[np.float64]]:
    """All contours, each (P, 2) x, y: clockwise on a screen around components, counter-clockwise around holes."""
    tails, heads = _edges(mask)
    following = _following(tails, heads, mask.size[0])
    corners = np.stack([tails[:, :2], heads[:, :2]], 1)
    return [_without_corners(corners[loop].reshape(-1, 2)) for loop in _loops(following)]


def _edges(mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts and ends of the horizontal edges of the mask: rightwards along its top, leftwards along its bottom.

    Returns:
        Each (E, 3) int64, in the same order: x, y, and 0 for an edge with covered pixels below it, 1 for one above.
    """
    columns, tops, bottoms = mask.runs()
    height, width = mask.size
    rows, is_bottom = np.concatenate([tops, bottoms]), np.repeat([0, 1], len(tops))
    # A number for every pixel's edge, such that those of a longer edge are consecutive and those of two never are.
    units = np.sort((is_bottom * (height + 1) + rows) * (width + 1) + np.tile(columns, 2))
    is_first = np.diff(units, prepend=-2) != 1
    lefts, rights = units[is_first], units[np.roll(is_first, -1)] + 1
    line, x_left = np.divmod(lefts, width + 1)
    is_bottom, y = np.divmod(line, height + 1)
    left, right = np.stack([x_left, y, is_bottom], 1), np.stack([rights - line * (width + 1), y, is_bottom], 1)
    backwards = is_bottom[:, None] == 1
    return np.where(backwards, right, left), np.where(backwards, left, right)


def _following(tails: NDArray[np.int64], heads: NDArray[np.int64], height: int) -> list[int]:
    """The next horizontal edge of each one along the contour, over the vertical edge between.

    Down every column of corners, vertical edges lead from the first corner to the second, from the third to the fourth
    and so on. Where two pixels touch at a corner there are two corners at one place: that of the edge with covered
    pixels below it belongs to the vertical edge above, which connects the two pixels.
    """
    count = len(tails)
    x, y, is_bottom = np.concatenate([tails, heads]).T
    pairs = np.argsort((x * (height + 1) + y) * 2 + is_bottom, kind="stable").reshape(-1, 2)
    partner = np.empty(2 * count, np.int64)
    partner[pairs] = pairs[:, ::-1]
    return partner[count:].tolist()


def _loops(following: list[int]) -> list[list[int]]:
    """The cycles of a permutation."""
    seen = bytearray(len(following))
    loops: list[list[int]] = []
    for start in range(len(following)):
        if seen[start]:
            continue
        loop: list[int] = []
        place = start
        while not seen[place]:
            seen[place] = 1
            loop.append(place)
            place = following[place]
        loops.append(loop)
    return loops


def _without_corners(corners: NDArray[np.int64]) -> NDArray[np.float64]:
    """Replaces every corner, (P, 2), by a point half a pixel before and one half a pixel after it."""
    after = np.roll(corners, -1, 0)
    half = np.sign(after - corners) / 2
    points = np.stack([corners + half, after - half], 1)
    is_new = np.abs(after - corners).sum(1) > 1
    return points[np.stack([np.ones(len(corners), np.bool_), is_new], 1)]


def _signed_area(ring: NDArray[np.float64]) -> float:
    x, y = ring.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def _owners(
    holes: Sequence[NDArray[np.float64]], shells: Sequence[NDArray[np.float64]], areas: NDArray[np.float64]
) -> list[int]:
    """For every hole the index of the shell that it is a hole of: the smallest of those around it."""
    if not holes:
        return []
    tree = shapely.STRtree([shapely.Polygon(shell) for shell in shells])
    hole, shell = tree.query(shapely.points([ring[0] for ring in holes]), predicate="within")
    owners = np.zeros(len(holes), np.int64)
    largest_first = np.argsort(-areas[shell], kind="stable")
    owners[hole[largest_first]] = shell[largest_first]
    return owners.tolist()
