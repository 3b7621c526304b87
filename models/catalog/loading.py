"""Loads models by name: finds the catalog entry, fetches weights, builds the network and its adapter."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from torch import nn

from models.adapter import Adapter
from models.catalog.filled_networks import card_of, filled
from models.catalog.lookup import find
from models.catalog.onnx_models import is_onnx, load_onnx, resolve_for, without_openvino
from models.catalog.quantized import quantized_runtime
from models.catalog.torchvision_models import load_torchvision
from models.catalog.user_modules import is_user_module, load_user_module
from models.classification.architectures import build_classifier, known_classifiers
from models.classification.classifier import Classifier
from models.classification.efficientnet_lite import EfficientNetLite, from_published
from models.classification.imagenet_classes import imagenet_class_names
from models.classification.noop import NoopClassifier
from models.classification.signal_classifier import SignalClassifier
from models.classification.signal_network import build_signal_classifier
from models.classification.timm_networks import TimmUnavailable, build_published, is_timm, timm_class_names
from models.detection.architectures import build_detector, candidate_network, servable_detectors
from models.detection.detector import Detector
from models.entries import CatalogEntry, Kind, LetterboxPreprocessing, Task
from models.entries.signal_preprocessing import SIGNAL_CNN, SignalPreprocessing
from models.errors import BrokenCard, NotConvertible, PrecisionTooLow, WeightsCorrupt, WeightsUnavailable
from models.execution.executor import executor_for
from models.execution.external import ExternalRuntime
from models.lazy_records import LazyRecords
from models.multitask.architectures import build_multitask_network, known_multitask, multitask_model
from models.multitask.model import MultitaskModel
from models.pose.architectures import build_pose_estimator, pose_estimator, servable_pose_estimators
from models.pose.estimator import PoseEstimator
from models.runtime import Runtime
from models.segmentation.architectures import build_segmenter, segmentation_of, segmenter, servable_segmenters
from models.segmentation.instances import InstanceSegmenter
from models.segmentation.semantic import SemanticSegmenter
from models.sources.downloads import Progress
from models.sources.timm_manifest import PREFIX as TIMM
from models.sources.torchvision_manifest import PREFIX
from models.sources.weights_files import checked_digest, fetch, load_into, read_state_dict

_log = logging.getLogger(__name__)

_SIGNAL_LENGTH: Final = 40
"""Of a card that does not name it."""


def load(name: str, runtime: Runtime = Runtime()) -> Adapter[Any, Any]:  # noqa: B008 - frozen
    """Loads a model, downloading its weights first where they are not on this machine.

    Args:
        name: A name of `models.catalog.lookup`.
        runtime: Device and precision. A model that OpenVINO cannot run is run by torch where the backend is `auto`, and
            by onnxruntime where it is an ONNX file; one that a precision changes in a higher one, where that is `auto`.

    Returns:
        The model, not warmed up.

    Raises:
        UnknownModel: There is no such model.
        BrokenCard: Its card is invalid, or names an unknown architecture or one that does not match the rest of the
            card.
        WeightsUnavailable: Its weights are not on this machine and cannot be downloaded.
        WeightsCorrupt: Its weights file is damaged or has the wrong digest.
        UnsupportedRuntime: This machine does not support the runtime.
    """
    entry = find(name)
    resolved = resolve_for(entry, runtime) if is_onnx(entry) else runtime.resolve()
    while True:
        try:
            return _load(entry, name, resolved)
        except NotConvertible as error:
            if runtime.backend != "auto" or resolved.backend == "onnxruntime":
                raise
            resolved = _without_openvino(entry, runtime, resolved, error)
        except PrecisionTooLow as error:
            if runtime.precision != "auto":
                raise
            resolved = resolved.more_precise()
            _log.warning("%s runs in %s: %s", name, resolved.precision, error)


def load_part(name: str, runtime: Runtime, kind: Kind | None) -> Adapter[Any, Any]:
    """Loads a model that predicts one kind: a part of a multi-task network, or any other model as it is.

    Args:
        name: See `load`.
        runtime: See `load`.
        kind: The part; None for models without parts.

    Raises:
        ValueError: The model has no such part; or it has parts, and none is named.
        ModelsError: See `load`.
    """
    adapter = load(name, runtime)
    if isinstance(adapter, MultitaskModel):
        if kind is None:
            raise ValueError(f"{name} answers several tasks: name one of {', '.join(adapter.entry.parts)}")
        return adapter.part(kind)
    if kind is not None and kind != adapter.entry.kind:
        raise ValueError(f"{name} has no part {kind!r}; its predictions are of the kind {adapter.entry.kind!r}")
    return adapter


def _without_openvino(entry: CatalogEntry, runtime: Runtime, resolved: Runtime, error: NotConvertible) -> Runtime:
    if is_onnx(entry):
        return without_openvino(entry, runtime, error)
    _log.warning("%s runs by torch: %s", entry.name, error)
    return replace(resolved, backend="torch")


def _load(entry: CatalogEntry, name: str, runtime: Runtime) -> Adapter[Any, Any]:
    if is_onnx(entry):
        return load_onnx(entry, runtime)
    if entry.weights.kind == "none":
        return NoopClassifier(entry, runtime)
    if entry.quantization is not None and not (isinstance(runtime, ExternalRuntime) and runtime.takes_original):
        runtime = quantized_runtime(entry, runtime)
    if entry.weights.kind == "package":
        return _load_bundled(entry, runtime)
    if is_user_module(entry.architecture):
        return load_user_module(entry, runtime)
    if name.startswith(TIMM):
        return _load_timm(entry, runtime)
    if name.startswith(PREFIX):
        return load_torchvision(entry.task, name, runtime)
    return LOADERS[entry.task](entry, runtime)


def pull(name: str, progress: Progress | None = None) -> None:
    """Fetches a model's weights and checks that they can be read, without building the network.

    Args:
        name: A name of `models.catalog.lookup`.
        progress: Called with the progress of a download: the bytes received, and the total or 0.

    Raises:
        UnknownModel: There is no such model.
        BrokenCard: Its card is invalid.
        WeightsUnavailable: The weights are not on this machine and cannot be downloaded.
        WeightsCorrupt: The file is damaged or has the wrong digest.
    """
    entry = find(name)
    if is_onnx(entry):
        checked_digest(entry, fetch(entry, progress))
    elif entry.weights.kind != "none":
        read_state_dict(entry, fetch(entry, progress))


def _load_bundled(entry: CatalogEntry, runtime: Runtime) -> Classifier:
    path = fetch(entry)
    state, digest = read_state_dict(entry, path)
    network = EfficientNetLite(entry.class_count)
    load_into(network, from_published(state), entry, path)
    return _classifier(entry, imagenet_class_names(), runtime, network.eval(), digest)


def _load_timm(entry: CatalogEntry, runtime: Runtime) -> Classifier:
    path = fetch(entry)
    state, digest = read_state_dict(entry, path)
    try:
        network = build_published(entry.architecture, state)
    except TimmUnavailable as error:
        raise WeightsUnavailable(entry.name, str(error)) from error
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsCorrupt(entry.name, f"{path} does not suit the installed timm ({reason})") from error
    return _classifier(entry, timm_class_names(entry.class_count), runtime, network.eval(), digest)


def _load_own_classifier(entry: CatalogEntry, runtime: Runtime) -> Classifier | SignalClassifier:
    if isinstance(entry.preprocessing, SignalPreprocessing):
        network, digest = filled(entry, build_signal_classifier, (SIGNAL_CNN,))
        if entry.arguments.get("length", _SIGNAL_LENGTH) != entry.preprocessing.length:
            raise BrokenCard(card_of(entry), "arguments.length must be preprocessing.length")
        return SignalClassifier(entry, _class_names(entry), runtime, network, digest)
    known = (entry.architecture,) if is_timm(entry.architecture) else known_classifiers()
    network, digest = filled(entry, build_classifier, known)
    return _classifier(entry, _class_names(entry), runtime, network, digest)


def _classifier(
    entry: CatalogEntry, class_names: tuple[str, ...], runtime: Runtime, network: nn.Module, digest: str
) -> Classifier:
    return Classifier(entry, class_names, runtime, executor_for(network, entry.image_preprocessing, runtime), digest)


def _load_detector(entry: CatalogEntry, runtime: Runtime) -> Detector:
    assert isinstance(entry.preprocessing, LetterboxPreprocessing)
    network, digest = filled(entry, build_detector, servable_detectors())
    try:
        ready = candidate_network(network, entry.preprocessing, runtime, entry.arguments)
    except ValueError as error:
        raise BrokenCard(card_of(entry), f"preprocessing does not suit {entry.architecture}: {error}") from error
    return Detector(entry, _class_names(entry), runtime, ready, digest)


def _load_segmenter(entry: CatalogEntry, runtime: Runtime) -> SemanticSegmenter | InstanceSegmenter:
    architecture = entry.architecture
    if architecture in servable_segmenters() and entry.segmentation != (kind := segmentation_of(architecture)):
        message = f"segmentation must be {kind!r} for {architecture}, not {entry.segmentation!r}"
        raise BrokenCard(card_of(entry), message)
    network, digest = filled(entry, build_segmenter, servable_segmenters())
    try:
        return segmenter(entry, runtime, network, digest)
    except ValueError as error:
        raise BrokenCard(card_of(entry), str(error)) from error


def _load_pose_estimator(entry: CatalogEntry, runtime: Runtime) -> PoseEstimator:
    network, digest = filled(entry, build_pose_estimator, servable_pose_estimators())
    try:
        return pose_estimator(entry, runtime, network, digest)
    except ValueError as error:
        raise BrokenCard(card_of(entry), str(error)) from error


def _load_multitask(entry: CatalogEntry, runtime: Runtime) -> MultitaskModel:
    network, digest = filled(entry, build_multitask_network, known_multitask())
    try:
        return multitask_model(entry, runtime, network, digest)
    except ValueError as error:
        raise BrokenCard(card_of(entry), str(error)) from error


LOADERS: Final[LazyRecords[Task, Callable[[CatalogEntry, Runtime], Adapter[Any, Any]]]] = LazyRecords(
    {
        "classification": _load_own_classifier,
        "detection": _load_detector,
        "keypoints": _load_pose_estimator,
        "multitask": _load_multitask,
        "segmentation": _load_segmenter,
    },
    {
        "stylization": "models.catalog.stylizers:load_stylizer",
        "generation": "models.catalog.generators:load_generator",
    },
)
"""By task, from a card or an entry of `models.detection.yolox_entries` to a model."""


def _class_names(entry: CatalogEntry) -> tuple[str, ...]:
    assert entry.class_names is not None
    return entry.class_names
