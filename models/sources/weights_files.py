"""Weights files: locates, downloads and verifies them by digest, and loads state dicts safely."""

import logging
import re
from collections import OrderedDict
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import Final, TypeGuard, cast
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from models.entries import ONNX, CatalogEntry
from models.errors import WeightsCorrupt, WeightsUnavailable
from models.files import file_digest
from models.sources import hugging_face
from models.sources.card_weights import load_weights
from models.sources.downloads import Progress, WrongDigest, download

_HASH_IN_NAME: Final = re.compile(r"-([a-f0-9]{8,})\.[a-z]+$")
"""torch hub's convention: a file name ends in the first digits of the sha256, before its extension."""

_DOWNLOADED: Final = ("torch_hub", "url")

_log = logging.getLogger(__name__)


def locate(entry: CatalogEntry) -> Path:
    """Returns the path of a model's weights file, before or after it is fetched.

    Args:
        entry: The model; its weights must be of a kind that is a file.

    Returns:
        The path of the file, which need not exist.

    Raises:
        WeightsUnavailable: The Python package that carries the weights is not installed; or they are of Hugging Face,
            and not in its cache.
    """
    if entry.weights.kind == "hugging_face":
        path = hugging_face.cached(entry.weights.location)
        if path is None:
            raise WeightsUnavailable(entry.name, f"{entry.weights.location} is not in Hugging Face's cache")
        return path
    if entry.weights.kind in _DOWNLOADED:
        return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(entry.weights.location).path).name
    if entry.weights.kind == "card":
        assert entry.card is not None
        return entry.card.with_name(entry.weights.location)
    package, _, inside = entry.weights.location.partition("/")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        message = f"{entry.weights.location} is not there; install the Python package {package.replace('_', '-')}"
        raise WeightsUnavailable(entry.name, message)
    return Path(spec.submodule_search_locations[0]) / inside


def fetch(entry: CatalogEntry, progress: Progress | None = None) -> Path:
    """Downloads a model's weights if they are not on this machine.

    Args:
        entry: The model.
        progress: Called with the progress of a download.

    Returns:
        The path of the file.

    Raises:
        WeightsUnavailable: They are not here and cannot be downloaded.
        WeightsCorrupt: The downloaded file has another digest than published or, where none is, than the first
            download; it is deleted.
    """
    if entry.weights.kind == "hugging_face":
        return hugging_face.cached(entry.weights.location) or _from_hub(entry, progress)
    path = locate(entry)
    if path.exists():
        return path
    if entry.weights.kind not in _DOWNLOADED:
        raise WeightsUnavailable(entry.name, f"{path} is not there; {fix_of(entry, path)}")
    url = entry.weights.location
    try:
        download(url, path, _expected_digest(entry, path), progress)
    except OSError as error:
        message = f"{path} is not there and {url} could not be downloaded ({error}); {fix_of(entry, path)}"
        raise WeightsUnavailable(entry.name, message) from error
    except WrongDigest as error:
        message = f"{url} came altered (sha256 {error}), so {path} was not written; {_fix_digest(entry, path)}"
        raise WeightsCorrupt(entry.name, message) from error
    return path


def read_state_dict(entry: CatalogEntry, path: Path) -> tuple[dict[str, Tensor], str]:
    """Reads a state dict without executing code from the file.

    A file in torch hub's cache may be the user's own, as with torch hub itself: a different digest is logged only, and
    is part of the model's identity. Other files must match the published digest. Where none is published, the digest of
    the first file is recorded beside it, and every later one must match it.

    Args:
        entry: The model that it belongs to.
        path: The file, from `fetch`: a state dict, or a training checkpoint that holds one under `model`; of a model
            card, a safetensors file.

    Returns:
        The state dict, and the sha256 of the file in hex.

    Raises:
        WeightsCorrupt: The file is truncated, holds no state dict, or has the wrong digest.
    """
    _require_no_onnx(entry)
    digest = checked_digest(entry, path)
    try:
        loaded = _unpacked(entry, path)
    except (UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError) as error:
        raise WeightsCorrupt(entry.name, f"{path} is truncated or corrupt; {fix_of(entry, path)}") from error
    state = _state_dict_in(loaded)
    if state is None:
        raise WeightsCorrupt(entry.name, f"{path} holds no state dict; {fix_of(entry, path)}")
    if entry.weights.kind != "hugging_face" and not _expected_digest(entry, path):
        _record_digest(path, digest)
    return state, digest


def checked_digest(entry: CatalogEntry, path: Path) -> str:
    """Checks that a file is the one that its entry names.

    Args:
        entry: The model that it belongs to.
        path: The file, from `fetch`.

    Returns:
        sha256 of the file in hex.

    Raises:
        WeightsCorrupt: The file has the wrong digest, or cannot be read.
    """
    try:
        digest = file_digest(path)
    except OSError as error:
        raise WeightsCorrupt(entry.name, f"{path} cannot be read ({error.strerror}); {fix_of(entry, path)}") from error
    _check_digest(entry, path, digest)
    return digest


def _require_no_onnx(entry: CatalogEntry) -> None:
    if entry.architecture == ONNX:
        raise WeightsCorrupt(entry.name, "is an ONNX network, which has no state dict to train or convert")


def load_into(network: nn.Module, state: dict[str, Tensor], entry: CatalogEntry, path: Path) -> None:
    """Loads a state dict into a network, strictly: all keys and shapes must match.

    Args:
        network: The network.
        state: Its weights.
        entry: The model, for the message.
        path: Where the weights come from, for the message.

    Raises:
        WeightsCorrupt: They belong to another network.
    """
    try:
        load_strictly(network, state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsCorrupt(
            entry.name, f"{path} holds another network's weights ({reason} ...); {fix_of(entry, path)}"
        ) from error


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], *, assign: bool = False) -> None:
    """Loads a state dict without versions into a network; the modules rename old keys themselves.

    Args:
        network: The network; torchvision's MNASNet insists on a version, and gets its own.
        state: Its weights.
        assign: Whether the network keeps the tensors themselves, and not copies.

    Raises:
        RuntimeError: Keys or shapes differ.
    """
    plain = OrderedDict(state)
    try:
        network.load_state_dict(plain, strict=True, assign=assign)
    except ValueError:
        plain._metadata = getattr(network.state_dict(), "_metadata", None)  # pyright: ignore[reportAttributeAccessIssue]
        network.load_state_dict(plain, strict=True, assign=assign)


def _from_hub(entry: CatalogEntry, progress: Progress | None) -> Path:
    repository = entry.weights.location
    try:
        return hugging_face.download(repository, progress)
    except hugging_face.HubUnavailable as error:
        problem = f"{repository} is not in Hugging Face's cache and could not be downloaded ({error})"
        raise WeightsUnavailable(entry.name, f"{problem}; {_fix_hub(entry)}") from error
    except WrongDigest as error:
        message = f"{repository} came altered (sha256 {error}) and was deleted; {_fix_hub(entry)}"
        raise WeightsCorrupt(entry.name, message) from error


def _unpacked(entry: CatalogEntry, path: Path) -> object:
    if entry.weights.kind == "card" or path.suffix == ".safetensors":
        return load_weights(path)
    loaded: object = torch.load(path, map_location="cpu", weights_only=True)
    return loaded


def _state_dict_in(loaded: object) -> dict[str, Tensor] | None:
    content: object = loaded
    if isinstance(loaded, dict) and "model" in loaded:
        content = cast("dict[object, object]", loaded)["model"]
    return content if _is_state_dict(content) else None


def _is_state_dict(loaded: object) -> TypeGuard[dict[str, Tensor]]:
    if not isinstance(loaded, dict):
        return False
    items = cast("dict[object, object]", loaded).items()
    return all(isinstance(key, str) and isinstance(value, Tensor) for key, value in items)


def _check_digest(entry: CatalogEntry, path: Path, digest: str) -> None:
    expected = _expected_digest(entry, path)
    if digest.startswith(expected):
        return
    if entry.weights.kind == "torch_hub":
        _log.warning("%s: %s is not the published file (sha256 %s)", entry.name, path, digest)
        return
    message = f"{path} was altered (sha256 {digest}, expected {expected}); {_fix_digest(entry, path)}"
    raise WeightsCorrupt(entry.name, message)


def _expected_digest(entry: CatalogEntry, path: Path) -> str:
    """The expected sha256 in hex, or its first digits: as published, or of the first download; or empty."""
    return _published_digest(entry) or _recorded_digest(path)


def _digest_record(path: Path) -> Path:
    """Path of the recorded digest of the first download without a published one."""
    return path.with_name(f"{path.name}.sha256")


def _recorded_digest(path: Path) -> str:
    record = _digest_record(path)
    return record.read_text(encoding="ascii").strip() if record.exists() else ""


def _record_digest(path: Path, digest: str) -> None:
    try:
        _digest_record(path).write_text(f"{digest}\n", encoding="ascii")
    except OSError as error:
        _log.warning("the sha256 of %s, %s, could not be written down: %s", path, digest, error)


def _published_digest(entry: CatalogEntry) -> str:
    """The published sha256 in hex, or its first digits, or empty."""
    if entry.weights.sha256 is not None:
        return entry.weights.sha256
    match = _HASH_IN_NAME.search(entry.weights.location)
    return match.group(1) if match else ""


def _fix_hub(entry: CatalogEntry) -> str:
    return f"run `tapetum models pull {entry.name}` where there is a network"


def fix_of(entry: CatalogEntry, path: Path) -> str:
    """Returns how to fix a file that cannot be used, for an error message.

    Args:
        entry: The model that it belongs to.
        path: The file.
    """
    if entry.architecture == ONNX:
        return "add the model again with `tapetum models add`"
    if entry.weights.kind == "hugging_face":
        return f"remove {path} and {_fix_hub(entry)}"
    if entry.card is not None:
        return f"it belongs to the model card {entry.card.name} beside it: both come from one training"
    if entry.weights.kind == "package":
        return f"reinstall the Python package {entry.weights.location.partition('/')[0].replace('_', '-')}"
    return (
        f"remove {path} if it exists and run `tapetum models pull {entry.name}`, or put {entry.weights.location} there"
    )


def _fix_digest(entry: CatalogEntry, path: Path) -> str:
    """How to fix a file with another digest."""
    record = _digest_record(path)
    if _published_digest(entry) or not record.exists():
        return fix_of(entry, path)
    return (
        f"if the publisher changed the file, remove {record}, which holds the first one's sha256; {fix_of(entry, path)}"
    )
