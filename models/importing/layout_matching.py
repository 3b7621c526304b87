"""Recognises the layout of a network's outputs by their number, names, ranks, shapes and types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from models.importing.onnx_reading import OutputTensor, Shape
from models.outputs.region_masks import PROTOTYPES

_MOST_QUERIES: Final = 1000
"""Of transformers and of networks that drop duplicates themselves; 100 and 300 are usual, and grids have far more."""
_LOGIT_OPERATORS: Final = frozenset({"Gemm", "MatMul", "Add", "Conv", "LogSoftmax", "GlobalAveragePool", "ReduceMean"})
_GRIDS: Final = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32))
"""Strides of the published one-stage networks."""


@dataclass(frozen=True)
class LayoutMatch:
    """A layout that fits.

    Attributes:
        layout: Name in `models.outputs.layouts.LAYOUTS`.
        class_count: That follows from the shapes; None where it does not.
    """

    layout: str
    class_count: int | None = None


@dataclass(frozen=True)
class Expectation:
    """What else is known of a network.

    Attributes:
        size: (height, width) of its input in pixels; None where unknown.
        is_final: Whether its exporter says that it drops duplicates itself.
    """

    size: tuple[int, int] | None = None
    is_final: bool = False


def matching_layouts(outputs: Sequence[OutputTensor], known: Expectation) -> tuple[LayoutMatch, ...]:
    """Lists the layouts that fit.

    Args:
        outputs: Of the network.
        known: What else is known.

    Returns:
        The likeliest first; none where no layout fits.
    """
    shaped = [output for output in outputs if output.shape is not None]
    several = (_finished(shaped), _objects_of_one_image(shaped), _queries(shaped), _grid_maps(shaped))
    for found in map(tuple, (*several, _prototypes(shaped, known))):
        if found:
            return found
    tables = [output for output in shaped if len(output.sizes) == 3]
    if tables and not tables[0].is_integer and tables[0].operator != "ArgMax":
        return tuple(_rows(tables[0].sizes, known))
    return tuple(_maps_of_classes(shaped))


def _by_rank(outputs: Sequence[OutputTensor], rank: int) -> list[OutputTensor]:
    return [output for output in outputs if len(output.sizes) == rank]


def _fits(shape: Shape | None, *expected: int | None) -> bool:
    """Whether a shape may be the expected one; None in either is any size."""
    if shape is None or len(shape) != len(expected):
        return False
    return all(one is None or other is None or one == other for one, other in zip(shape, expected, strict=True))


def _ends_with(shape: Shape | None, size: int) -> bool:
    return bool(shape) and shape[-1] == size


def _finished(outputs: Sequence[OutputTensor]) -> Iterator[LayoutMatch]:
    """Boxes (N, M, 4) beside scores and class ids (N, M), or boxes with scores (N, M, 5) beside class ids."""
    if len(outputs) == 2 and [len(output.sizes) for output in outputs] == [3, 2] and outputs[1].is_integer:
        if _ends_with(outputs[0].shape, 5):
            yield LayoutMatch("mmdeploy")
        return
    boxes = [output for output in _by_rank(outputs, 3) if _ends_with(output.shape, 4)]
    flat = [output for output in _by_rank(outputs, 2) if not _ends_with(output.shape, 1)]
    counts = [output for output in outputs if len(output.sizes) in (1, 2) and output not in flat]
    if len(boxes) != 1 or len(boxes) + len(flat) + len(counts) != len(outputs):
        return
    if len(flat) == 2 and len(counts) == 1:
        yield LayoutMatch("efficient-nms")
    elif len(flat) == 2 and not counts:
        yield LayoutMatch("labels-boxes-scores")


def _objects_of_one_image(outputs: Sequence[OutputTensor]) -> Iterator[LayoutMatch]:
    """Boxes (K, 4) beside labels and scores (K), and masks (K, 1, H, W)."""
    boxes = [output for output in _by_rank(outputs, 2) if _ends_with(output.shape, 4)]
    masks = [output for output in _by_rank(outputs, 4) if _fits(output.shape, None, 1, None, None)]
    if len(boxes) == 1 and len(_by_rank(outputs, 1)) == 2:
        if len(outputs) == 4 and len(masks) == 1:
            yield LayoutMatch("torchvision-masks")
        elif len(outputs) == 3:
            yield LayoutMatch("torchvision")


def _queries(outputs: Sequence[OutputTensor]) -> Iterator[LayoutMatch]:
    """Logits (N, Q, C) or (N, Q, C + 1) beside boxes (N, Q, 4)."""
    tables = _by_rank(outputs, 3)
    boxes = [output for output in tables if _ends_with(output.shape, 4) and "logit" not in output.name]
    others = [output for output in tables if output not in boxes[:1]]
    named = [output for output in others if "logit" in output.name or output.name in ("labels", "scores")]
    if not boxes or not (named or len(others) == 1):
        return
    logits = (named or others)[0].sizes
    queries = logits[1] or boxes[0].sizes[1]
    if queries is not None and queries > _MOST_QUERIES:
        return
    columns = logits[2]
    sigmoid = LayoutMatch("rt-detr", columns)
    softmax = LayoutMatch("detr", columns - 1 if columns else None)
    likely_softmax = queries == 100 or columns == 92  # DETR has 100 queries, and 91 classes of COCO
    found = (softmax, sigmoid) if likely_softmax else (sigmoid, softmax)
    yield from (match for match in found if match.class_count != 0)


def _prototypes(outputs: Sequence[OutputTensor], known: Expectation) -> Iterator[LayoutMatch]:
    """Rows with coefficients beside prototypes (N, 32, h, w)."""
    tables, maps = _by_rank(outputs, 3), _by_rank(outputs, 4)
    if not tables or not any(_fits(output.shape, None, PROTOTYPES, None, None) for output in maps):
        return
    _, rows, columns = tables[0].sizes
    if columns == 6 + PROTOTYPES and (rows is None or rows <= _MOST_QUERIES):
        yield LayoutMatch("end-to-end-segmentation")
    elif rows is not None and rows > 4 + PROTOTYPES and (columns is None or columns > rows or known.size is None):
        yield LayoutMatch("yolov8-segmentation", rows - 4 - PROTOTYPES)


def _grid_maps(outputs: Sequence[OutputTensor]) -> Iterator[LayoutMatch]:
    """Three maps (N, 5 + C, h, w), each of half the size of the one before."""
    maps = _by_rank(outputs, 4)
    channels = {output.sizes[1] for output in maps}
    if (
        len(outputs) == len(maps) == 3
        and len(channels) == 1
        and (columns := channels.pop()) is not None
        and columns > 5
    ):
        heights = sorted(output.sizes[2] or 0 for output in maps)
        if 0 in heights or (heights[1] == 2 * heights[0] and heights[2] == 4 * heights[0]):
            yield LayoutMatch("yolox-maps", columns - 5)


def _rows(shape: Shape, known: Expectation) -> Iterator[LayoutMatch]:
    """One table: rows of a grid or of queries, or columns of a grid."""
    _, rows, columns = shape
    cells = _cell_counts(known.size)
    anchors = {3 * count for count in cells}
    few = rows is None or rows <= _MOST_QUERIES
    certain: list[LayoutMatch] = []
    possible: list[LayoutMatch] = []
    if columns == 6 and few and rows not in cells | anchors:
        (certain if rows is not None or known.is_final else possible).append(LayoutMatch("end-to-end"))
    if columns is not None and columns > 5:
        v5, yolox = LayoutMatch("yolov5", columns - 5), LayoutMatch("yolox", columns - 5)
        if rows in anchors:
            certain.append(v5)
        elif rows in cells:
            certain += [yolox, v5]
        elif rows is None or (rows > columns and not cells):
            possible += [v5, yolox]
        elif rows > columns:
            possible.append(v5)
    if rows is not None and rows > 4:
        v8 = LayoutMatch("yolov8", rows - 4)
        if columns in cells:
            certain.append(v8)
        elif columns is None or columns > rows:
            possible.append(v8)
    if columns is not None and columns > 4 and columns != 6 and few and (rows in (None, 300) or columns < rows):
        (certain if rows == 300 else possible).append(LayoutMatch("rt-detr-rows", columns - 4))
    yield from certain or possible


def _cell_counts(size: tuple[int, int] | None) -> set[int]:
    """Numbers of cells that the published grids have in an input of a (height, width); none where it is unknown."""
    if size is None:
        return set()
    height, width = size
    return {sum((height // stride) * (width // stride) for stride in grid) for grid in _GRIDS}


def _maps_of_classes(outputs: Sequence[OutputTensor]) -> Iterator[LayoutMatch]:
    """Class maps, or one number a class for the image or every cell."""
    for output in outputs:
        shape = output.sizes
        certain = output.is_integer or output.operator == "ArgMax"
        if certain and (len(shape) == 3 or (len(shape) == 4 and shape[1] in (1, None))):
            yield LayoutMatch("class-map")
            return
        if len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1)):
            yield from _class_scores(output, shape[1])
            return
        if len(shape) == 4:
            yield from _class_cells(output, shape[1])
            return


def _class_scores(output: OutputTensor, count: int | None) -> Iterator[LayoutMatch]:
    if count == 1:
        return
    logits, likely = LayoutMatch("logits", count), LayoutMatch("probabilities", count)
    if output.operator == "Softmax":
        yield likely
    elif output.operator in _LOGIT_OPERATORS:
        yield logits
    else:
        yield from (likely, logits) if output.operator == "Sigmoid" else (logits, likely)


def _class_cells(output: OutputTensor, channels: int | None) -> Iterator[LayoutMatch]:
    count = 2 if channels == 1 else channels
    certain = output.operator in ("Softmax", "Sigmoid")
    yield LayoutMatch("class-probabilities" if certain else "class-logits", count)
