"""Layouts of the outputs of networks that come from elsewhere: what each tensor holds, and how it is decoded.

A network of this package, of torchvision or of YOLOX has its own adapter. A network from an ONNX file, or of a module
of the user's own, says by the name of a layout (`models.entries.CatalogEntry.outputs`) what it returns.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from torch import Tensor

from models.entries import Kind
from models.outputs.class_scores import (
    decode_class_logits,
    decode_class_map,
    decode_class_probabilities,
    decode_logits,
    decode_probabilities,
)
from models.outputs.finished_boxes import (
    decode_efficient_nms,
    decode_labels_boxes_scores,
    decode_mmdeploy,
    decode_torchvision,
)
from models.outputs.query_boxes import decode_detr, decode_rt_detr, decode_rt_detr_rows
from models.outputs.region_masks import decode_end_to_end_prototypes, decode_prototypes, decode_torchvision_masks
from models.outputs.yolo_boxes import (
    decode_end_to_end,
    decode_yolov5,
    decode_yolov8,
    decode_yolox,
    decode_yolox_maps,
)

Decode = Callable[[Sequence[Tensor], tuple[int, int], int], Any]
"""From the raw outputs of a batch of N images, the (height, width) of the network's input in pixels and the number of
classes, to

- of a classifier: (N, class_count) float32 logits;
- of a detector: N `models.detection.candidates.Candidates`;
- of an instance segmenter: N `models.segmentation.mask_rcnn_regions.RegionMasks`;
- of a semantic segmenter: (N, class_count, h, w) float32 logits, which cover the whole input and may be coarser."""


@dataclass(frozen=True)
class OutputLayout:
    """One layout.

    Attributes:
        name: In a model card.
        kind: Of predictions that it can be decoded to.
        description: The tensors with their shapes, and whose networks return them; one line.
        decode: See `Decode`.
        one_by_one: Whether the outputs have no batch dimension, so that images go through the network one at a time.
        is_final: Of boxes: whether the network has dropped duplicates itself, so that non-maximum suppression is off
            unless a request sets a threshold.
    """

    name: str
    kind: Kind
    description: str
    decode: Decode
    one_by_one: bool = False
    is_final: bool = False


_ALL: Final = (
    OutputLayout("logits", "classification", "(N, C): one number a class, before the softmax", decode_logits),
    OutputLayout(
        "probabilities", "classification", "(N, C): class probabilities, which add up to 1", decode_probabilities
    ),
    OutputLayout(
        "class-logits",
        "semantic",
        "(N, C, H, W): one number a class for every cell; with two classes also (N, 1, H, W), that of the second",
        decode_class_logits,
    ),
    OutputLayout(
        "class-probabilities",
        "semantic",
        "(N, C, H, W): class probabilities for every cell; with two classes also (N, 1, H, W), that of the second",
        decode_class_probabilities,
    ),
    OutputLayout("class-map", "semantic", "(N, H, W) or (N, 1, H, W): a class id for every pixel", decode_class_map),
    OutputLayout(
        "yolov8",
        "detection",
        "(N, 4 + C, A): cx, cy, w, h in pixels, class probabilities; YOLOv8, v9, 11, 12",
        decode_yolov8,
    ),
    OutputLayout(
        "yolov5",
        "detection",
        "(N, A, 5 + C): cx, cy, w, h in pixels, objectness, class probabilities; YOLOv5, v6, v7",
        decode_yolov5,
    ),
    OutputLayout(
        "yolox",
        "detection",
        "(N, A, 5 + C): as yolov5, with boxes in cells of strides 8, 16 and 32 that are not decoded; YOLOX",
        decode_yolox,
    ),
    OutputLayout(
        "yolox-maps",
        "detection",
        "three (N, 5 + C, h, w), strides 8, 16 and 32: raw boxes in cells, "
        "logits of objectness and classes; Tapetum's own export of YOLOX",
        decode_yolox_maps,
    ),
    OutputLayout(
        "end-to-end",
        "detection",
        "(N, K, 6): x1, y1, x2, y2 in pixels, score, class id; YOLOv10, YOLO26, exports with NMS",
        decode_end_to_end,
        is_final=True,
    ),
    OutputLayout(
        "detr",
        "detection",
        "logits (N, Q, C + 1), the last no object, by softmax; boxes (N, Q, 4): "
        "cx, cy, w, h relative to the input; DETR",
        decode_detr,
        is_final=True,
    ),
    OutputLayout(
        "rt-detr",
        "detection",
        "logits (N, Q, C), by sigmoid; boxes (N, Q, 4): cx, cy, w, h relative to "
        "the input; RT-DETR, RF-DETR, Deformable DETR",
        decode_rt_detr,
        is_final=True,
    ),
    OutputLayout(
        "rt-detr-rows",
        "detection",
        "(N, Q, 4 + C): cx, cy, w, h relative to the input, class probabilities; RT-DETR by Ultralytics",
        decode_rt_detr_rows,
        is_final=True,
    ),
    OutputLayout(
        "labels-boxes-scores",
        "detection",
        "class ids (N, Q), boxes (N, Q, 4): x1, y1, x2, y2 in pixels, "
        "scores (N, Q); official exports of RT-DETR, D-FINE, DEIM",
        decode_labels_boxes_scores,
        is_final=True,
    ),
    OutputLayout(
        "torchvision",
        "detection",
        "boxes (K, 4): x1, y1, x2, y2 in pixels, labels (K) from 1, scores (K), of one image; torchvision",
        decode_torchvision,
        one_by_one=True,
        is_final=True,
    ),
    OutputLayout(
        "mmdeploy",
        "detection",
        "boxes with scores (N, K, 5): x1, y1, x2, y2 in pixels, score; class ids (N, K); MMDetection by MMDeploy",
        decode_mmdeploy,
        is_final=True,
    ),
    OutputLayout(
        "efficient-nms",
        "detection",
        "number of detections (N, 1), boxes (N, M, 4): x1, y1, x2, y2 in "
        "pixels, scores (N, M), class ids (N, M); exports with EfficientNMS",
        decode_efficient_nms,
        is_final=True,
    ),
    OutputLayout(
        "yolov8-segmentation",
        "instance",
        "(N, 4 + C + 32, A): as yolov8, then 32 coefficients; prototypes (N, 32, h, w); YOLOv8, 11 for segmentation",
        decode_prototypes,
    ),
    OutputLayout(
        "end-to-end-segmentation",
        "instance",
        "(N, K, 6 + 32): as end-to-end, then 32 coefficients; "
        "prototypes (N, 32, h, w); YOLO26 for segmentation, exports with NMS",
        decode_end_to_end_prototypes,
        is_final=True,
    ),
    OutputLayout(
        "torchvision-masks",
        "instance",
        "as torchvision, and masks (K, 1, H, W): probabilities in the whole input; Mask R-CNN of torchvision",
        decode_torchvision_masks,
        one_by_one=True,
        is_final=True,
    ),
)

LAYOUTS: Final[Mapping[str, OutputLayout]] = {layout.name: layout for layout in _ALL}
"""Every layout by its name."""

BACKGROUNDS: Final = frozenset({"background", "__background__"})
"""Names of a class 0 that is the background."""


def decoder_for(layout: OutputLayout, class_names: Sequence[str]) -> Decode:
    """The decoder of a model.

    torchvision's detectors count labels from 1, and 0 is the background: a label is the class id where the class names
    count the background, too, else the class id is the label minus 1.

    Args:
        layout: Of the model's outputs.
        class_names: One for every class id.
    """
    if class_names and class_names[0].lower() in BACKGROUNDS:
        return _WITH_BACKGROUND.get(layout.name, layout.decode)
    return layout.decode


_WITH_BACKGROUND: Final[Mapping[str, Decode]] = {
    "torchvision": partial(decode_torchvision, first_label=0),
    "torchvision-masks": partial(decode_torchvision_masks, first_label=0),
}
