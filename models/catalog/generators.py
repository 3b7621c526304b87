"""Loads generators, an experimental kind, and the classifiers that judge them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from torch import nn

from models.catalog.filled_networks import card_of, filled
from models.catalog.lookup import find
from models.classification.architectures import build_classifier, known_classifiers
from models.entries import CatalogEntry, Preprocessing
from models.entries.latent_preprocessing import LatentPreprocessing
from models.errors import BrokenCard
from models.generation.image_generator import ImageGenerator
from models.generation.judge import Judge
from models.generation.networks import DCGAN, SIDE, Generator
from models.runtime import Runtime

_LATENT_SIZE: Final = 64
"""Of a card that does not name it."""


def load_generator(entry: CatalogEntry, runtime: Runtime) -> ImageGenerator:
    """Loads a generator, see `models.catalog.loading.load`.

    Args:
        entry: Of a card.
        runtime: Where it runs, resolved.

    Raises:
        BrokenCard: The card names another architecture, or sizes that are not those of the network.
        WeightsCorrupt: Its weights file is damaged or has the wrong digest.
    """
    network, digest = filled(entry, build_generator, (DCGAN,))
    preprocessing = entry.preprocessing
    assert isinstance(preprocessing, LatentPreprocessing) and isinstance(network, Generator)
    assert entry.class_names is not None
    if preprocessing.latent_size != network.latent_size:
        raise BrokenCard(card_of(entry), "arguments.latent_size must be preprocessing.latent_size")
    if preprocessing.largest_size != (SIDE, SIDE):
        raise BrokenCard(card_of(entry), f"preprocessing.height and width must be {SIDE} for {DCGAN}")
    return ImageGenerator(entry, entry.class_names, runtime, network, digest)


def build_generator(
    _architecture: str, class_count: int, arguments: Mapping[str, int | float | str | bool]
) -> nn.Module:
    """Builds a generator, with random weights.

    Args:
        _architecture: `models.generation.networks.DCGAN`.
        class_count: Number of classes.
        arguments: `latent_size` and `width`, see `models.generation.networks.Generator`.

    Raises:
        TypeError, ValueError: It does not take such arguments.
    """
    options: dict[str, Any] = {"latent_size": _LATENT_SIZE, **arguments}
    return Generator(class_count, **options)


def load_judge(name: str) -> Judge:
    """Loads a classifier that judges generated images.

    Args:
        name: Of a classifier of the catalog with weights in a card.

    Raises:
        ValueError: It is no such classifier.
        ModelsError: There is no such model, or its weights cannot be read.
    """
    entry = find(name)
    if entry.task != "classification" or entry.architecture not in known_classifiers() or entry.card is None:
        raise ValueError(f"{name} cannot judge images: that takes a classifier with a card, such as mnist")
    network, _ = filled(entry, build_classifier, known_classifiers())
    assert isinstance(entry.preprocessing, Preprocessing) and entry.class_names is not None
    return Judge(name, network, entry.preprocessing, entry.class_names)
