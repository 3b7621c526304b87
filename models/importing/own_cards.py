"""Adds, renames and removes model cards in a folder of the user's, each with its weights and its picture.

A new model is written into a folder beside its place, `.adding-…`, is tried there, and is moved once it works: the
weights first, the card last, while a lock of the folder is held. A model is there as a whole or not at all, and of two
that are added at once with one name the first one stays. What a process that was killed leaves behind is removed when
the next model is added.
"""

import os
import shutil
import tempfile
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from models.catalog.cards import card_names, is_name, read_card, weights_path, write_document
from models.catalog.lookup import own_cards, own_folders, published
from models.catalog.version_names import join_name, split_name
from models.entries import CatalogEntry
from models.errors import BrokenCard, NameTaken, UnknownModel
from models.files import file_digest, locked
from models.importing.onnx_weights import self_contained

PICTURE: Final = ".jpg"
"""Suffix of the picture beside a card: a photo with the model's predictions."""

_LOCK: Final = ".lock"
_STAGING: Final = ".adding-"


def check_name(name: str, folder: Path, *, replacing: bool = False) -> None:
    """Checks that a new model can have a name.

    Args:
        name: Of the model, or NAME@VERSION.
        folder: Where it will be written.
        replacing: Whether a card of this name in the same folder is replaced.

    Raises:
        NameTaken: It cannot; the message says why.
    """
    model, version = split_name(name)
    if "/" in name or not all(is_name(part) for part in name.split("@", 1)):
        raise NameTaken(
            f"{name[:80]!r} is no name for a model: use letters, digits, dots, hyphens and underscores, "
            "and NAME@VERSION for a further version"
        )
    if version is None and published(model):
        raise NameTaken(f"{model!r} comes with Tapetum; choose another name, or {model}@VERSION for a version of it")
    place = folder.resolve() / f"{name}.json"
    for card, of_file in own_cards(model).items():
        known = of_file or _version_in(card)
        if version is not None and version != known:
            continue
        if replacing and place.exists() and of_file is not None and version is None:
            continue  # another version than the one that is replaced
        if card.resolve() != place:
            raise NameTaken(f"there is a model {join_name(model, known)} already: {card}; choose another name")
    if place.exists() and not replacing:
        raise NameTaken(f"there is a model {name} already: {place}; choose another name, or say --replace")


@contextmanager
def staging(folder: Path) -> Generator[Path]:
    """Makes a private folder for a new model within a folder of cards, and removes what killed processes left there.

    Args:
        folder: Of cards; made if it is not there.

    Yields:
        The private folder, which is removed in the end.

    Raises:
        OSError: It cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        with locked(folder / _LOCK):
            _remove_left_behind(folder)
            place = Path(tempfile.mkdtemp(prefix=_STAGING, dir=folder))
            held.enter_context(locked(place / _LOCK))  # now, so that nobody takes this one for left behind
        held.callback(shutil.rmtree, place, ignore_errors=True)
        yield place


def stage_onnx(place: Path, file: Path, card: CatalogEntry, *, versioned: bool = False) -> Path:
    """Writes the card of an ONNX file to the private folder of a new model, and beside it the file with all weights.

    Args:
        place: From `staging`.
        file: The ONNX file; weights may be in other files beside it.
        card: The entry; kind, location and digest of its weights are filled in.
        versioned: Whether the files are called ``NAME@VERSION``.

    Returns:
        The path of the card.

    Raises:
        UnusableModel: Weights are missing, or too large for one ONNX file.
        BrokenCard: The entry cannot be read back from a card.
        OSError: A file cannot be read or written.
    """
    name = join_name(card.name, card.version) if versioned else card.name
    path, network = place / f"{name}.json", place / f"{name}.onnx"
    with network.open("xb") as target:
        target.write(self_contained(file))
        target.flush()
        os.fsync(target.fileno())
    weights = replace(card.weights, kind="card", location=network.name, sha256=file_digest(network))
    write_document(path, replace(card, weights=weights))
    return path


def publish(card: Path, folder: Path, *, replacing: bool = False) -> Path:
    """Moves a model from its private folder to the folder of cards.

    Args:
        card: Its card in the folder of `staging`, with its weights and perhaps its picture beside it.
        folder: Of cards.
        replacing: Whether a card of this name is replaced.

    Returns:
        The path of the card.

    Raises:
        NameTaken: Another process has added a model of this name.
        OSError: A file cannot be moved.
    """
    place = folder / card.name
    with locked(folder / _LOCK):
        check_name(card.name.removesuffix(".json"), folder, replacing=replacing)
        before = files_of(place) if place.exists() else []
        moved = [path.replace(folder / path.name) for path in reversed(files_of(card))]
        _unlink([path for path in before if path not in moved])
        _sync(folder)
    return place


def cards_named(name: str) -> list[Path]:
    """Finds the user's cards of a model, or the one of NAME@VERSION, without a look at what they say.

    Args:
        name: Of the model, or NAME@VERSION.

    Raises:
        UnknownModel: There are none.
        NameTaken: The model comes with Tapetum, or is downloaded from its publisher.
    """
    model, version = split_name(name)
    found = [card for card, of_file in own_cards(model).items() if version in (None, of_file or _version_in(card))]
    if published(model) and (version is None or not found):
        raise NameTaken(f"{name} comes with Tapetum; only models of your own can be removed or renamed")
    if not found:
        raise UnknownModel(name, tuple(known for folder in own_folders() for known in card_names(folder)))
    return found


def remove(cards: Sequence[Path]) -> None:
    """Removes cards, each with its weights and its picture; the card first."""
    for card in cards:
        with locked(card.parent / _LOCK):
            _unlink(files_of(card))


def rename(old: str, new: str) -> list[Path]:
    """Renames a model of the user's own in all of its versions, or a single version of it.

    Args:
        old: NAME, or NAME@VERSION for a single version.
        new: NAME; for a single version also NAME@VERSION.

    Returns:
        The paths of the new cards.

    Raises:
        UnknownModel: There is no such model.
        NameTaken: The new name cannot be had, or the model is none of the user's own.
        BrokenCard: A card is invalid.
        OSError: A file cannot be written.
    """
    cards = cards_named(old)
    model, version = split_name(new)
    if version is not None and len(cards) > 1:
        raise NameTaken(f"{old} has {len(cards)} versions, and {new} is one; name one of them as NAME@VERSION")
    targets: list[str] = []
    for card in cards:
        of_file = split_name(card.name.removesuffix(".json"))[1] if split_name(old)[1] is None else None
        targets.append(new if version is not None or of_file is None else join_name(model, of_file))
        check_name(targets[-1], card.parent)
    return [_rename(card, target) for card, target in zip(cards, targets, strict=True)]


def files_of(card: Path) -> list[Path]:
    """The files of a model that exist: the card first, then its picture and its weights."""
    try:
        weights = card.with_name(read_card(card).weights.location)
    except BrokenCard:
        weights = weights_path(card)
    found = (card, card.with_name(card.name.removesuffix(".json") + PICTURE), weights)
    return [path for path in found if path.is_file()]


def _rename(card: Path, new: str) -> Path:
    """Writes the card with its new name, and then removes the old one; the weights are linked, not copied."""
    name, version = split_name(new)
    place = card.with_name(f"{new}.json")
    with locked(card.parent / _LOCK):
        check_name(new, card.parent)
        entry = read_card(card)
        old_files = files_of(card)
        for path in old_files[1:]:
            _link(path, path.with_name(new + path.suffix))
        weights = replace(entry.weights, location=new + Path(entry.weights.location).suffix)
        write_document(place, replace(entry, name=name, version=version or entry.version, weights=weights))
        _unlink(old_files)
        _sync(card.parent)
    return place


def _version_in(card: Path) -> str:
    try:
        return read_card(card).version
    except BrokenCard:
        return "1"


def _remove_left_behind(folder: Path) -> None:
    for place in folder.glob(f"{_STAGING}*"):
        with suppress(OSError), locked(place / _LOCK, wait=False):
            shutil.rmtree(place, ignore_errors=True)


def _link(path: Path, place: Path) -> None:
    place.unlink(missing_ok=True)  # of a model that was removed half
    try:
        place.hardlink_to(path)
    except OSError:  # a file system without links
        shutil.copyfile(path, place)


def _unlink(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Makes the names of files last through a power failure."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
