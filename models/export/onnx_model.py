"""Exports a catalog model to one ONNX file, which says of itself what `tapetum models add` needs to know.

The graph goes from pixels to the raw outputs of the network, see `models.export.onnx_network`. Its metadata says what
a model card needs: the task, the class names, the preprocessing and the layout of the outputs.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

import json
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from models.detection.yolox import Yolox
from models.entries import CatalogEntry
from models.errors import ExportError
from models.export.agreement import TOLERANCE, Agreement, compare, photo_batches
from models.export.captured_network import CapturedNetwork, capture
from models.export.onnx_network import export_onnx, require_exporter

PREPROCESSING: Final = "preprocessing"
"""Key of the metadata that has the preprocessing of the model, as a card writes it."""

_SCORES: Final = {"classification": "logits", "semantic": "class-logits"}
"""Layout by kind, of networks with a single output."""


@dataclass(frozen=True)
class ExportedFile:
    """An ONNX file that was written.

    Attributes:
        path: Of the file.
        agreement: How far its outputs differ from those of the adapter's own network.
        outputs: Layout of its outputs, one of `models.outputs.layouts`; None where they are those of a first stage, or
            of anchors or a grid that only this package decodes.
    """

    path: Path
    agreement: Agreement
    outputs: str | None


def export_file(name: str, path: Path) -> ExportedFile:
    """Exports a model, and compares it with the adapter's own network on photos.

    The file appears as a whole or not at all.

    Args:
        name: A name of `models.catalog.lookup`.
        path: Of the file, which must not exist.

    Raises:
        ExportError: The extra `export` is not installed, the network cannot be exported, its outputs differ by more
            than `models.export.agreement.TOLERANCE`, or the file exists.
        ModelsError: The model cannot be loaded, see `models.catalog.loading.load`.
        OSError: The file cannot be written.
    """
    require_exporter()
    if path.exists():
        raise ExportError(name, f"{path} exists; delete it first, or choose another --output")
    captured = capture(name)
    layout = _layout_of(captured)
    batches = photo_batches(captured.adapter)
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        agreement = compare(captured.executor, export_onnx(captured, batches[0], part), batches)
        if not agreement.is_close:
            message = f"the exported network differs by {agreement.relative:.2g} of its largest output"
            raise ExportError(name, f"{message}, more than {TOLERANCE:g}; nothing was written")
        _describe(part, captured.adapter.entry, captured.adapter.class_names, layout)
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    return ExportedFile(path, agreement, layout)


def _layout_of(captured: CapturedNetwork) -> str | None:
    entry = captured.adapter.entry
    if isinstance(captured.network, Yolox):
        return "yolox-maps"
    return _SCORES.get(entry.kind)


def _describe(path: Path, entry: CatalogEntry, class_names: tuple[str, ...], layout: str | None) -> None:
    """Writes what the model is into the metadata of its file, under the keys of `models.importing.onnx_metadata`."""
    onnx: Any = import_module("onnx")
    model = onnx.load(str(path))
    preprocessing = replace(
        entry.image_preprocessing, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
    )  # the graph normalises
    written = {
        "task": entry.kind,
        "names": json.dumps(class_names),
        "mean": json.dumps(preprocessing.mean),
        "std": json.dumps(preprocessing.std),
        PREPROCESSING: json.dumps(asdict(preprocessing)),
        "name": entry.name,
        "version": entry.version,
        "license": entry.weights.licence,
        **({} if layout is None else {"layout": layout}),
    }
    onnx.helper.set_model_props(model, written)
    onnx.save(model, str(path))
