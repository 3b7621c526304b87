"""Merges the annotations of several tasks for one picture: an object that several models found is drawn once."""

from collections.abc import Sequence
from dataclasses import replace

from models.drawing.annotations import Annotation, Box
from models.drawing.color_assignment import keys_apart

_SAME = 0.5
"""IoU of two boxes from which they are one object, as in Pascal VOC."""


def merged(tasks: Sequence[Sequence[Annotation]]) -> list[Annotation]:
    """Merges annotations of one image.

    Args:
        tasks: Of each task, best first.

    Returns:
        Those of a single task as they are. Of several: each object once, best first, with the box and the score of the
        first task that found it, and mask and key points of the others; then classes and regions, each task in its
        order. An object with a mask or key points has a colour of its own, the others that of their class.
    """
    given = [list(annotations) for annotations in tasks if annotations]
    if len(given) < 2:
        return given[0] if given else []
    objects: list[Annotation] = []
    for annotations in given:
        free = set(range(len(objects)))
        for one in annotations:
            if one.box is None:
                continue
            place = _same(one, objects, free)
            if place is None:
                objects.append(one)
            else:
                free.discard(place)
                same = objects[place]
                objects[place] = replace(same, mask=same.mask or one.mask, pose=same.pose or one.pose)
    objects.sort(key=lambda one: -one.score)
    return [*_colored(objects), *(one for annotations in given for one in annotations if one.box is None)]


def _same(one: Annotation, objects: Sequence[Annotation], free: set[int]) -> int | None:
    """The place of the object of another task that overlaps most with this one and has its class's name."""
    assert one.box is not None
    best, best_iou = None, _SAME
    for place in free:
        other = objects[place]
        if (
            other.class_name == one.class_name
            and other.box is not None
            and (iou := _iou(one.box, other.box)) >= best_iou
        ):
            best, best_iou = place, iou
    return best


def _iou(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / (_area(one) + _area(other) - both)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _colored(objects: Sequence[Annotation]) -> list[Annotation]:
    """Objects with colours that differ from those of their neighbours, where one of them had a colour of its own."""
    if all(one.color_key is None for one in objects):
        return list(objects)
    keys = keys_apart([one.box for one in objects if one.box is not None])
    return [replace(one, color_key=key) for one, key in zip(objects, keys, strict=True)]
