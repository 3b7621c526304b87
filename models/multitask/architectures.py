"""Registry of the multi-task architectures that a model card can name."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from models.entries import CatalogEntry, LetterboxPreprocessing
from models.multitask.counts import COUNT_CLASSES
from models.multitask.model import MultitaskModel
from models.multitask.network import MULTITASK, MultitaskRcnn, build_multitask
from models.multitask.outputs import PARTS, MultitaskNetwork
from models.runtime import Runtime


def known_multitask() -> tuple[str, ...]:
    """Lists the architectures, which can be trained."""
    return (MULTITASK,)


def build_multitask_network(
    architecture: str, class_count: int, arguments: Mapping[str, int | float | str | bool]
) -> nn.Module:
    """Builds a multi-task network, with random weights.

    Args:
        architecture: One of `known_multitask()`.
        class_count: Number of classes of objects, without the background.
        arguments: For the builder, by name.

    Raises:
        KeyError: There is no such architecture.
        TypeError: The builder does not take such arguments.
    """
    if architecture != MULTITASK:
        raise KeyError(architecture)
    options: dict[str, Any] = dict(arguments)
    return build_multitask(class_count, **options)


def multitask_model(entry: CatalogEntry, runtime: Runtime, network: nn.Module, weights_digest: str) -> MultitaskModel:
    """Wraps a network in its adapter.

    Args:
        entry: Its catalog entry.
        runtime: A resolved runtime.
        network: With its weights, in evaluation mode.
        weights_digest: sha256 in hex of the file that they came from.

    Raises:
        ValueError: The entry has a part that the network does not answer, or one whose classes do not fit it.
    """
    assert isinstance(network, MultitaskRcnn) and isinstance(entry.preprocessing, LetterboxPreprocessing)
    counts = {
        "classification": COUNT_CLASSES,
        "detection": entry.class_count,
        "instance": entry.class_count,
        "semantic": entry.class_count + 1,
    }
    for kind, part in entry.parts.items():
        if kind not in PARTS:
            raise ValueError(f"parts has {kind!r}, and {entry.architecture} answers {', '.join(PARTS)}")
        if len(part.class_names) != counts[kind]:
            raise ValueError(f"parts.{kind}.class_names must be {counts[kind]} names, not {len(part.class_names)}")
    return MultitaskModel(entry, runtime, MultitaskNetwork(network, entry.preprocessing, runtime), weights_digest)
