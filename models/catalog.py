"""What can be served, readable without torch.

A name is either a bundled model (`names()` lists them first) or ``torchvision/<builder>``, which takes torchvision's
recommended weights, or ``torchvision/<builder>@<weights>`` for others (``torchvision/resnet50@IMAGENET1K_V1``).
"""

from typing import Final

from models.classification.bundled import EFFICIENTNET_LITE0, NOOP
from models.classification.torchvision_manifest import builder_names, find_torchvision
from models.entries import Accuracy, CatalogEntry, Preprocessing, WeightsSource
from models.errors import UnknownModel

__all__ = ["Accuracy", "CatalogEntry", "Preprocessing", "WeightsSource", "find", "names"]

_BUNDLED: Final = {entry.name: entry for entry in (EFFICIENTNET_LITE0, NOOP)}


def find(name: str) -> CatalogEntry:
    """Looks a model up.

    Args:
        name: A bundled name, ``torchvision/<builder>`` or ``torchvision/<builder>@<weights>``.

    Returns:
        Its entry.

    Raises:
        UnknownModel: There is no such model; the error carries `names()`.
    """
    entry = _BUNDLED.get(name) or find_torchvision(name)
    if entry is None:
        raise UnknownModel(name, names())
    return entry


def names() -> tuple[str, ...]:
    """Lists every model: the bundled ones, then ``torchvision/<builder>`` in alphabetical order."""
    return (*_BUNDLED, *(f"torchvision/{builder}" for builder in builder_names()))
