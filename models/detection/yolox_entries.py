"""Catalog entries of the official YOLOX checkpoints; torch-free."""

from typing import Final, NamedTuple

from models.detection.coco_classes import COCO_CATEGORY_IDS, COCO_CLASSES
from models.entries import Accuracy, CatalogEntry, LetterboxPreprocessing, WeightsSource

_RELEASE: Final = "https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0"
_README: Final = "https://github.com/Megvii-BaseDetection/YOLOX#benchmark"
_NOTE: Final = f"as published at {_README}; not measured here"


class _Published(NamedTuple):
    """A row of the publisher's model zoo table.

    Attributes:
        side: Of the square input in pixels.
        parameters: In millions.
        val_ap: On COCO val2017.
        test_ap: On COCO test-dev; None where it is not given.
        sha256: Of the checkpoint. The publisher gives none; each of these is recorded in several unrelated projects
            (all but nano's also in https://github.com/sr99622/libonvif).
    """

    side: int
    parameters: float
    val_ap: float
    test_ap: float | None
    sha256: str


_PUBLISHED: Final = {
    "nano": _Published(416, 0.91, 0.258, None, "cd28f55fbbc1829f99d9ac9b38a16d259a22889739c8728ea877610201feff7b"),
    "tiny": _Published(416, 5.06, 0.328, None, "9de513de589ac98bb92d3bca53b5af7b9acfa9b0bacb831f7999d0f7afaee8f0"),
    "s": _Published(640, 9.0, 0.405, 0.405, "f55ded7181e1b0c13285c56e7790b8f0e8f8db590fe4edb37f0b7f345c913a30"),
    "m": _Published(640, 25.3, 0.469, 0.472, "60076992b32da82951c90cfa7bd6ab70eba9eda243e08b940a396f60ac2d19b6"),
    "l": _Published(640, 54.2, 0.497, 0.501, "1e6b7fa6240375370b2a8a8eab9066b3cdd43fd1d0bfa8d2027fd3a51def2917"),
    "x": _Published(640, 99.1, 0.511, 0.515, "5652330b6ae860043f091b8f550a60c10e1129f416edfdb65c259be6caf355cf"),
}


def yolox_names() -> tuple[str, ...]:
    """Lists the official models, from the smallest to the largest."""
    return tuple(f"yolox/{size}" for size in _PUBLISHED)


def find_yolox(name: str) -> CatalogEntry | None:
    """Finds the catalog entry of an official YOLOX model.

    Args:
        name: ``yolox/<size>``.

    Returns:
        Its entry, or None where there is no such model.
    """
    family, _, size = name.partition("/")
    published = _PUBLISHED.get(size) if family == "yolox" else None
    return None if published is None else _entry(size, published)


def _entry(size: str, published: _Published) -> CatalogEntry:
    accuracy = [Accuracy("COCO val2017", "map", published.val_ap, _NOTE)]
    if published.test_ap is not None:
        accuracy.append(Accuracy("COCO test-dev2017", "map", published.test_ap, _NOTE))
    return CatalogEntry(
        name=f"yolox/{size}",
        version="0.1.1rc0",
        task="detection",
        architecture=f"yolox-{size}",
        weights=WeightsSource(
            kind="url",
            location=f"{_RELEASE}/yolox_{size}.pth",
            sha256=published.sha256,
            licence="Apache-2.0; trained on COCO train2017, whose photos are under their own Creative Commons licences",
            source=f"Megvii, release 0.1.1rc0; {_README}",
        ),
        preprocessing=LetterboxPreprocessing(
            short_side=published.side,
            long_side=published.side,
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            antialias=False,
        ),
        class_count=len(COCO_CLASSES),
        licence="Apache-2.0",
        accuracy=tuple(accuracy),
        description=f"YOLOX-{size} of {published.parameters} million parameters for COCO's 80 classes.",
        # The thresholds of the publisher's own demonstration.
        defaults={"score_threshold": 0.25, "iou_threshold": 0.45, "max_detections": 100},
        class_names=COCO_CLASSES,
        category_ids=COCO_CATEGORY_IDS,
    )
