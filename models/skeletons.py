"""The key points of a class: names, edges to draw, the point of the other side, and COCO's constants of OKS."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


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
            mirrored: As in the class; where None, `left` and `right` in the names pair them.
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


def _paired(names: Sequence[str]) -> tuple[int, ...]:
    """The index of each name's other side: `left_eye` and `right_eye`."""
    places = {name: index for index, name in enumerate(names)}
    return tuple(places.get(_other_side(name), index) for index, name in enumerate(names))


def _other_side(name: str) -> str:
    for one, other in (("left", "right"), ("Left", "Right"), ("L_", "R_")):
        if one in name:
            return name.replace(one, other, 1)
        if other in name:
            return name.replace(other, one, 1)
    return name


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
