"""Looks into an ONNX file: what it takes, what it returns, and what its exporter wrote about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from models.errors import UnusableModel
from models.importing.found import FoundModel, InputRange
from models.importing.layout_matching import Expectation, LayoutMatch, matching_layouts
from models.importing.onnx_metadata import WrittenFacts, read_metadata, read_neighbours
from models.importing.onnx_normalisation import UNCHANGED, UNIT, own_normalisation
from models.importing.onnx_reading import SIZES_INPUT, OnnxGraph, graph_of, read_onnx
from models.importing.onnx_weights import require_external_files
from models.importing.own_exports import own_preprocessing
from models.outputs.layouts import LAYOUTS

IMAGENET: Final[InputRange] = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
"""Mean and standard deviation of ImageNet's pixels: (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225) of 255."""
_IMAGENET_LAYOUTS: Final = frozenset(
    {"logits", "probabilities", "class-logits", "class-probabilities", "class-map", "detr", "mmdeploy"}
)
_STRETCHED: Final = frozenset({"rt-detr", "rt-detr-rows", "labels-boxes-scores"})
"""Layouts of networks that are trained on images stretched to a square."""
_GRID_STRIDE: Final = 32
_GRID_LAYOUTS: Final = frozenset(
    {"yolov5", "yolov8", "yolox", "yolox-maps", "end-to-end", "yolov8-segmentation", "end-to-end-segmentation"}
)
"""Layouts of networks whose input sides are multiples of `_GRID_STRIDE`, where their exporter does not say another."""


def inspect_onnx(path: Path, layout: str | None = None, class_names: Sequence[str] | None = None) -> FoundModel:
    """Looks into an ONNX file.

    Args:
        path: The file. Its weights are not read where they are in other files, but these must be there.
        layout: The name of a layout, where the user says it; only this one is looked for.
        class_names: One for every class id, where the user says them; those in the file are not looked at.

    Returns:
        What the file says of itself. Where several layouts fit, class count and the rest are those of the likeliest
        one: ask again with the one that the user chooses.

    Raises:
        UnusableModel: It is no ONNX file, or no model of images with outputs of a known layout; or the class names in
            it do not count up from 0, or are not as many as its outputs have classes.
    """
    if layout is not None and layout not in LAYOUTS:
        raise UnusableModel(str(path), f"there is no layout {layout!r}; the layouts are {', '.join(LAYOUTS)}")
    model = read_onnx(path)
    external = require_external_files(model, path)
    graph = graph_of(model, path)
    written = read_metadata(graph.metadata, path, class_names is None)
    beside = read_neighbours(path, class_names is None)
    names = tuple(class_names) if class_names is not None else written.class_names or beside.class_names
    matches = _chosen(graph, _joined(written, beside), names, layout, path)
    likeliest = matches[0]
    normalisation, reason = _normalisation(graph, written, beside, likeliest.layout)
    bgr = written.channels == "bgr" or (
        likeliest.layout == "yolox" and normalisation == UNCHANGED and not written.layout
    )
    return FoundModel(
        format="onnx",
        architecture="onnx",
        kinds=tuple(dict.fromkeys(LAYOUTS[match.layout].kind for match in matches)),
        outputs=tuple(match.layout for match in matches),
        class_count=likeliest.class_count or (len(names) if names else None),
        class_names=names,
        input_size=graph.image.size,
        stride=_stride(graph, written, likeliest.layout),
        normalisation=normalisation,
        channels="bgr" if bgr else "rgb",
        keep_aspect=_keeps_aspect(written, beside, likeliest.layout),
        preprocessing=own_preprocessing(graph.metadata, LAYOUTS[likeliest.layout].kind),
        usual_size=None if graph.image.size else written.size or beside.size,
        evidence=(*_lines(graph, external), *written.evidence, *beside.evidence, reason, _layout_line(matches)),
    )


def _joined(written: WrittenFacts, beside: WrittenFacts) -> WrittenFacts:
    return (
        written
        if written.kind or not beside.kind
        else WrittenFacts(
            kind=beside.kind, size=written.size or beside.size, is_final=written.is_final, layout=written.layout
        )
    )


def _chosen(
    graph: OnnxGraph, written: WrittenFacts, names: Sequence[str] | None, layout: str | None, path: Path
) -> tuple[LayoutMatch, ...]:
    """The layouts that fit the outputs, what is written of the model, and the user's choice."""
    known = Expectation(graph.image.size or written.size, written.is_final)
    found = matching_layouts(graph.outputs, known)
    wanted = layout or written.layout
    if wanted is not None:
        found = tuple(match for match in found if match.layout == wanted) or _assumed(graph, wanted, path)
    elif written.kind:
        found = tuple(match for match in found if LAYOUTS[match.layout].kind == written.kind)
    if not found:
        raise UnusableModel(str(path), f"has outputs of no known layout: {_outputs(graph)}; {_existing(written)}")
    if names is None:
        return found
    agreeing = tuple(match for match in found if match.class_count in (None, len(names)))
    if not agreeing:
        counted = f"{found[0].class_count} classes by its outputs, {_outputs(graph)}"
        raise UnusableModel(str(path), f"has {len(names)} class names, and {counted}; give the names by --classes")
    return agreeing


def _assumed(graph: OnnxGraph, wanted: str, path: Path) -> tuple[LayoutMatch, ...]:
    """A layout that the shapes do not confirm, where some of them are unknown."""
    known = [output for output in graph.outputs if output.shape is not None and None not in output.shape[1:]]
    if len(known) < len(graph.outputs):
        return (LayoutMatch(wanted),)
    reason = f"its outputs are {_outputs(graph)}, and {wanted} is {LAYOUTS[wanted].description}"
    raise UnusableModel(str(path), f"does not fit the layout {wanted}: {reason}")


def _outputs(graph: OnnxGraph) -> str:
    return ", ".join(str(output) for output in graph.outputs)


def _existing(written: WrittenFacts) -> str:
    fitting = [layout.name for layout in LAYOUTS.values() if written.kind in (None, layout.kind)]
    of_kind = f"for {written.kind} " if written.kind else ""
    return f"the layouts {of_kind}are {', '.join(fitting)} (docs/extending.md has their shapes)"


def _normalisation(
    graph: OnnxGraph, written: WrittenFacts, beside: WrittenFacts, layout: str
) -> tuple[InputRange, str]:
    """The normalisation that the input needs, and how it is known."""
    if written.normalisation:
        return written.normalisation, "normalisation: as its metadata says"
    if graph.image.dtype == "uint8":
        return UNCHANGED, "normalisation: none, it takes bytes"
    if own := own_normalisation(graph.model, graph.image.name):
        scale = "0 to 255" if own.input_range == UNCHANGED else "0 to 1"
        return (
            own.input_range,
            f"normalisation: {', '.join(own.operators)} in the graph, of pixels from {scale}",
        )
    if beside.normalisation:
        return beside.normalisation, "normalisation: as the file beside it says"
    if layout in ("yolox", "yolox-maps"):
        return UNCHANGED, "normalisation: assumed none, pixels from 0 to 255, as YOLOX takes them"
    is_rf_detr = {output.name for output in graph.outputs} >= {"dets", "labels"}
    if is_rf_detr or (layout in _IMAGENET_LAYOUTS and not written.is_ultralytics):
        return IMAGENET, "normalisation: assumed ImageNet's mean and standard deviation; --mean and --std change it"
    return UNIT, "normalisation: assumed pixels from 0 to 1; --mean and --std change it"


def _stride(graph: OnnxGraph, written: WrittenFacts, layout: str) -> int | None:
    if graph.image.size:
        return written.stride
    return written.stride or (_GRID_STRIDE if layout in _GRID_LAYOUTS else None)


def _keeps_aspect(written: WrittenFacts, beside: WrittenFacts, layout: str) -> bool:
    said = beside.keep_aspect if written.keep_aspect is None else written.keep_aspect
    return layout not in _STRETCHED if said is None else said


def _lines(graph: OnnxGraph, external: Sequence[str]) -> list[str]:
    image = graph.image
    axes = "(N, 3, H, W)" if image.axes == "NCHW" else "(N, H, W, 3)"
    size = f"{image.size[0]} x {image.size[1]} pixels" if image.size else "any size"
    batch = f"batches of {image.batch_size}" if image.batch_size else "batches of any size"
    lines = [f"input {image.name}: {axes} {image.dtype}, {size}, {batch}", f"outputs: {_outputs(graph)}"]
    if graph.takes_sizes:
        lines.append(f"input {SIZES_INPUT}: the size that boxes are scaled to")
    if external:
        lines.append(f"weights in {', '.join(external)}")
    return lines


def _layout_line(matches: Sequence[LayoutMatch]) -> str:
    names = [match.layout for match in matches]
    if len(names) == 1:
        return f"layout {names[0]}: {LAYOUTS[names[0]].description}"
    return f"several layouts fit, the likeliest first: {', '.join(names)}; --layout chooses one"
