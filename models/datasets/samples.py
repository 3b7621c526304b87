"""Samples and ground truth of an evaluation: the types that every data-set format is read into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from models.datasets.photo_dataset import DatasetError
from models.entries import Kind
from models.metrics.coco.image_results import GroundTruth as ObjectTarget

__all__ = [
    "BACKGROUND",
    "IGNORED",
    "UNNAMED",
    "ClassTarget",
    "DatasetError",
    "EvaluationSet",
    "Kind",
    "LabelProblem",
    "ObjectTarget",
    "ProblemKind",
    "RegionTarget",
    "Sample",
    "Target",
]

IGNORED: Final = 255
"""Pixels of a class map that nobody knows; they count neither for a model nor against it."""

BACKGROUND: Final = "background"
"""Name of class 0 of every data set that is read for a semantic model."""

UNNAMED: Final = "object"
"""What the objects of a data set without class names are called."""

ProblemKind = Literal[
    "unreadable",
    "missing_file",
    "unknown_class",
    "outside_image",
    "zero_area",
    "bad_number",
    "no_label",
    "no_mask",
    "wrong_size",
    "duplicate",
]
"""What can be wrong with a label, to count by."""


@dataclass(frozen=True)
class LabelProblem:
    """A label that is wrong, and was left out.

    Attributes:
        kind: What is wrong, in one of a few words, to count by.
        file: The file that holds the label.
        line: Its line there, from 1; None where the file has no lines, or is missing.
        message: One sentence for a person.
    """

    kind: ProblemKind
    file: str
    line: int | None
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.message}"


@dataclass(frozen=True, eq=False)
class ClassTarget:
    """The one class of an image.

    Attributes:
        class_id: Index into the class names.
    """

    class_id: int


@dataclass(frozen=True, eq=False)
class RegionTarget:
    """The class of every pixel.

    Attributes:
        class_map: (H, W) uint8, indices into the class names, 0 the background; `IGNORED` where nobody knows.
    """

    class_map: NDArray[np.uint8]


Target = ClassTarget | ObjectTarget | RegionTarget


@dataclass(frozen=True, eq=False)
class Sample:
    """One image to be measured on.

    Attributes:
        image_id: Its number in the data set, as COCO's files count; unique there.
        name: Its file name, below the data set's folder.
        image: The encoded file.
        target: What is known of it, of the kind that the data set was read for.
    """

    image_id: int
    name: str
    image: bytes
    target: Target


class EvaluationSet(Protocol):
    """Images with their ground truth, read one at a time; it travels to workers by pickle.

    Attributes:
        name: For people and as a label, such as `person/val`.
        kind: What it was read for.
        class_names: One for every class id of its targets; of a semantic one, the first is `BACKGROUND`.
        category_ids: The data set's own number of every class id, as COCO's files count.
        digest: Sixteen hexadecimal digits that change with any file name, label, or class.
        problems: Labels that were wrong and left out when it was opened, in order of file and line.
    """

    name: str
    kind: Kind
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    digest: str
    problems: Sequence[LabelProblem]

    def __len__(self) -> int:
        """Images, without those that cannot be measured on."""
        ...

    def load(self, index: int) -> Sample:
        """Reads one image and its ground truth.

        Raises:
            DatasetError: it cannot be read after all.
        """
        ...
