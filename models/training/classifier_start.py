"""Initialises a classifier with pretrained weights."""

from pathlib import Path
from typing import Final

from torch import Tensor, nn

from models.catalog.cards import read_card
from models.catalog.lookup import find
from models.classification.efficientnet_lite import from_published
from models.classification.torchvision_networks import current_keys
from models.entries import CatalogEntry
from models.errors import WeightsUnavailable
from models.sources.weights_files import fetch, read_state_dict
from models.training.classifier import last_layer
from models.training.transfer import IMAGENET, NOTHING

_CARD_SUFFIX: Final = ".json"


def start_classifier(network: nn.Module, architecture: str, start: str, class_names: tuple[str, ...]) -> None:
    """Loads the weights to start from.

    The last layer's are taken over only where the classes are the same, in the same order.

    Args:
        network: From `models.classification.architectures.build_classifier`; changed in place.
        architecture: Its name there.
        start: `none`, `imagenet`, a name of the catalog, or the path of a model card.
        class_names: What it is to tell apart.

    Raises:
        ValueError: The weights are of another architecture.
        ModelsError: There is no such model, or its weights cannot be had.
    """
    if start == NOTHING:
        return
    entry = start_entry(architecture, start)
    state = _state(entry)
    if class_names != entry.class_names:
        prefix = f"{last_layer(network)[0]}."
        state = {key: value for key, value in state.items() if not key.startswith(prefix)}
    own = network.state_dict()
    fitting = {key: value for key, value in state.items() if key in own}
    try:
        network.load_state_dict({**own, **fitting})
    except RuntimeError as error:
        raise ValueError(f"the weights of {start} do not fit {architecture}: {' '.join(str(error).split())}") from None


def start_entry(architecture: str, start: str) -> CatalogEntry:
    """Tells which model training starts from.

    Args:
        architecture: The network that is to be trained.
        start: `imagenet`, a name of the catalog, or the path of a model card.

    Raises:
        ValueError: It is of another architecture.
        ModelsError: There is no such model.
    """
    if start == IMAGENET:
        return find(architecture)
    entry = read_card(Path(start)) if start.endswith(_CARD_SUFFIX) else find(start)
    theirs = entry.architecture if entry.weights.kind == "card" else entry.name.partition("@")[0]
    if theirs != architecture:
        raise ValueError(f"{start} is a model of architecture {theirs}, not {architecture}")
    return entry


def _state(entry: CatalogEntry) -> dict[str, Tensor]:
    """The weights of an entry under the names that its network has."""
    try:
        state, _ = read_state_dict(entry, fetch(entry))
    except WeightsUnavailable as error:
        message = f"{error.message}; or begin with random weights: --start {NOTHING}"
        raise WeightsUnavailable(entry.name, message) from error
    if entry.weights.kind == "card":
        return state
    return from_published(state) if entry.weights.kind == "package" else current_keys(state, entry.architecture)
