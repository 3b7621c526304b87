"""What is known of the images that a model is measured on: the one shape into which every data format is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from models.entries import CatalogEntry
from models.masks import Mask

Kind = Literal["classification", "detection", "instance", "semantic"]
"""What is measured: a task, and for segmentation what its masks are of."""

IGNORED: Final = 255
"""Pixels of a class map that nobody knows; they count neither for a model nor against it."""

BACKGROUND: Final = "background"
"""Name of class 0 of every data set that is read for a semantic model."""

UNNAMED: Final = "object"
"""What the objects of a data set without class names are called."""


class DatasetError(ValueError):
    """A data set that cannot be measured on; the message names the file (and line), and what is wrong."""


@dataclass(frozen=True)
class LabelProblem:
    """A label that is wrong, and was left out.

    Attributes:
        kind: What is wrong, in one of a few words, to count by.
        file: The file that holds the label.
        line: Its line there, from 1; None where the file has no lines, or is missing.
        message: One sentence for a person.
    """

    kind: Literal[
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
class ObjectTarget:
    """The objects of an image.

    Attributes:
        boxes: (N, 4) float64, x_min, y_min, x_max, y_max in pixels of the upright image.
        class_ids: (N,) int64, indices into the class names.
        areas: (N,) float64 in pixels, as COCO counts them: of the mask where there is one, or else of the box.
        crowds: (N,) bool, whether it is a region of many objects: nothing found within counts for or against.
        masks: N masks of the size of the image; None where only boxes are known.
    """

    boxes: NDArray[np.float64]
    class_ids: NDArray[np.int64]
    areas: NDArray[np.float64]
    crowds: NDArray[np.bool_]
    masks: tuple[Mask, ...] | None = None

    def __post_init__(self) -> None:
        count = len(self.class_ids)
        shapes = self.boxes.shape, self.class_ids.shape, self.areas.shape, self.crowds.shape
        if shapes != ((count, 4), (count,), (count,), (count,)):
            raise ValueError(f"boxes, class_ids, areas and crowds must be (N, 4), (N,), (N,) and (N,), not {shapes}")
        if self.masks is not None and len(self.masks) != count:
            raise ValueError(f"expected {count} masks, not {len(self.masks)}")

    def only(self, chosen: NDArray[np.bool_] | NDArray[np.int64], class_ids: NDArray[np.int64]) -> ObjectTarget:
        """Some of the objects, with other class ids.

        Args:
            chosen: Which: (N,) bool, or the indices of M of them.
            class_ids: (M,) of those that stay.
        """
        indices = np.arange(len(self.class_ids))[chosen]
        masks = None if self.masks is None else tuple(self.masks[index] for index in indices)
        return ObjectTarget(self.boxes[chosen], class_ids, self.areas[chosen], self.crowds[chosen], masks)


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
    """Images with what is known of them, read one at a time; it travels to workers by pickle.

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
        """Reads one image and what is known of it.

        Raises:
            DatasetError: it cannot be read after all.
        """
        ...


def kind_of(entry: CatalogEntry) -> Kind:
    """What a model is measured by."""
    if entry.task == "segmentation":
        return "instance" if entry.segmentation == "instance" else "semantic"
    return entry.task
