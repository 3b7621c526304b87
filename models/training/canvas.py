"""The canvas of a training image: photos are pasted into it together with their boxes, masks and key points."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.datasets.object_masks import UNKNOWN, IdMap

UNKNOWN_CLASS: Final = 255
"""In a class map: nobody knows what is here."""
_PADDING: Final = 114

Pixel = TypeVar("Pixel", bound=np.generic)
Real = TypeVar("Real", bound=np.floating[Any])


@dataclass(frozen=True, eq=False)
class Piece:
    """A photo at the size at which it is pasted.

    Attributes:
        pixels: (h, w, 3) uint8 RGB.
        boxes: (N, 4) float32, x_min, y_min, x_max, y_max in its pixels.
        class_ids: (N,) int64.
        crowds: (M, 4) float32, regions to learn nothing from.
        ids: (h, w), see `models.datasets.object_masks.IdMap`; None where nobody asks for masks.
        masked: Whether its objects have masks.
        key_points: (N, K, 3) float32, x, y and COCO's visibility; K is 0 without keypoint targets.
    """

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    crowds: NDArray[np.float32]
    ids: IdMap | None
    masked: bool
    key_points: NDArray[np.float32]


class Canvas:
    """A square picture, grey at first.

    Args:
        side: In pixels.
        least_visible: A box stays while at least this share of its area is in the picture.
        least_side: And while its sides have at least so many pixels.
        masks: Whether there are masks.
        sides: K, the key point that each one becomes in a mirror image; empty without keypoint targets.

    Attributes:
        pixels, boxes, class_ids, crowds, ids, class_map, masked, key_points: See
            `models.training.augmentation.Example`.
    """

    def __init__(
        self, side: int, least_visible: float, least_side: float, masks: bool, sides: Sequence[int] = ()
    ) -> None:
        self.side = side
        self._least_visible = least_visible
        self._least_side = least_side
        self._sides = sides
        shape = (side, side) if masks else (0, 0)
        self.pixels = np.full((side, side, 3), _PADDING, np.uint8)
        self.boxes = np.zeros((0, 4), np.float32)
        self.class_ids = np.zeros(0, np.int64)
        self.crowds = np.zeros((0, 4), np.float32)
        self.ids: IdMap = np.zeros(shape, np.uint16)
        self.class_map = np.zeros(shape, np.uint8)
        self.masked = np.zeros(0, np.bool_)
        self.key_points = np.zeros((0, len(sides), 3), np.float32)

    def paste(self, piece: Piece, place: tuple[int, int], window: tuple[int, int, int, int]) -> None:
        """Pastes what of a piece, whose corner lies at `place` (top, left), falls into the window.

        Args:
            piece: What to paste.
            place: (top, left) in pixels of the canvas; may lie outside.
            window: top, left, bottom, right.
        """
        top, left, bottom, right = window
        (y, x), (height, width) = place, piece.pixels.shape[:2]
        top, left, bottom, right = max(top, y), max(left, x), min(bottom, y + height), min(right, x + width)
        here = slice(top, bottom), slice(left, right)
        there = slice(top - y, bottom - y), slice(left - x, right - x)
        self.pixels[here] = piece.pixels[there]
        edges = np.array([[left, top], [right, bottom]], np.float32)
        offset = np.array([x, y, x, y], np.float32)
        shown, seen = self._cut(piece.boxes + offset, edges)
        if piece.ids is not None:
            numbers, classes = self._tables(piece.class_ids, seen)
            self.ids[here], self.class_map[here] = numbers[piece.ids[there]], classes[piece.ids[there]]
        self.boxes = np.concatenate([self.boxes, shown[seen]])
        self.class_ids = np.concatenate([self.class_ids, piece.class_ids[seen]])
        self.crowds = np.concatenate([self.crowds, self._cut(piece.crowds + offset, edges)[0]])
        self.masked = np.concatenate([self.masked, np.full(int(seen.sum()), piece.masked)])
        self.key_points = np.concatenate([self.key_points, _within(piece.key_points[seen], offset[:2], edges)])

    def finish(self, mirrored: bool, turns: int) -> None:
        """Mirrors and turns everything, when all is pasted.

        Args:
            mirrored: Whether left becomes right.
            turns: By how many quarters, counter-clockwise.
        """
        self.pixels = _moved(self.pixels, mirrored, turns)
        self.ids = _moved(self.ids, mirrored, turns)
        self.class_map = _moved(self.class_map, mirrored, turns)
        if mirrored:
            self.boxes, self.crowds = (_mirrored(boxes, self.side) for boxes in (self.boxes, self.crowds))
            self.key_points = mirrored_points(self.key_points, self.side, self._sides)
        for _ in range(turns):
            self.boxes, self.crowds = (_turned(boxes, self.side) for boxes in (self.boxes, self.crowds))
            x, y, seen = np.moveaxis(self.key_points, -1, 0)
            self.key_points = np.stack([y, self.side - x, seen], -1)

    def _tables(self, class_ids: NDArray[np.int64], seen: NDArray[np.bool_]) -> tuple[IdMap, NDArray[np.uint8]]:
        """From the numbers of a piece's id map to those of this one, and to classes."""
        numbers, classes = np.zeros(UNKNOWN + 1, np.uint16), np.zeros(UNKNOWN + 1, np.uint8)
        numbers[1 : len(seen) + 1][seen] = len(self.boxes) + 1 + np.arange(int(seen.sum()))
        classes[1 : len(seen) + 1] = class_ids + 1
        numbers[UNKNOWN], classes[UNKNOWN] = UNKNOWN, UNKNOWN_CLASS
        return numbers, classes

    def _cut(
        self, boxes: NDArray[np.float32], edges: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The boxes cut at the edges, and which of them are still worth learning."""
        cut = np.concatenate([boxes[:, :2].clip(edges[0], edges[1]), boxes[:, 2:].clip(edges[0], edges[1])], 1)
        sides = cut[:, 2:] - cut[:, :2]
        whole = (boxes[:, 2:] - boxes[:, :2]).prod(1).clip(min=1e-6)
        wide = sides.min(1, initial=np.inf) >= self._least_side
        return cut, wide & (sides.prod(1) >= self._least_visible * whole)


def mirrored_points(points: NDArray[Real], width: float, sides: Sequence[int]) -> NDArray[Real]:
    """Mirrors key points, of which left and right change places.

    Args:
        points: (N, K, 3) x, y and visibility.
        width: Of the image in the same pixels.
        sides: K, the key point that each one becomes.
    """
    turned = points[:, list(sides)]
    turned[..., 0] = width - turned[..., 0]
    return turned


def _moved(picture: NDArray[Pixel], mirrored: bool, turns: int) -> NDArray[Pixel]:
    return np.ascontiguousarray(np.rot90(picture[:, ::-1] if mirrored else picture, turns))


def _within(
    points: NDArray[np.float32], offset: NDArray[np.float32], edges: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(N, K, 3) key points moved by an offset; those beyond the edges are not labelled any more."""
    places = points[..., :2] + offset
    inside = ((places >= edges[0]) & (places < edges[1])).all(-1)
    return np.concatenate([places, (points[..., 2] * inside)[..., None]], -1).astype(np.float32)


def _mirrored(boxes: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    mirrored = boxes.copy()
    mirrored[:, [0, 2]] = side - boxes[:, [2, 0]]
    return mirrored


def _turned(boxes: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """By a quarter, counter-clockwise: what was right is at the top."""
    return np.stack([boxes[:, 1], side - boxes[:, 2], boxes[:, 3], side - boxes[:, 0]], 1)
