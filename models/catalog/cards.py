"""Model cards: a trained model as two files, ``NAME.json`` that tells all about it and ``NAME.safetensors``.

A card is a catalog entry, written down. Every file that training makes is such a pair, and so are the models that come
with the package; serving one needs no other file. In place of the weights of a network that this package builds there
may be a network, ``NAME.onnx``. Further versions of a model are pairs that are called ``NAME@VERSION.json`` and
``NAME@VERSION.safetensors``. Reading and writing cards loads no torch.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from models.catalog.version_names import SEPARATOR, join_name, split_name
from models.entries import (
    ONNX,
    Accuracy,
    CatalogEntry,
    Preprocessing,
    Quantization,
    Segmentation,
    Speed,
    Task,
    WeightsSource,
)
from models.entries.parts import ModelPart
from models.entries.signal_preprocessing import SIGNAL_CNN, SignalPreprocessing
from models.entries.skeletons import Skeleton
from models.errors import BrokenCard
from models.files import replaced
from models.kinds import KINDS, PredictionKind, find_kind
from models.sources.text_documents import DocumentError, convert_json, read_json

if TYPE_CHECKING:
    from torch import Tensor

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
SAFETENSORS: Final = ".safetensors"
"""Suffix of weights."""
ONNX_SUFFIX: Final = ".onnx"
"""Suffix of networks in ONNX files."""


@dataclass(frozen=True)
class _Weights:
    """The member `weights` of a card."""

    file: str
    sha256: str
    licence: str
    source: str


@dataclass(frozen=True)
class _Document:
    """The JSON schema of a card; see `models.entries.CatalogEntry` for its members."""

    name: str
    version: str
    task: Task
    architecture: str
    class_names: tuple[str, ...]
    preprocessing: Mapping[str, Any]
    weights: _Weights
    licence: str
    description: str
    category_ids: tuple[int, ...] | None = None
    arguments: Mapping[str, bool | int | float | str] = field(default_factory=dict[str, bool | int | float | str])
    accuracy: tuple[Accuracy, ...] = ()
    defaults: Mapping[str, int | float] = field(default_factory=dict[str, int | float])
    training: Mapping[str, Any] = field(default_factory=dict[str, Any])
    speed: tuple[Speed, ...] = ()
    segmentation: Segmentation | None = None
    outputs: str | None = None
    quantization: Quantization | None = None
    skeleton: Skeleton | None = None
    parts: Mapping[str, Any] = field(default_factory=dict[str, Any])


def card_names(folder: Path) -> tuple[str, ...]:
    """Lists the models of a folder, in alphabetical order: every ``NAME`` with a card and its weights."""
    cards = (path for path in folder.glob("*.json") if _is_stem(path.stem))
    suffixes = SAFETENSORS, ONNX_SUFFIX
    stems = (path.stem for path in cards if any(weights_path(path, suffix).is_file() for suffix in suffixes))
    return tuple(sorted({split_name(stem)[0] for stem in stems}))


def card_paths(folder: Path, name: str) -> dict[str | None, Path]:
    """Finds the cards of a model.

    Args:
        folder: Where.
        name: Of the model, without a version.

    Returns:
        Their paths, by the version in the name of the file; that of ``NAME.json`` is None.
    """
    if not is_name(name):
        return {}
    paths = (folder / f"{name}.json", *sorted(folder.glob(f"{name}{SEPARATOR}*.json")))
    return {split_name(path.stem)[1]: path for path in paths if _is_stem(path.stem) and path.is_file()}


def is_name(text: str) -> bool:
    """Whether a model can have this name, without a version: letters, digits, dots, hyphens and underscores."""
    return _NAME.fullmatch(text) is not None


def weights_path(card: Path, suffix: str = SAFETENSORS) -> Path:
    """Path of the weights beside a card.

    Args:
        card: Path of the card.
        suffix: `SAFETENSORS` or `ONNX_SUFFIX`.
    """
    return card.with_name(f"{card.name.removesuffix('.json')}{suffix}")


def read_card(path: Path) -> CatalogEntry:
    """Reads and checks a card; the weights beside it are not looked at.

    Args:
        path: Of ``NAME.json`` or ``NAME@VERSION.json``.

    Returns:
        The entry; its weights are of kind `card`.

    Raises:
        BrokenCard: There is no such file, or it is no card; the message names the member that is wrong.
    """
    try:
        document = convert_json(read_json(path), _Document)
        return _entry_from(document, path)
    except DocumentError as error:
        raise BrokenCard(str(path), f"is no model card: {error.reason}") from error
    except ValueError as error:  # a member that is wrong, or what an entry refuses
        raise BrokenCard(str(path), f"is no model card: {error}") from error


def write_card(
    folder: Path, card: CatalogEntry, state: "Mapping[str, Tensor]", *, versioned: bool = False, exact: bool = False
) -> Path:
    """Writes a trained model, so that it can be served once the folder is in ``TAPETUM_CATALOG``.

    Each of the two files is replaced as a whole, the weights first.

    Args:
        folder: Where to; made if it is not there.
        card: The entry. Its class names must be known; the kind, location and digest of its weights are filled in.
        state: The network's state dict. Its arrays of two dimensions and more are written in half precision.
        versioned: Whether the files are called ``NAME@VERSION``, so that the model's other versions stay.
        exact: Whether all arrays are written in their own precision instead.

    Returns:
        Path of the card.

    Raises:
        BrokenCard: The entry cannot be read back from a card, for instance for its name.
        OSError: The files cannot be written.
    """
    from models.sources.card_weights import save_weights

    path = folder / f"{join_name(card.name, card.version) if versioned else card.name}.json"
    weights = replace(card.weights, kind="card", location=weights_path(path).name, sha256="0" * 64)
    _check(replace(card, weights=weights), path)
    folder.mkdir(parents=True, exist_ok=True)
    sha256 = save_weights(folder / weights.location, state, exact=exact)
    write_document(path, replace(card, weights=replace(weights, sha256=sha256)))
    return path


def write_document(path: Path, card: CatalogEntry) -> None:
    """Writes a card for weights that are beside it.

    Args:
        path: Of the card, ``NAME.json`` or ``NAME@VERSION.json``; it is replaced as a whole.
        card: The entry; its weights are of kind `card`, and complete.

    Raises:
        BrokenCard: The entry cannot be read back from a card.
        OSError: The file cannot be written.
    """
    _check(card, path)
    text = json.dumps(_document_of(card), indent=2)
    with replaced(path) as file:
        file.write(f"{text}\n".encode())
        file.flush()
        os.fsync(file.fileno())


def _entry_from(document: _Document, path: Path) -> CatalogEntry:
    weights = document.weights
    name, version = split_name(path.name.removesuffix(".json"))
    if not is_name(document.name) or document.name != name:
        raise ValueError(
            f"name must be {name!r}, as the file is called, of letters, digits, dots, hyphens and underscores"
        )
    if version is not None and document.version != version:
        raise ValueError(f"version must be {version!r}, as the file is called, not {document.version!r}")
    if not _is_stem(weights.file):
        raise ValueError("weights.file must be the name of a file beside the card")
    _check_architecture(document)
    if not _SHA256.fullmatch(weights.sha256):
        raise ValueError("weights.sha256 must be 64 hexadecimal digits")
    kind = find_kind(document.task, document.segmentation)
    if (document.skeleton is not None) != (kind.name == "keypoints"):
        raise ValueError("skeleton must name the key points where task is 'keypoints', and only there")
    convert_json(document.defaults, kind.parameters, "defaults")
    if not document.class_names:
        raise ValueError("class_names must be a list of at least one name")
    return CatalogEntry(
        name=document.name,
        version=document.version,
        task=document.task,
        architecture=document.architecture,
        weights=WeightsSource("card", weights.file, weights.sha256, weights.licence, weights.source),
        preprocessing=convert_json(document.preprocessing, _preprocessing_of(document, kind), "preprocessing"),
        class_count=len(document.class_names),
        licence=document.licence,
        accuracy=document.accuracy,
        description=document.description,
        defaults={**kind.defaults, **document.defaults},
        class_names=document.class_names,
        category_ids=document.category_ids,
        arguments=document.arguments,
        training=document.training,
        speed=document.speed,
        segmentation=document.segmentation,
        outputs=document.outputs,
        quantization=document.quantization,
        skeleton=document.skeleton,
        parts=_parts_of(document),
        card=path,
    )


def _parts_of(document: _Document) -> dict[str, ModelPart]:
    """The parts of a multi-task network, in the order of `KINDS`, each with all its defaults."""
    if bool(document.parts) != (document.task == "multitask"):
        raise ValueError("parts must name what the network answers where task is 'multitask', and only there")
    unknown = [name for name in document.parts if name not in KINDS or name == "multitask"]
    if unknown:
        raise ValueError(f"parts has no kind {unknown[0]!r}")
    found: dict[str, ModelPart] = {}
    for name in (name for name in KINDS if name in document.parts):
        part = convert_json(document.parts[name], ModelPart, f"parts.{name}")
        convert_json(part.defaults, KINDS[name].parameters, f"parts.{name}.defaults")
        found[name] = replace(part, defaults={**KINDS[name].defaults, **part.defaults})
    return found


def _preprocessing_of(document: _Document, kind: PredictionKind) -> type[Any]:
    """That of the kind; of a classifier whose input has a length, that of signals."""
    if kind.preprocessing is not Preprocessing or "length" not in document.preprocessing:
        return kind.preprocessing
    if document.architecture != SIGNAL_CNN:
        raise ValueError(f"preprocessing.length is for signals, which architecture {SIGNAL_CNN!r} takes, and no other")
    return SignalPreprocessing


def _check_architecture(document: _Document) -> None:
    """Raises unless a card of an ONNX file says what one needs."""
    is_onnx = document.architecture == ONNX
    if document.weights.file.endswith(ONNX_SUFFIX) != is_onnx:
        raise ValueError(f"weights.file must end in {ONNX_SUFFIX} where architecture is {ONNX!r}, and only there")
    if is_onnx and document.outputs is None:
        raise ValueError(f"outputs must name a layout where architecture is {ONNX!r}")
    if is_onnx and document.quantization is not None:
        raise ValueError(f"quantization must be left out where architecture is {ONNX!r}")


def _is_stem(text: str) -> bool:
    """Whether this is ``NAME`` or ``NAME@VERSION``."""
    return all(is_name(part) for part in text.split(SEPARATOR, 1))


def _document_of(entry: CatalogEntry) -> dict[str, object]:
    weights = entry.weights
    left_out = {"class_count", *(["skeleton"] if entry.skeleton is None else [])}
    members = {name: value for name, value in entry.to_dict().items() if name not in left_out}
    return {
        **members,
        "weights": asdict(_Weights(weights.location, weights.sha256 or "", weights.licence, weights.source)),
    }


def _check(card: CatalogEntry, path: Path) -> None:
    """Reads a card back before anything is written."""
    try:
        document = json.loads(json.dumps(_document_of(card), allow_nan=False))
        _entry_from(convert_json(document, _Document), path)
    except (ValueError, TypeError) as error:
        raise BrokenCard(str(path), f"would be no model card: {error}") from error
