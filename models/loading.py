"""From a name to a model that answers."""

from models.adapter import Adapter
from models.catalog import find
from models.classification.classifier import Classifier
from models.classification.efficientnet_lite import EfficientNetLite, from_published
from models.classification.imagenet_classes import imagenet_class_names
from models.classification.noop import NoopClassifier
from models.classification.torchvision_networks import (
    build,
    current_keys,
    drop_auxiliary_heads,
    installed_entry,
    weights_enum,
)
from models.downloads import Progress
from models.entries import CatalogEntry
from models.runtime import Runtime
from models.weights_files import fetch, load_into, read_state_dict


def load(name: str, runtime: Runtime = Runtime()) -> Adapter:  # noqa: B008 - frozen
    """Loads a model, downloading its weights first where they are not on this machine.

    Args:
        name: A name of `models.catalog`.
        runtime: Where and how it is to run.

    Returns:
        The model, not warmed up.

    Raises:
        UnknownModel: There is no such model.
        WeightsUnavailable: Its weights are not here and cannot be downloaded.
        WeightsCorrupt: Its weights file is not what it should be.
        UnsupportedRuntime: This machine cannot do what the runtime asks.
    """
    entry = find(name)
    runtime = runtime.resolve()
    if name.startswith("torchvision/"):
        return _load_torchvision(name, runtime)
    if entry.weights.kind == "none":
        return NoopClassifier(entry, runtime)
    return _load_efficientnet_lite(entry, runtime)


def pull(name: str, progress: Progress | None = None) -> None:
    """Fetches a model's weights and checks that they can be read, without building the network.

    Args:
        name: A name of `models.catalog`.
        progress: Told of a download as it goes: the bytes that have come, and all bytes or 0.

    Raises:
        UnknownModel: There is no such model.
        WeightsUnavailable: The weights are not here and cannot be downloaded.
        WeightsCorrupt: The file is not what it should be.
    """
    entry = find(name)
    if entry.weights.kind != "none":
        read_state_dict(entry, fetch(entry, progress))


def _load_efficientnet_lite(entry: CatalogEntry, runtime: Runtime) -> Classifier:
    path = fetch(entry)
    state, digest = read_state_dict(entry, path)
    network = EfficientNetLite(entry.class_count)
    load_into(network, from_published(state), entry, path)
    return Classifier(entry, imagenet_class_names(), runtime, network.eval(), digest)


def _load_torchvision(name: str, runtime: Runtime) -> Classifier:
    weights = weights_enum(name)
    entry = installed_entry(name, weights)
    path = fetch(entry)
    state, digest = read_state_dict(entry, path)
    network = build(weights, entry.architecture)
    load_into(network, current_keys(state, entry.architecture), entry, path)
    drop_auxiliary_heads(network, entry.architecture)
    return Classifier(entry, tuple(weights.meta["categories"]), runtime, network.eval(), digest)
