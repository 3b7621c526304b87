"""Builds the network that a card names, and loads its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from models.detection.yolox_family import from_official
from models.entries import CatalogEntry
from models.errors import BrokenCard
from models.sources.weights_files import fetch, load_into, read_state_dict

Build = Callable[[str, int, Mapping[str, int | float | str | bool]], nn.Module]


def filled(entry: CatalogEntry, build_network: Build, known: tuple[str, ...]) -> tuple[nn.Module, str]:
    """Builds the network of an entry and loads its weights.

    Args:
        entry: Of a card, or of `models.detection.yolox_entries`.
        build_network: From an architecture, a number of classes and arguments to a network.
        known: The architectures that it builds.

    Returns:
        The network in evaluation mode, and sha256 in hex of the file of its weights.

    Raises:
        BrokenCard: The architecture is not one of them, or cannot be built with the arguments.
        WeightsUnavailable: The weights are not on this machine and cannot be downloaded.
        WeightsCorrupt: The weights file is damaged or has the wrong digest.
    """
    network = _built(entry, build_network, known)
    path = fetch(entry)
    state, digest = read_state_dict(entry, path)
    load_into(network, from_official(state) if entry.name.startswith("yolox/") else state, entry, path)
    return network.eval(), digest


def _built(entry: CatalogEntry, build_network: Build, known: tuple[str, ...]) -> nn.Module:
    if entry.architecture not in known:
        raise BrokenCard(card_of(entry), f"architecture must be one of {', '.join(known)}, not {entry.architecture!r}")
    try:
        return build_network(entry.architecture, entry.class_count, entry.arguments)
    except (TypeError, ValueError) as error:
        message = f"{entry.architecture} cannot be built with arguments {dict(entry.arguments)}: {error}"
        raise BrokenCard(card_of(entry), message) from error


def card_of(entry: CatalogEntry) -> str:
    """The card of an entry, as errors name it."""
    return str(entry.card or f"{entry.name}.json")
