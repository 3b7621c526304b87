"""The model card of a classifier before training: input size, preprocessing, architecture and its arguments."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from models.catalog.lookup import find
from models.classification.small_inputs import can_be_finer, fineness_for, least_size
from models.classification.small_networks import SMALL_NETWORKS
from models.datasets.photo_dataset import DatasetError
from models.entries import CatalogEntry, Preprocessing
from models.errors import ImageError
from models.imaging import decoding
from models.training.class_data import ClassData
from models.training.run_options import RunOptions
from models.training.trained_card import OWN_LICENCE, untrained_card

_SMALL: Final = 64
"""Images below this are trained at their own size, unless another is asked for."""
_LOOKED_AT: Final = 100
_SHOWN_CLASSES: Final = 5


def new_card(options: RunOptions, architecture: str, size: int | None, folders: ClassData) -> CatalogEntry:
    """Makes the entry of a classifier that is to be trained; its accuracy and the facts of its training come later.

    Args:
        options: Of the run.
        architecture: A name of `models.classification.architectures`.
        size: Side of its images in pixels; where None, the architecture's own, but for images that are all below 64
            pixels theirs.
        folders: What it will learn from.

    Raises:
        ValueError: The architecture cannot take images of that size.
        DatasetError: An image cannot be read.
    """
    preprocessing, code_licence = _usual(architecture)
    size = size or _own_size(architecture, folders) or preprocessing.crop
    check_size(architecture, size)
    resize = size if size < _SMALL else round(size * preprocessing.resize / preprocessing.crop)
    shown = ", ".join(folders.class_names[:_SHOWN_CLASSES])
    return untrained_card(
        options,
        "tapetum train classifier",
        class_names=folders.class_names,
        licence=code_licence,
        task="classification",
        architecture=architecture,
        preprocessing=replace(preprocessing, resize=resize, crop=size),
        description=f"Tells apart {shown}{' …' if len(folders.class_names) > _SHOWN_CLASSES else ''}.",
        arguments=_arguments(architecture, size),
    )


def _usual(architecture: str) -> tuple[Preprocessing, str]:
    """The preprocessing of an architecture's published weights, or of its paper; and the licence of its code."""
    if architecture in SMALL_NETWORKS:
        return SMALL_NETWORKS[architecture].preprocessing, OWN_LICENCE
    usual = find(architecture)
    assert isinstance(usual.preprocessing, Preprocessing)
    return usual.preprocessing, usual.licence


def _arguments(architecture: str, size: int) -> Mapping[str, int]:
    if _of_one_size(architecture):
        return {"image_size": size} if "/vit_" in architecture else {}
    fineness = fineness_for(architecture, size)
    return {"fineness": fineness} if fineness > 1 else {}


def _of_one_size(architecture: str) -> bool:
    if architecture in SMALL_NETWORKS:
        return not SMALL_NETWORKS[architecture].any_size
    return architecture.rpartition("/")[2].startswith(("vit_", "maxvit_"))


def check_size(architecture: str, size: int) -> None:
    """Raises unless an architecture takes images of a size.

    Args:
        architecture: A name of `models.classification.architectures`.
        size: Side in pixels.

    Raises:
        ValueError: It takes other sizes.
    """
    usual = _usual(architecture)[0].crop
    if _of_one_size(architecture) and size != usual:
        raise ValueError(f"{architecture} takes images of {usual} pixels only, not {size}")
    if size < (least := least_size(architecture)):
        raise ValueError(
            f"{architecture} needs images of at least {least} pixels, not {size}: ask for a larger size, to which "
            "smaller images are enlarged, or take another architecture, such as torchvision/resnet18"
        )


def _own_size(architecture: str, folders: ClassData) -> int | None:
    """The short side of images that are all small, where the architecture can do with that."""
    if not can_be_finer(architecture):
        return None
    step = -(-len(folders.train) // _LOOKED_AT)
    sides: list[int] = []
    for image in folders.train[::step]:
        try:
            sides.append(min(decoding.inspect(image.path.read_bytes()).size))
        except (OSError, ImageError) as error:
            raise DatasetError(f"{image.path}: {error}") from None
    return max(least_size(architecture), int(np.median(sides))) if max(sides) < _SMALL else None
