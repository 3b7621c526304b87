"""The members that data sets of photos on disk share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.datasets.samples import LabelProblem


@dataclass(eq=False)
class PhotoSet:
    """Base class of `models.datasets.samples.EvaluationSet` for photos in files; a subclass adds `kind` and `load`.

    Attributes:
        name: See `EvaluationSet`, like the next four.
        class_names: See there.
        category_ids: See there.
        digest: See there.
        problems: See there.
        folder: What the names of files are below: a folder, or an archive.
        files: Names of the photos' files; absolute paths stay what they are.
        image_ids: (N,) int64.
    """

    name: str
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    digest: str
    problems: Sequence[LabelProblem]
    folder: Path
    files: tuple[str, ...]
    image_ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.files)
