"""torchvision's own descriptions of its published weights."""

# pyright: reportMissingTypeStubs=false

from collections.abc import Callable

import torchvision.models
from torchvision.models import WeightsEnum

from models.entries import CatalogEntry
from models.errors import UnknownModel
from models.sources.torchvision_manifest import Facts, PublishedFacts, TorchvisionManifest


def members_of(builder: str) -> type[WeightsEnum]:
    """Gives the weights enum of a builder.

    Args:
        builder: Name of a function in `torchvision.models` or its modules `detection` and `segmentation`.

    Returns:
        The enum.

    Raises:
        ValueError: There is no such builder.
    """
    enum: type[WeightsEnum] = torchvision.models.get_model_weights(builder)  # pyright: ignore[reportUnknownMemberType]
    return enum


def published_facts(builder: str, weights: WeightsEnum, licence: str) -> PublishedFacts:
    """Reads what every set of weights tells of itself.

    Args:
        builder: Name of the function that builds the network.
        weights: A member of its weights enum.
        licence: Of the file, where the enum names none.

    Returns:
        The facts, JSON-able.
    """
    return PublishedFacts(
        builder=builder,
        weights=weights.name,
        recommended=weights is type(weights)["DEFAULT"],
        url=weights.url,
        class_count=len(weights.meta["categories"]),
        parameters=weights.meta["num_params"],
        licence=weights.meta.get("license", licence),
        recipe=weights.meta["recipe"],
    )


def find_weights(name: str, manifest: TorchvisionManifest[Facts]) -> WeightsEnum:
    """Gives torchvision's own description of a set of weights.

    Args:
        name: ``torchvision/<builder>`` or ``torchvision/<builder>@<weights>``.
        manifest: Of the task.

    Returns:
        The enum member.

    Raises:
        UnknownModel: The manifest, or the installed torchvision, has no such builder or weights.
    """
    facts = manifest.find(name)
    if facts is None:
        raise UnknownModel(name)
    try:
        return members_of(facts["builder"])[facts["weights"]]
    except (ValueError, KeyError) as error:
        raise UnknownModel(name) from error


def installed(
    name: str,
    manifest: TorchvisionManifest[Facts],
    facts_of: Callable[[str, WeightsEnum], Facts],
    entry_from: Callable[[str, Facts], CatalogEntry],
) -> tuple[WeightsEnum, CatalogEntry]:
    """Makes a catalog entry from the installed torchvision, which the weights and the network come from as well.

    Args:
        name: The name that the entry goes by, as for `find_weights`.
        manifest: Of the task.
        facts_of: Reads what torchvision says of a builder's weights.
        entry_from: Makes an entry of a name and those facts.

    Returns:
        torchvision's own description of the weights, and the entry.

    Raises:
        UnknownModel: The manifest, or the installed torchvision, has no such builder or weights.
    """
    weights = find_weights(name, manifest)
    builder = name.removeprefix("torchvision/").partition("@")[0]
    return weights, entry_from(name, facts_of(builder, weights))
