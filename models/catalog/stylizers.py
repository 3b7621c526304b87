"""Loads stylizers, an experimental kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from models.catalog.filled_networks import card_of, filled
from models.entries import CatalogEntry, LetterboxPreprocessing
from models.errors import BrokenCard
from models.execution.executor import executor_for
from models.runtime import Runtime
from models.stylization.adapter import Stylizer
from models.stylization.network import STRIDE, STYLE_NETWORK, StyleNetwork


def load_stylizer(entry: CatalogEntry, runtime: Runtime) -> Stylizer:
    """Loads a stylizer, see `models.catalog.loading.load`.

    Args:
        entry: Of a card.
        runtime: Where it runs, resolved.

    Raises:
        BrokenCard: The card names another architecture, or preprocessing that does not suit it.
        WeightsCorrupt: Its weights file is damaged or has the wrong digest.
    """
    preprocessing = entry.preprocessing
    assert isinstance(preprocessing, LetterboxPreprocessing)
    if preprocessing.stride % STRIDE:
        raise BrokenCard(card_of(entry), f"preprocessing.stride must be a multiple of {STRIDE} for {STYLE_NETWORK}")
    network, digest = filled(entry, build_stylizer, (STYLE_NETWORK,))
    executor = executor_for(network, preprocessing, runtime)
    return Stylizer(entry, entry.class_names or (), runtime, executor, digest)


def build_stylizer(
    _architecture: str, _class_count: int, arguments: Mapping[str, int | float | str | bool]
) -> nn.Module:
    """Builds a style network, with random weights.

    Args:
        _architecture: `models.stylization.network.STYLE_NETWORK`.
        _class_count: A stylizer has no classes.
        arguments: `width` and `blocks`, see `models.stylization.network.StyleNetwork`.

    Raises:
        TypeError, ValueError: It does not take such arguments.
    """
    options: dict[str, Any] = dict(arguments)
    return StyleNetwork(**options)
