"""The layers of a two-stage model that run on each region: box head, mask branch, keypoint branch."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from torch import nn

from models.adapter import Adapter
from models.detection.detector import Detector
from models.detection.torchvision_detectors import TorchvisionCandidates
from models.explaining.layers import Layer, layers_of
from models.pose.estimator import PoseEstimator
from models.pose.keypoint_regions import KeypointRcnnRegions
from models.segmentation.instances import InstanceSegmenter
from models.segmentation.mask_rcnn_regions import MaskRcnnRegions


def region_layers(adapter: Adapter[Any, Any]) -> list[Layer]:
    """Lists the layers that run on regions; a model of one stage has none.

    Args:
        adapter: A model that torch runs.
    """
    heads = [layers_of(network, shape) for network, shape in _heads(adapter)]
    found = [layer for layers in heads for layer in layers]
    return [replace(layer, receptive_field=None, has_maps=False, per_region=True) for layer in found]


def _heads(adapter: Adapter[Any, Any]) -> Iterator[tuple[nn.Module, tuple[int, int, int]]]:
    network = adapter.network if isinstance(adapter, Detector | InstanceSegmenter | PoseEstimator) else None
    boxes = network.boxes if isinstance(network, MaskRcnnRegions | KeypointRcnnRegions) else network
    if isinstance(boxes, TorchvisionCandidates) and boxes.region_head is not None:
        yield boxes.region_head
    if isinstance(network, MaskRcnnRegions):
        yield network.mask_head
    if isinstance(network, KeypointRcnnRegions):
        yield network.keypoint_head
