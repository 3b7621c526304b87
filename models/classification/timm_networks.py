"""Builds classifiers of timm (https://github.com/huggingface/pytorch-image-models), an optional dependency."""

import difflib
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from torch import Tensor, nn

from models.classification.imagenet_classes import imagenet_class_names
from models.sources.timm_manifest import PREFIX

IMAGENET: Final[Mapping[int, str]] = {
    1000: "imagenet-1k",
    11221: "imagenet-21k-miil",
    11821: "imagenet-12k",
    21841: "imagenet-22k",
    21842: "imagenet-22k-ms",
    21843: "imagenet-21k-goog",
}
"""Sets of classes by their number, as `timm.data.infer_imagenet_subset` has them; models with other outputs are no
classifiers (embeddings of CLIP and the like)."""


class TimmUnavailable(ValueError):
    """timm is not installed; the message says how to install it."""


def is_timm(architecture: str) -> bool:
    """Whether the architecture of a card is one of timm: ``timm/<name>``."""
    return architecture.startswith(PREFIX)


def build_timm(architecture: str, class_count: int, arguments: Mapping[str, int | float | str | bool]) -> nn.Module:
    """Builds a classifier for classes of the user's own, with random weights.

    Args:
        architecture: ``timm/<name>``, with or without a tag.
        class_count: Number of classes.
        arguments: For `timm.create_model`.

    Returns:
        The network, from (N, 3, H, W) to (N, class_count) logits.

    Raises:
        ValueError: timm is not installed, has no such model, or cannot build it with such arguments.
    """
    name = architecture.removeprefix(PREFIX)
    timm = timm_library()
    if not timm.is_model(name.partition(".")[0]):
        known: list[str] = list(timm.list_models())
        near = difflib.get_close_matches(name, known, 3)
        meant = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(f"timm {timm.__version__} has no model {name!r}{meant}")
    try:
        return timm.create_model(name, pretrained=False, **{**arguments, "num_classes": class_count})
    except (RuntimeError, AssertionError) as error:
        raise ValueError(str(error)) from error


def build_published(name: str, state: Mapping[str, Tensor]) -> nn.Module:
    """Builds a classifier with timm's own weights.

    Args:
        name: As timm calls it.
        state: As published; timm renames its keys where they are older than its code.

    Returns:
        The network, in training mode.

    Raises:
        TimmUnavailable: timm is not installed.
        ValueError, RuntimeError: The installed timm has no such model, or the weights are another's.
    """
    timm = timm_library()
    return timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"state_dict": dict(state)})


def timm_class_names(class_count: int) -> tuple[str, ...]:
    """The names of timm's sets of classes.

    Args:
        class_count: One of `IMAGENET`.

    Returns:
        For 1000 classes those that all classifiers of the catalog have; for the others WordNet's.
    """
    if class_count == len(names := imagenet_class_names()):
        return names
    info: Any = import_module("timm.data").ImageNetInfo(IMAGENET[class_count])
    return tuple(info.label_descriptions())


def timm_library() -> Any:
    """Imports timm.

    Raises:
        TimmUnavailable: It is not installed.
    """
    try:
        return import_module("timm")
    except ImportError as error:
        raise TimmUnavailable("it needs the Python package timm: pip install 'tapetum[timm]'") from error
