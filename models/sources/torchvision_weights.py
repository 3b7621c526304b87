"""torchvision's own descriptions of its published weights, as catalog entries."""

# pyright: reportMissingTypeStubs=false

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any, Final

import torchvision.models
from torchvision.models import WeightsEnum

from models.entries import Accuracy, CatalogEntry, WeightsSource
from models.errors import UnknownModel
from models.sources.torchvision_manifest import PREFIX, find_torchvision

COCO_LICENCE: Final = (
    "BSD-3-Clause for the file; trained on COCO train2017, whose photos are under their own Creative Commons licences"
)
"""Of the weights that torchvision trained on COCO."""

_NOT_MEASURED: Final = "as published by torchvision; not measured here"


def weights_in(module: ModuleType) -> Iterator[tuple[str, WeightsEnum]]:
    """Every set of weights of `torchvision.models` or its module `detection` or `segmentation`, with its builder."""
    for builder in torchvision.models.list_models(module=module):
        for weights in _members_of(builder):
            yield builder, weights


def published_entry(builder: str, weights: WeightsEnum, licence: str, **members: Any) -> CatalogEntry:
    """Makes a catalog entry of what every set of weights tells of itself.

    Args:
        builder: Name of the function that builds the network.
        weights: A member of its weights enum.
        licence: Of the file, where the enum names none.
        members: The other members of the entry.

    Returns:
        The entry; ``torchvision/<builder>`` where torchvision recommends these weights, else
        ``torchvision/<builder>@<weights>``.
    """
    recommended = weights is type(weights)["DEFAULT"]
    return CatalogEntry(
        name=f"{PREFIX}{builder}" if recommended else f"{PREFIX}{builder}@{weights.name}",
        version=weights.name,
        architecture=builder,
        weights=WeightsSource(
            kind="torch_hub",
            location=weights.url,
            sha256=None,
            licence=weights.meta.get("license", licence),
            source=weights.meta["recipe"],
        ),
        class_count=len(weights.meta["categories"]),
        licence="BSD-3-Clause",
        description=f"torchvision's {builder} with {weights.meta['num_params'] / 1e6:.1f} million parameters.",
        **members,
    )


def published_accuracy(dataset: str, metric: str, per_cent: float) -> Accuracy:
    """A figure that torchvision publishes in per cent, as a share."""
    return Accuracy(dataset, metric, round(per_cent / 100, 5), _NOT_MEASURED)


def on_byte_scale(channels: Sequence[float]) -> tuple[float, float, float]:
    """Brings a mean or a standard deviation of R, G and B from the scale 0 to 1 to the scale 0 to 255."""
    red, green, blue = (round(255 * channel, 6) for channel in channels)
    return red, green, blue


def find_weights(name: str) -> WeightsEnum:
    """Gives torchvision's own description of a set of weights.

    Args:
        name: ``torchvision/<builder>`` or ``torchvision/<builder>@<weights>``.

    Returns:
        The enum member.

    Raises:
        UnknownModel: The manifest, or the installed torchvision, has no such builder or weights.
    """
    entry = find_torchvision(name)
    if entry is None:
        raise UnknownModel(name)
    try:
        return _members_of(entry.architecture)[entry.version]
    except (ValueError, KeyError) as error:
        raise UnknownModel(name) from error


def installed(name: str, entry_of: Callable[[str, WeightsEnum], CatalogEntry]) -> tuple[WeightsEnum, CatalogEntry]:
    """Makes a catalog entry from the installed torchvision, which the weights and the network come from as well.

    Args:
        name: The name that the entry goes by, as for `find_weights`.
        entry_of: Makes an entry of a builder and its weights.

    Returns:
        torchvision's own description of the weights, and the entry.

    Raises:
        UnknownModel: The manifest, or the installed torchvision, has no such builder or weights.
    """
    weights = find_weights(name)
    builder = name.removeprefix(PREFIX).partition("@")[0]
    return weights, replace(entry_of(builder, weights), name=name)


def _members_of(builder: str) -> type[WeightsEnum]:
    enum: type[WeightsEnum] = torchvision.models.get_model_weights(builder)  # pyright: ignore[reportUnknownMemberType]
    return enum
