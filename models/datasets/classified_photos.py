"""Images with one class each: the data set of classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.datasets.label_problems import ProblemList
from models.datasets.packed_images import image_file
from models.datasets.photo_files import check_any, digest_of, read_photo
from models.datasets.photo_set import PhotoSet
from models.datasets.samples import ClassTarget, Kind, Sample


@dataclass(eq=False)
class ClassifiedPhotos(PhotoSet):
    """Photos that show one class each: an `EvaluationSet` for classifiers.

    Attributes:
        class_ids: (N,) int64.
        kind: See `EvaluationSet`.
    """

    class_ids: NDArray[np.int64]
    kind: Kind = "classification"

    @classmethod
    def of(
        cls,
        name: str,
        folder: Path,
        class_names: tuple[str, ...],
        photos: Sequence[tuple[int, str, int]],
        problems: ProblemList,
    ) -> ClassifiedPhotos:
        """Makes a set.

        Args:
            name: Of the set.
            folder: What the names of files are below.
            class_names: One for every class id.
            photos: Image id, name of the file and class id of each.
            problems: Found on the way.

        Raises:
            DatasetError: There is no photo.
        """
        found = problems.in_order()
        check_any(name, "photo", len(photos), found)
        image_ids = np.array([image_id for image_id, _, _ in photos], np.int64)
        class_ids = np.array([class_id for _, _, class_id in photos], np.int64)
        files = tuple(file for _, file, _ in photos)
        digest = digest_of("classification", class_names, files, image_ids, class_ids)
        category_ids = tuple(range(len(class_names)))
        return cls(name, class_names, category_ids, digest, found, folder, files, image_ids, class_ids)

    def load(self, index: int) -> Sample:
        """See `EvaluationSet.load`."""
        file = self.files[index]
        target = ClassTarget(int(self.class_ids[index]))
        return Sample(int(self.image_ids[index]), file, read_photo(image_file(self.folder, file)), target)
