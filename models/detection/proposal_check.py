"""Checks the proposals of a request; torch-free."""

from collections.abc import Sequence
from math import isfinite

from models.errors import InvalidProposals


def check_proposals(boxes: Sequence[Sequence[float]], image_size: tuple[int, int] | None = None) -> None:
    """Raises where a box has no area, or is not within an image.

    Args:
        boxes: x_min, y_min, x_max, y_max of each in pixels of the upright image.
        image_size: Its (height, width); None where that is not known.

    Raises:
        InvalidProposals: The message names the first such box.
    """
    for index, (x_min, y_min, x_max, y_max) in enumerate(boxes):
        if not all(map(isfinite, (x_min, y_min, x_max, y_max))) or x_min >= x_max or y_min >= y_max:
            raise InvalidProposals(f"box {index} has no area: x_min must be below x_max, and y_min below y_max", index)
        if min(x_min, y_min) < 0:
            raise InvalidProposals(f"box {index} begins outside the image", index)
        if image_size is not None and (x_max > image_size[1] or y_max > image_size[0]):
            size = f"{image_size[0]} pixels high and {image_size[1]} wide"
            raise InvalidProposals(f"box {index} reaches beyond the image, which is {size}", index)
