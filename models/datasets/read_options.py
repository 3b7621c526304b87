"""Options of reading a data set: task, split, limit, and whether files outside its folder are allowed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from models.datasets.samples import DatasetError, Kind

WITH_MASKS: Final = ("instance", "semantic")
"""Kinds that data sets of objects are read with masks for."""

SPLIT_FOLDERS: Final = ("val", "valid", "validation", "test", "train")
"""Names of split folders."""


class NoSplit(DatasetError):
    """A data set without the split that was asked for."""


@dataclass(frozen=True)
class Split:
    """Which images of a data set are read.

    Attributes:
        names: Of folders, files and lists; the first that exists is read.
        unsplit: Whether a data set without any of these is read as a whole.
        last: Names that are read where there is nothing else.
    """

    names: tuple[str, ...]
    unsplit: bool = True
    last: tuple[str, ...] = ()

    @property
    def all_names(self) -> tuple[str, ...]:
        """Names, best first."""
        return (*self.names, *self.last)

    @property
    def within(self) -> Split:
        """The same of the folder of one of these splits."""
        return replace(self, unsplit=True)


MEASURED: Final = Split(SPLIT_FOLDERS[:-1], last=SPLIT_FOLDERS[-1:])
"""What `tapetum evaluate` reads."""

TRAINING: Final = Split(("train",))
"""What a model learns from."""

HELD_OUT: Final = Split(("val", "valid", "validation"), unsplit=False)
"""What training measures on; never a test split."""


@dataclass(frozen=True)
class ReadOptions:
    """How to read a data set.

    Attributes:
        kind: The task.
        limit: So many images at most; all where None.
        allow_outside: Whether labels and links may lead to files outside the data folder.
        split: Which images.
        for_training: Whether there may be no object at all, and photos of objects without masks are kept, with boxes
            only, in a set that is read for masks.
    """

    kind: Kind
    limit: int | None = None
    allow_outside: bool = False
    split: Split = MEASURED
    for_training: bool = False

    def enough(self, count: int) -> bool:
        """Whether the limit is reached."""
        return self.limit is not None and count >= self.limit
