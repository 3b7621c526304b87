"""The model catalog: finds the entry of a model by name; torch-free.

A name is one of

- a bundled model, the first of `names()`;
- a model of the user's own: the name of a card (`models.catalog.cards`) in one of the folders of ``TAPETUM_CATALOG``,
  which are separated as those of ``PATH`` are;
- ``yolox/<size>``, the official YOLOX models;
- ``torchvision/<builder>``, a classifier, detector or segmenter of torchvision with its recommended weights, or
  ``torchvision/<builder>@<weights>`` for others (``torchvision/resnet50@IMAGENET1K_V1``).
"""

import os
from functools import cache
from pathlib import Path
from typing import Final

from models.catalog.cards import card_names, card_path, read_card
from models.classification.bundled import EFFICIENTNET_LITE0, NOOP
from models.detection.yolox_entries import find_yolox, yolox_names
from models.entries import Accuracy, CatalogEntry, LetterboxPreprocessing, Preprocessing, WeightsSource
from models.errors import BrokenCard, UnknownModel
from models.sources.torchvision_manifest import PREFIX, find_torchvision, torchvision_builders

__all__ = [
    "Accuracy",
    "CatalogEntry",
    "LetterboxPreprocessing",
    "Preprocessing",
    "WeightsSource",
    "find",
    "names",
]

CATALOG_VARIABLE: Final = "TAPETUM_CATALOG"
_WEIGHTS: Final = Path(__file__).parents[1] / "weights"
_BUILT_IN: Final = {entry.name: entry for entry in (EFFICIENTNET_LITE0, NOOP)}


def find(name: str) -> CatalogEntry:
    """Finds the catalog entry of a model.

    Args:
        name: See the top of this module.

    Returns:
        Its entry.

    Raises:
        UnknownModel: There is no such model; the error carries `names()`.
        BrokenCard: Its card is invalid, it has two cards, or the name of a bundled model; or a folder of
            ``TAPETUM_CATALOG`` does not exist.
    """
    own = _own_card(name)
    if own is not None:
        return read_card(own)
    entry = _bundled().get(name) or find_yolox(name) or find_torchvision(name)
    if entry is None:
        raise UnknownModel(name, names())
    return entry


def names() -> tuple[str, ...]:
    """Lists every model: the bundled ones, the user's own, YOLOX by size, and torchvision's, task by task.

    Raises:
        BrokenCard: A folder of ``TAPETUM_CATALOG`` does not exist.
    """
    own = (name for folder in _own_folders() for name in card_names(folder))
    torchvision = (f"{PREFIX}{builder}" for builder in torchvision_builders())
    return tuple(dict.fromkeys((*_bundled(), *own, *yolox_names(), *torchvision)))


def _own_card(name: str) -> Path | None:
    """The card with a name in the user's folders."""
    found = [path for folder in _own_folders() if (path := card_path(folder, name)) is not None]
    if found and name in _bundled():
        raise BrokenCard(str(found[0]), f"{name!r} is the name of a model that comes with Tapetum; choose another")
    if len(found) > 1:
        raise BrokenCard(str(found[1]), f"there is another model called {name!r}, {found[0]}; rename one of them")
    return found[0] if found else None


def _own_folders() -> list[Path]:
    """The user's folders, read at every call, so that new cards can be served without a restart."""
    folders = [Path(folder) for folder in os.environ.get(CATALOG_VARIABLE, "").split(os.pathsep) if folder]
    for folder in folders:
        if not folder.is_dir():
            raise BrokenCard(str(folder), f"is named by {CATALOG_VARIABLE}, but there is no such folder")
    return list(dict.fromkeys(folder.resolve() for folder in folders))


@cache
def _bundled() -> dict[str, CatalogEntry]:
    cards = (read_card(_WEIGHTS / f"{name}.json") for name in card_names(_WEIGHTS))
    return {**_BUILT_IN, **{card.name: card for card in cards}}
