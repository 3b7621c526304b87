"""The names of Pascal VOC's 20 classes (http://host.robots.ox.ac.uk/pascal/VOC/voc2012/) and the background."""

from typing import Final

VOC_CATEGORIES: Final[tuple[str, ...]] = (
    "__background__", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""In VOC's order, as torchvision's segmenters number them."""
