"""Converts a mask to COCO polygons: contours, simplified to an IoU of at least 0.98 and split at holes."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from collections.abc import Sequence
from typing import Any, Final, cast

import numpy as np
import shapely
from pycocotools import mask as coco_mask

from models.geometry.masks import Mask
from models.geometry.outlines import parts

_TOLERANCES: Final = (0.6, 0.3, 0.15)
"""Tolerance of the simplification in pixels; the traced contour itself is up to 0.36 from the edges of the pixels."""
_LEAST_IOU: Final = 0.98
_DECIMALS: Final = 3


def polygons(mask: Mask) -> list[list[float]]:
    """Converts a mask to COCO polygons, simplified without changing the shape of its components.

    Args:
        mask: Any.

    Returns:
        Rings [x0, y0, x1, y1, …] in pixels, pixel (x, y) reaching from (x, y) to (x + 1, y + 1); none where nothing is
        covered. Each is a valid polygon, no farther than 1 pixel from the edges of the pixels, and nothing is a hole: a
        part that has some is cut in pieces there. What pycocotools draws from all of them has an IoU of at least 0.98
        with the mask.
    """
    return [ring for part in parts(mask) for ring in _simplified(part, mask.size)]


def _simplified(part: shapely.Polygon, size: tuple[int, int]) -> list[list[float]]:
    """Rings without holes that look like the part; of a small one, exactly."""
    if part.area * (1 - _LEAST_IOU) < 1:
        return _exact(part)
    shell, holes = _drawn([part.exterior], size), _drawn(list(part.interiors), size)
    for tolerance in _TOLERANCES:
        candidate = part.simplify(tolerance, preserve_topology=True)
        if isinstance(candidate, shapely.Polygon) and candidate.is_valid:
            pieces = _pieces(candidate)
            if _iou(_drawn(pieces, size), shell, holes) >= _LEAST_IOU:
                return [_flat(piece) for piece in pieces]
    return _exact(part)


def _exact(part: shapely.Polygon) -> list[list[float]]:
    straight = (piece.simplify(0, preserve_topology=False) for piece in _pieces(part))
    return [_flat(cast(shapely.LinearRing, piece)) for piece in straight]


def _pieces(part: shapely.Polygon) -> list[shapely.LinearRing]:
    """Cuts a polygon through its holes, straight across, until none is left, and gives the outlines of the pieces.

    Each cut goes through the middle one of the holes, so that their number halves with it.
    """
    finished: list[shapely.LinearRing] = []
    open_parts = [part]
    while open_parts:
        polygon = open_parts.pop()
        if not len(polygon.interiors):
            finished.append(polygon.exterior)
            continue
        x_min, y_min, x_max, y_max = polygon.bounds
        upright = x_max - x_min < y_max - y_min
        boxes = shapely.bounds(shapely.get_rings(polygon))[1:]
        middles = np.sort((boxes[:, 1] + boxes[:, 3] if upright else boxes[:, 0] + boxes[:, 2]) / 2)
        cut = float(middles[len(middles) // 2])
        halves = (
            (shapely.box(x_min, y_min, x_max, cut), shapely.box(x_min, cut, x_max, y_max))
            if upright
            else (shapely.box(x_min, y_min, cut, y_max), shapely.box(cut, y_min, x_max, y_max))
        )
        for half in halves:
            pieces = shapely.get_parts(polygon.intersection(half))
            open_parts += [piece for piece in pieces if isinstance(piece, shapely.Polygon)]
    return finished


def _flat(ring: shapely.LinearRing) -> list[float]:
    return np.round(np.asarray(ring.coords)[:-1], _DECIMALS).ravel().tolist()


def _drawn(rings: Sequence[shapely.LinearRing], size: tuple[int, int]) -> Mask:
    """The mask that pycocotools rasterises."""
    if not rings:
        return Mask.from_turns(np.zeros(0, np.int64), size)
    flat = cast(Any, [_flat(ring) for ring in rings])
    return Mask.from_coco(cast(Any, coco_mask.merge(cast(Any, coco_mask.frPyObjects(flat, *size)))))


def _iou(drawn: Mask, shell: Mask, holes: Mask) -> float:
    """IoU of the rasterised rings with the polygon."""
    area = shell.area - holes.area
    common = _common(drawn, shell) - _common(drawn, holes)
    return common / (drawn.area + area - common)


def _common(some: Mask, other: Mask) -> int:
    both = coco_mask.merge([cast(Any, some.to_coco()), cast(Any, other.to_coco())], intersect=True)
    return int(coco_mask.area(both))
