"""The model catalog: finds the entry of a model by name; torch-free.

A name is one of

- a bundled model, the first of `names()`;
- a model of the user's own: the name of a card (`models.catalog.cards`) in one of `own_folders()`;
- ``yolox/<size>``, the official YOLOX models;
- ``torchvision/<builder>``, a classifier, detector or segmenter of torchvision with its recommended weights, or
  ``torchvision/<builder>@<weights>`` for others (``torchvision/resnet50@IMAGENET1K_V1``);
- ``timm/<architecture>``, a classifier of timm with its recommended weights, or ``timm/<architecture>.<tag>`` for
  others (``timm/resnet18.a1_in1k``); `names()` leaves out these 1,440.

A model may have several versions, by cards of the user's own that are called ``NAME@VERSION.json``: ``NAME`` is the
newest version, and ``NAME@VERSION`` a given one. Bundled models may have such versions, too.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

from models.catalog.cards import card_names, card_paths, read_card
from models.catalog.version_names import join_name, split_name, version_key
from models.classification.bundled import EFFICIENTNET_LITE0, NOOP
from models.detection.yolox_entries import find_yolox, yolox_names
from models.entries import Accuracy, CatalogEntry, LetterboxPreprocessing, Preprocessing, WeightsSource
from models.errors import BrokenCard, UnknownModel
from models.sources.timm_manifest import PREFIX as TIMM
from models.sources.timm_manifest import find_timm, timm_names
from models.sources.torchvision_manifest import PREFIX, find_torchvision, torchvision_builders

__all__ = [
    "Accuracy",
    "CatalogEntry",
    "LetterboxPreprocessing",
    "Preprocessing",
    "WeightsSource",
    "default_folder",
    "find",
    "folder_for_new_cards",
    "names",
    "own_folders",
    "versions",
]

CATALOG_VARIABLE: Final = "TAPETUM_CATALOG"
_WEIGHTS: Final = Path(__file__).parents[1] / "weights"
_BUILT_IN: Final = {entry.name: entry for entry in (EFFICIENTNET_LITE0, NOOP)}


def find(name: str) -> CatalogEntry:
    """Finds the catalog entry of a model.

    Args:
        name: See the top of this module.

    Returns:
        Its entry; of several versions that of the newest.

    Raises:
        UnknownModel: There is no such model, or no such version; the error carries the names that there are.
        BrokenCard: Its card is invalid, there are two cards of one name or version, or it has the name of a bundled
            model; or a folder of ``TAPETUM_CATALOG`` does not exist.
    """
    model, version = split_name(name)
    known = _versions(model)
    if not known:
        raise UnknownModel(name, timm_names() if name.startswith(TIMM) else names())
    chosen = next(iter(known)) if version is None else version
    if chosen not in known:
        raise UnknownModel(name, tuple(join_name(model, each) for each in known))
    found = known[chosen]
    return read_card(found) if isinstance(found, Path) else found


def own_folders() -> tuple[Path, ...]:
    """Lists the folders with the user's cards, which are read at every call: new cards are served without a restart.

    They are those that the environment variable ``TAPETUM_CATALOG`` names, separated as those of ``PATH`` are; where it
    is unset or empty, `default_folder()` if it exists.

    Raises:
        BrokenCard: A folder of ``TAPETUM_CATALOG`` does not exist.
    """
    named = _named_folders()
    if not named:
        with suppress(OSError):  # such as of a home folder that this user may not enter
            return (default_folder(),) if default_folder().is_dir() else ()
    for folder in named:
        if not folder.is_dir():
            raise BrokenCard(str(folder), f"is named by {CATALOG_VARIABLE}, but there is no such folder")
    return tuple(dict.fromkeys(folder.resolve() for folder in named))


def folder_for_new_cards() -> Path:
    """The folder that new cards are written to, which need not exist: the first one of ``TAPETUM_CATALOG``, or
    `default_folder()`."""
    return next(iter(_named_folders()), default_folder())


def default_folder() -> Path:
    """The user's folder of cards where ``TAPETUM_CATALOG`` names none.

    It is `tapetum/models` in ``XDG_DATA_HOME``, or in `~/.local/share`, see
    https://specifications.freedesktop.org/basedir-spec.
    """
    share = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")  # noqa: PTH111 - a user may have no home
    return Path(share) / "tapetum" / "models"


def own_cards(model: str) -> dict[Path, str | None]:
    """Finds the user's cards of a model, without reading them.

    Args:
        model: Its name, without a version.

    Returns:
        Their paths, each with the version in the name of the file; that of ``NAME.json`` is None.
    """
    return {path: version for folder in own_folders() for version, path in card_paths(folder, model).items()}


def published(model: str) -> bool:
    """Whether a model is bundled, or downloaded from its publisher."""
    return _published(model) is not None


def versions(model: str) -> tuple[str, ...]:
    """Lists the versions of a model, the newest first; a model that the catalog does not have has none.

    Args:
        model: Its name, without a version.

    Raises:
        BrokenCard: The card ``NAME.json`` is invalid, a version has two cards, or a folder of ``TAPETUM_CATALOG`` does
            not exist.
    """
    return tuple(_versions(model))


def bundled() -> tuple[str, ...]:
    """Lists the models that come with Tapetum."""
    return tuple(_bundled())


def names() -> tuple[str, ...]:
    """Lists every model once: the bundled ones, the user's own, YOLOX by size, and torchvision's, task by task.

    Those of timm are listed by `models.sources.timm_manifest.timm_names`.

    Raises:
        BrokenCard: A folder of ``TAPETUM_CATALOG`` does not exist.
    """
    own = (name for folder in own_folders() for name in card_names(folder))
    torchvision = (f"{PREFIX}{builder}" for builder in torchvision_builders())
    return tuple(dict.fromkeys((*_bundled(), *own, *yolox_names(), *torchvision)))


def _versions(model: str) -> dict[str, CatalogEntry | Path]:
    """The entries of a model by version, the newest first; a card with the version in its file name is not read."""
    found = {entry.version: entry} if (entry := _published_alone(model)) else _card_without_version(model)
    known: dict[str, CatalogEntry | Path] = {**found}
    for version, path in _cards_of_versions(model):
        if version in known:
            other = known[version]
            place = other if isinstance(other, Path) else other.card or "a model that comes with Tapetum"
            raise BrokenCard(
                str(path), f"there is another version {version!r} of {model!r}, {place}; rename one of them"
            )
        known[version] = path
    return dict(sorted(known.items(), key=lambda each: version_key(each[0]), reverse=True))


def _published(model: str) -> CatalogEntry | None:
    return _bundled().get(model) or find_yolox(model) or find_torchvision(model) or find_timm(model)


def _published_alone(model: str) -> CatalogEntry | None:
    """The entry of a model that is bundled, or downloaded from its publisher."""
    if model in _bundled() and (own := _cards_without_version(model)):
        raise BrokenCard(
            str(own[0]),
            f"{model!r} is the name of a model that comes with Tapetum; choose another, or call the file "
            f"{model}@VERSION.json for a further version of it",
        )
    return _published(model)


def _card_without_version(model: str) -> dict[str, CatalogEntry]:
    """The entry of ``NAME.json`` by its version, or nothing."""
    paths = _cards_without_version(model)
    if len(paths) > 1:
        raise BrokenCard(str(paths[1]), f"there is another model called {model!r}, {paths[0]}; rename one of them")
    return {card.version: card for card in map(read_card, paths)}


def _cards_without_version(model: str) -> list[Path]:
    return [cards[None] for folder in own_folders() if None in (cards := card_paths(folder, model))]


def _cards_of_versions(model: str) -> Iterator[tuple[str, Path]]:
    """The cards ``NAME@VERSION.json`` of a model in the user's folders."""
    for folder in own_folders():
        for version, path in card_paths(folder, model).items():
            if version is not None:
                yield version, path


def _named_folders() -> list[Path]:
    return [Path(folder) for folder in os.environ.get(CATALOG_VARIABLE, "").split(os.pathsep) if folder]


@cache
def _bundled() -> dict[str, CatalogEntry]:
    cards = (read_card(_WEIGHTS / f"{name}.json") for name in card_names(_WEIGHTS))
    return {**_BUILT_IN, **{card.name: card for card in cards}}
