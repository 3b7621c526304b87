"""What the systems are compared at: one row for every task that the peers serve, too; the rest is the same for all.

The servers that it is compared with read this too, in environments of their own: nothing of `services` is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from loadtests.photos import CROWD, LARGE, SMALL, photos
from models.entries import Task

SIZES: Final = {"640×480": SMALL, "1920×1440": LARGE}
"""(height, width) of the photos in pixels, by their name in tables."""


@dataclass(frozen=True)
class Workload:
    """One task: photo in, answer out.

    Attributes:
        task: The task; its comparison goes by the same name.
        model: Catalog name of the model that every system serves.
        path: Where every system takes photos.
        title: Of the table.
        pictures: Of what the photos are made, for `loadtests.photos.photos`.
    """

    task: Task
    model: str
    path: str
    title: str
    pictures: tuple[str, ...]


CLASSIFICATION: Final = Workload(
    task="classification",
    model="efficientnet-lite0",
    path="/v1/classify",
    title="Classification: efficientnet-lite0",
    pictures=(
        "chelsea",
        "coffee",
        "rocket",
        "astronaut",
        "retina",
        "hubble_deep_field",
        "immunohistochemistry",
        "stereo_motorcycle",
    ),
)

DETECTION: Final = Workload(
    task="detection",
    model="yolo-person",
    path="/v1/detect",
    title="Detection: yolo-person",
    pictures=(
        "astronaut",
        "chelsea",
        CROWD,
        "coffee",
        "camera",
        "hubble_deep_field",
        "rocket",
        "stereo_motorcycle",
    ),
)
"""One person each in `astronaut` and `camera`, twelve in the crowd, and nobody in the other five."""

SEGMENTATION: Final = Workload(
    task="segmentation",
    model="unet-person",
    path="/v1/segment",
    title="Segmentation: unet-person",
    pictures=DETECTION.pictures,
)
"""People, like the detector's."""

WORKLOADS: Final[Mapping[str, Workload]] = {
    workload.task: workload for workload in (CLASSIFICATION, DETECTION, SEGMENTATION)
}
"""By task."""


@cache
def photos_of(workload: Workload) -> dict[str, list[bytes]]:
    """The photos of a workload, by the name of their size."""
    return {name: photos(size, workload.pictures) for name, size in SIZES.items()}
