"""Classes of photos by how many objects they hold: any labelled boxes become a data set for classification."""

from bisect import bisect_right
from typing import Final

_FIRST: Final = (0, 1, 2, 3, 6)
"""The smallest number of objects of each class; at most."""


def count_class_names(name: str, plural: str) -> tuple[str, ...]:
    """Names the classes.

    Args:
        name: Of one object, such as `person`.
        plural: Of several, such as `people`.
    """
    return (f"no {name}", f"1 {name}", f"2 {plural}", f"3 to 5 {plural}", f"6 or more {plural}")


def count_class(objects: int) -> int:
    """Returns the class id of a photo with so many objects, crowds not counted."""
    return bisect_right(_FIRST, objects) - 1


COUNT_CLASSES: Final = len(_FIRST)
"""Number of the classes."""
