"""torchvision's networks with random weights that see something, for tests of what is made of their answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torchvision.models
from torch import nn
from torchvision.models import WeightsEnum, detection

from models.sources.torchvision_weights import find_weights

LOGITS, SOFTMAX_LOGITS, DELTAS, DISTANCES, MASK_LOGITS = (-3.0, 1.5), (0.0, 2.0), (0.0, 0.4), (2.0, 0.5), (0.5, 2.0)
HEAT_MAP_LOGITS = (0.0, 3.0)
"""Mean and standard deviation that each channel of a last layer's output is given."""


def settle_norms(network, pixels):
    """Gives the backbone's batch norms the statistics of some images, or nothing would come out of it."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    network.backbone.train()
    with torch.inference_mode():
        network.backbone(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 128 - 1)
    network.eval()


def layers_to_spread(network: Any) -> Iterator[tuple[Any, tuple[float, float]]]:
    """Yields those layers, and the ones that feed them, with what they are to give."""
    for block in getattr(getattr(network.backbone, "fpn", None), "layer_blocks", ()):
        if block[0].bias is not None:
            yield block[0], (0.0, 1.0)
    kind: Any = type(network)
    if issubclass(kind, detection.MaskRCNN):
        yield network.roi_heads.mask_predictor.mask_fcn_logits, MASK_LOGITS
    if issubclass(kind, detection.KeypointRCNN):
        predictor = network.roi_heads.keypoint_predictor
        yield getattr(predictor, "kps_score_lowres", predictor), HEAT_MAP_LOGITS
    if issubclass(kind, detection.FasterRCNN):
        yield network.rpn.head.cls_logits, LOGITS
        yield network.rpn.head.bbox_pred, DELTAS
        yield network.roi_heads.box_predictor.cls_score, SOFTMAX_LOGITS
        yield network.roi_heads.box_predictor.bbox_pred, DELTAS
    elif kind is detection.ssd.SSD:
        for head, wanted in (("classification_head", SOFTMAX_LOGITS), ("regression_head", (0.0, 2.0))):
            for level in getattr(network.head, head).module_list:
                yield (level[-1] if isinstance(level, nn.Sequential) else level), wanted
    else:
        yield network.head.classification_head.cls_logits, LOGITS
        yield network.head.regression_head.bbox_reg, DISTANCES if kind is detection.FCOS else DELTAS


def spread(network, pixels):
    """Scales the last layers by what they give for an image."""
    for layer, wanted in layers_to_spread(network):
        layer.register_forward_hook(lambda layer, _, output, wanted=wanted: rescale(layer, output, *wanted))
    torchvisions_own(network, pixels, 0.05, 0.5)
    return network


def rescale(layer, output, mean, deviation):
    """Gives each channel of a layer's output the mean and the deviation, from now on and in this output."""
    layer._forward_hooks.clear()
    channels = output.transpose(0, 1).flatten(1)
    factor = deviation / channels.std(1, correction=0).clamp(min=1e-6)
    shift = mean - factor * channels.mean(1)
    axis = int(isinstance(layer, nn.ConvTranspose2d))  # whose weights have the channels of the output second
    layer.weight.data *= factor.view(*[1] * axis, -1, *[1] * (layer.weight.ndim - 1 - axis))
    layer.bias.data = layer.bias * factor + shift
    shape = (1, -1, *[1] * (output.ndim - 2))
    return output * factor.view(shape) + shift.view(shape)


def torchvisions_own(network, pixels, score_threshold, iou_threshold):
    """What torchvision itself answers, with the thresholds given and no limit of the number."""
    for part in (network, getattr(network, "roi_heads", network)):
        part.score_thresh, part.nms_thresh = score_threshold, iou_threshold
        part.detections_per_img, part.topk_candidates = 1000, 100_000
    images = [torch.from_numpy(image).permute(2, 0, 1) / 255 for image in pixels]
    with torch.inference_mode():
        return network(images)


def as_published(name, monkeypatch) -> Any:
    """The network that torchvision itself builds for its published weights, with random ones."""
    weights = find_weights(name)
    with monkeypatch.context() as patched:
        patched.setattr(WeightsEnum, "get_state_dict", lambda *_, **__: {})
        patched.setattr(nn.Module, "load_state_dict", lambda *_, **__: None)
        builder = name.removeprefix("torchvision/").partition("@")[0]
        return torchvision.models.get_model(builder, weights=weights).eval()
