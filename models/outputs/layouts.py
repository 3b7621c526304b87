"""Layouts of the outputs of networks that come from elsewhere: what each tensor holds, and how it is decoded.

A network of this package, of torchvision or of YOLOX has its own adapter. A network from an ONNX file, or of a module
of the user's own, says by the name of a layout (`models.entries.CatalogEntry.outputs`) what it returns.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from torch import Tensor

from models.entries import Kind

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


_ALL: tuple[OutputLayout, ...] = ()

LAYOUTS: Final[Mapping[str, OutputLayout]] = {layout.name: layout for layout in _ALL}
"""Every layout by its name."""
