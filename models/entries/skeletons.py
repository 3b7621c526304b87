"""The key points of a class: names, edges to draw, the point of the other side, and COCO's constants of OKS."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_LEFT: Final = ("left", "l")
_OTHERS: Final = {"left": "right", "right": "left", "l": "r", "r": "l"}
_SIDE: Final = re.compile(
    "(?<![A-Za-z])(?:left|right|l|r)(?![a-z])"  # left_eye, eye_l, leftEye
    "|(?<![A-Za-z])(?:LEFT|RIGHT|L|R)(?![A-Za-z])"  # LEFT_EYE, EYE_L
    "|(?<![A-Z])(?:Left|Right)(?![a-z])"  # Left_eye, eyeLeft
    "|(?<![A-Za-z])[LR](?=[A-Z][a-z])|(?<=[a-z])[LR](?![A-Za-z])"  # LEye, eyeL
)
"""A word for a side in a name of a key point."""
_PART: Final = re.compile("left|right|^[lr](?=..)")
"""What may be one in a name of small letters."""


@dataclass(frozen=True)
class Skeleton:
    """The K key points of an object of one class.

    Attributes:
        names: K, such as `left_knee`.
        edges: Pairs of indices to draw lines between.
        mirrored: K indices: which point a point becomes in a mirror image; itself where it has no other side.
        sigmas: K, the standard deviation of people's annotations as a share of the square root of the object's area:
            the constants of OKS (https://cocodataset.org/#keypoints-eval).

    Raises:
        ValueError: On construction, where these do not belong together.
    """

    names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    mirrored: tuple[int, ...]
    sigmas: tuple[float, ...]

    def __post_init__(self) -> None:
        count = len(self.names)
        if not count or len(set(self.names)) != count:
            raise ValueError("a skeleton needs names of key points, each once")
        if len(self.mirrored) != count or any(
            not 0 <= other < count or self.mirrored[other] != own for own, other in enumerate(self.mirrored)
        ):
            raise ValueError(f"mirrored must pair the {count} key points, not {self.mirrored}")
        if any(not (0 <= start < count and 0 <= end < count) for start, end in self.edges):
            raise ValueError(f"edges must be pairs of indices from 0 to {count - 1}")
        if len(self.sigmas) != count or min(self.sigmas) <= 0:
            raise ValueError(f"sigmas must be {count} numbers above 0")

    @property
    def is_named(self) -> bool:
        """Whether the data set names its key points: where it does not, they are called `point_0`, `point_1`, …"""
        return self.names != numbered_names(len(self.names))

    @property
    def has_sides(self) -> bool:
        """Whether a point has another side: where none has, nobody knows what a mirror image shows."""
        return any(own != other for own, other in enumerate(self.mirrored))

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        edges: Sequence[tuple[int, int]] = (),
        mirrored: Sequence[int] | None = None,
        sigmas: Sequence[float] | None = None,
    ) -> "Skeleton":
        """Completes what a data set says of its key points.

        Args:
            names: Of the key points.
            edges: As in the class; where there are none and the names are `PERSON`'s, its edges.
            mirrored: As in the class; where None, left and right in the names pair them, see `sides_of`.
            sigmas: As in the class; where None, those of `PERSON` for its names, or else one over the number of key
                points, as Ultralytics has it.

        Raises:
            ValueError: They do not belong together.
        """
        if tuple(names) == PERSON.names:
            edges, mirrored, sigmas = edges or PERSON.edges, mirrored or PERSON.mirrored, sigmas or PERSON.sigmas
        return cls(
            tuple(names),
            tuple(edges),
            _paired(names) if mirrored is None else tuple(mirrored),
            (1 / len(names),) * len(names) if sigmas is None and names else tuple(sigmas or ()),
        )


def numbered_names(count: int) -> tuple[str, ...]:
    """Names of key points that have none."""
    return tuple(f"point_{index}" for index in range(count))


@lru_cache(maxsize=256)
def sides_of(names: tuple[str, ...]) -> tuple[int, ...]:
    """The sides of the key points of an object, by their names.

    A name says it by a word: `left` or `l`, `right` or `r`, in any case, at an end or next to `_`, `-`, a space, a
    digit or a capital. Where both names exist, `lefteye` and `righteye`, or `leye` and `reye`, are sides, too.

    Returns:
        K, -1 for `left_knee` and `front_L_paw`, 1 for `right_knee`, 0 for `nose`.
    """
    return tuple(0 if found is None else found[0] for found in _others(names))


def _paired(names: Sequence[str]) -> tuple[int, ...]:
    """The index of each name's other side: `left_eye` and `right_eye`."""
    places = {name.casefold(): index for index, name in enumerate(names)}
    others = [
        places.get(found[1], index) if found is not None else index for index, found in enumerate(_others(tuple(names)))
    ]
    return tuple(other if others[other] == index else index for index, other in enumerate(others))


def _others(names: tuple[str, ...]) -> list[tuple[int, str] | None]:
    """The side of each name and, in lower case, the name of the other side; None where a name has no side."""
    known = {name.casefold() for name in names}
    return [_by_word(name) or _by_part(name.casefold(), known) for name in names]


def _by_word(name: str) -> tuple[int, str] | None:
    first = _SIDE.search(name)
    if first is None:
        return None
    other = _SIDE.sub(lambda found: _OTHERS[found[0].casefold()], name)
    return (-1 if first[0].casefold() in _LEFT else 1), other.casefold()


def _by_part(name: str, known: set[str]) -> tuple[int, str] | None:
    for part in _PART.finditer(name):
        other = name[: part.start()] + _OTHERS[part[0]] + name[part.end() :]
        if other in known:
            return -1 if part[0] in _LEFT else 1, other
    return None


PERSON: Final = Skeleton(
    names=(
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
        "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
        "right_ankle",
    ),
    edges=(
        (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10),
        (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
    ),
    mirrored=(0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15),
    sigmas=(
        0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089,
        0.089,
    ),
)  # fmt: skip
"""COCO's key points of people: names and edges of its annotation files (the edges count from 0 here), and the sigmas of
pycocotools."""
