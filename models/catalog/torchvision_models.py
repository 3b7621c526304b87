"""Loads models of torchvision, with the weights that it publishes."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from models.adapter import Adapter
from models.classification import torchvision_entries as torchvision_classifiers
from models.classification.classifier import Classifier
from models.classification.torchvision_networks import build, current_keys, drop_auxiliary_heads
from models.detection import torchvision_entries as torchvision_detectors
from models.detection.detector import Detector
from models.detection.torchvision_detector_networks import build_torchvision_detector, without_version
from models.detection.torchvision_detectors import TorchvisionCandidates
from models.entries import LetterboxPreprocessing, Task
from models.execution.executor import executor_for
from models.pose import torchvision_entries as torchvision_pose_estimators
from models.pose.architectures import pose_estimator
from models.pose.estimator import PoseEstimator
from models.runtime import Runtime
from models.segmentation import torchvision_entries as torchvision_segmenters
from models.segmentation.architectures import segmenter
from models.segmentation.instances import InstanceSegmenter
from models.segmentation.semantic import SemanticSegmenter
from models.segmentation.torchvision_segmenter_networks import ClassScores, build_torchvision_segmenter
from models.sources.torchvision_weights import installed
from models.sources.weights_files import fetch, load_into, read_state_dict


def load_torchvision(task: Task, name: str, runtime: Runtime) -> Adapter[Any, Any]:
    """Loads a model of torchvision.

    Args:
        task: Of the model.
        name: `torchvision/NAME`.
        runtime: Device and precision, resolved.

    Raises:
        ModelsError: See `models.catalog.loading.load`.
    """
    return _LOADERS[task](name, runtime)


def _load_classifier(name: str, runtime: Runtime) -> Classifier:
    weights, entry = installed(name, torchvision_classifiers.entry_of)
    path = fetch(entry)
    state, digest = read_state_dict(entry, path)
    network = build(weights, entry.architecture)
    load_into(network, current_keys(state, entry.architecture), entry, path)
    drop_auxiliary_heads(network, entry.architecture)
    executor = executor_for(network.eval(), entry.image_preprocessing, runtime)
    return Classifier(entry, tuple(weights.meta["categories"]), runtime, executor, digest)


def _load_detector(name: str, runtime: Runtime) -> Detector:
    weights, entry = installed(name, torchvision_detectors.entry_of)
    assert isinstance(entry.preprocessing, LetterboxPreprocessing) and entry.class_names is not None
    path = fetch(entry)
    state, digest = read_state_dict(entry, path)
    network = build_torchvision_detector(weights, entry.architecture)
    load_into(network, without_version(state), entry, path)
    ready = TorchvisionCandidates(network.eval(), entry.preprocessing, runtime)
    return Detector(entry, entry.class_names, runtime, ready, digest)


def _load_segmenter(name: str, runtime: Runtime) -> SemanticSegmenter | InstanceSegmenter:
    weights, entry = installed(name, torchvision_segmenters.entry_of)
    path = fetch(entry)
    state, digest = read_state_dict(entry, path)
    if entry.kind == "instance":
        network = build_torchvision_detector(weights, entry.architecture)
        load_into(network, without_version(state), entry, path)
    else:
        network = build_torchvision_segmenter(weights, entry.architecture)
        load_into(network, state, entry, path)
        network = ClassScores(network)
    return segmenter(entry, runtime, network.eval(), digest, first_label=0)


def _load_pose_estimator(name: str, runtime: Runtime) -> PoseEstimator:
    weights, entry = installed(name, torchvision_pose_estimators.entry_of)
    path = fetch(entry)
    state, digest = read_state_dict(entry, path)
    network = build_torchvision_detector(weights, entry.architecture)
    load_into(network, without_version(state), entry, path)
    return pose_estimator(entry, runtime, network.eval(), digest, first_label=0)


_LOADERS: Final[Mapping[Task, Callable[[str, Runtime], Adapter[Any, Any]]]] = {
    "classification": _load_classifier,
    "detection": _load_detector,
    "keypoints": _load_pose_estimator,
    "segmentation": _load_segmenter,
}
