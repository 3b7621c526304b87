"""Weights on disk: finding them, fetching them, and refusing those that are not what they should be."""

import logging
import re
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final, TypeGuard, cast
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from models.downloads import Progress, WrongDigest, download, file_digest
from models.entries import CatalogEntry
from models.errors import WeightsCorrupt, WeightsUnavailable

_HASH_IN_NAME: Final = re.compile(r"-([a-f0-9]{8,})\.[a-z]+$")
"""torch hub's convention: the first digits of the file's sha256 stand before its extension."""

_log = logging.getLogger(__name__)


def locate(entry: CatalogEntry) -> Path:
    """Tells where a model's weights lie, or will lie once fetched.

    Args:
        entry: The model; its weights must be of a kind that is a file.

    Returns:
        The path of the file, which need not exist.

    Raises:
        WeightsUnavailable: The Python package that carries the weights is not installed.
    """
    if entry.weights.kind == "torch_hub":
        return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(entry.weights.location).path).name
    package, _, inside = entry.weights.location.partition("/")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        message = f"{entry.weights.location} is not there; install the Python package {package.replace('_', '-')}"
        raise WeightsUnavailable(entry.name, message)
    return Path(spec.submodule_search_locations[0]) / inside


def fetch(entry: CatalogEntry, progress: Progress | None = None) -> Path:
    """Makes sure that a model's weights are on this machine.

    Args:
        entry: The model.
        progress: Told of a download as it goes.

    Returns:
        The path of the file.

    Raises:
        WeightsUnavailable: They are not here and cannot be downloaded.
        WeightsCorrupt: What was downloaded is not what its name promises; nothing is kept.
    """
    path = locate(entry)
    if path.exists():
        return path
    if entry.weights.kind != "torch_hub":
        raise WeightsUnavailable(entry.name, f"{path} is not there; {_fix(entry, path)}")
    url = entry.weights.location
    try:
        download(url, path, _published_digest(entry), progress)
    except OSError as error:
        message = f"{path} is not there and {url} could not be downloaded ({error}); {_fix(entry, path)}"
        raise WeightsUnavailable(entry.name, message) from error
    except WrongDigest as error:
        message = f"{url} came altered (sha256 {error}), so {path} was not written; {_fix(entry, path)}"
        raise WeightsCorrupt(entry.name, message) from error
    return path


def read_state_dict(entry: CatalogEntry, path: Path) -> tuple[dict[str, Tensor], str]:
    """Reads a weights file, running no code that it may hold.

    A file in torch hub's cache may be the user's own, as with torch hub itself: where it is not the published one this
    is logged, and the digest tells it apart.

    Args:
        entry: The model that it belongs to.
        path: The file, from `fetch`.

    Returns:
        The state dict, and the sha256 of the file in hex.

    Raises:
        WeightsCorrupt: The file is truncated or holds no state dict, or is not the one that an installed package
            should carry.
    """
    digest = file_digest(path)
    if not digest.startswith(_published_digest(entry)):
        if entry.weights.kind == "package":
            raise WeightsCorrupt(entry.name, f"{path} was altered (sha256 {digest}); {_fix(entry, path)}")
        _log.warning("%s: %s is not the published file (sha256 %s)", entry.name, path, digest)
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError) as error:
        raise WeightsCorrupt(entry.name, f"{path} is truncated or corrupt; {_fix(entry, path)}") from error
    if not _is_state_dict(state):
        raise WeightsCorrupt(entry.name, f"{path} holds no state dict; {_fix(entry, path)}")
    return state, digest


def load_into(network: nn.Module, state: dict[str, Tensor], entry: CatalogEntry, path: Path) -> None:
    """Puts a state dict into a network, every key and shape of which must fit.

    Args:
        network: The network.
        state: Its weights.
        entry: The model, for the message.
        path: Where the weights come from, for the message.

    Raises:
        WeightsCorrupt: They belong to another network.
    """
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsCorrupt(
            entry.name, f"{path} holds another network's weights ({reason} ...); {_fix(entry, path)}"
        ) from error


def _is_state_dict(loaded: object) -> TypeGuard[dict[str, Tensor]]:
    if not isinstance(loaded, dict):
        return False
    items = cast("dict[object, object]", loaded).items()
    return all(isinstance(key, str) and isinstance(value, Tensor) for key, value in items)


def _published_digest(entry: CatalogEntry) -> str:
    """The sha256 in hex, or its first digits, or nothing where nothing was published."""
    if entry.weights.sha256 is not None:
        return entry.weights.sha256
    match = _HASH_IN_NAME.search(entry.weights.location)
    return match.group(1) if match else ""


def _fix(entry: CatalogEntry, path: Path) -> str:
    if entry.weights.kind == "package":
        return f"reinstall the Python package {entry.weights.location.partition('/')[0].replace('_', '-')}"
    return (
        f"remove {path} if it exists and run `tapetum models pull {entry.name}`, or put {entry.weights.location} there"
    )
