"""What exporters write about a model: into the metadata of an ONNX file, or into JSON files beside it.

Metadata: Ultralytics (https://docs.ultralytics.com/modes/export; `names`, `task`, `stride`, `imgsz`, `args` and
`end2end`), YOLOv5 (`names`, `stride`), and other exporters that write class names under a usual key. Files:
`config.json` and `preprocessor_config.json` of Hugging Face, which optimum writes beside the model
(https://huggingface.co/docs/optimum-onnx), and `config.json` of timm.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from models.entries import Kind
from models.errors import UnusableModel
from models.importing.found import InputRange
from models.outputs.layouts import LAYOUTS

_NAME_KEYS: Final = ("names", "class_names", "classes", "labels", "id2label")
_KINDS: Final[Mapping[str, Kind]] = {
    "classify": "classification",
    "detect": "detection",
    "segment": "instance",
    "classification": "classification",
    "detection": "detection",
    "instance": "instance",
    "semantic": "semantic",
}
"""Tasks, as Ultralytics and as Tapetum call them."""
_HUGGING_FACE_KINDS: Final[Mapping[str, Kind]] = {
    "ForImageClassification": "classification",
    "ForObjectDetection": "detection",
    "ForSemanticSegmentation": "semantic",
}
"""By the end of the class of a network."""
_MOST_CHARACTERS: Final = 4_000_000
"""Of a text that is read as class names."""


@dataclass(frozen=True)
class WrittenFacts:
    """What an exporter wrote; None where it did not.

    Attributes:
        kind: Of predictions.
        class_names: One for every class id.
        stride: Sides of an input must be multiples of this.
        size: (height, width) of the input in pixels, which was trained or exported with.
        normalisation: See `models.importing.found.InputRange`.
        keep_aspect: Whether images are padded, and not stretched.
        is_final: Whether the network drops duplicates itself.
        layout: Of the outputs, one of `models.outputs.layouts.LAYOUTS`; Tapetum's own exports say it.
        channels: `rgb` or `bgr`; likewise.
        is_ultralytics: Whether Ultralytics exported it.
        evidence: Lines for people.
    """

    kind: Kind | None = None
    class_names: tuple[str, ...] | None = None
    stride: int | None = None
    size: tuple[int, int] | None = None
    normalisation: InputRange | None = None
    keep_aspect: bool | None = None
    is_final: bool = False
    layout: str | None = None
    channels: str | None = None
    is_ultralytics: bool = False
    evidence: tuple[str, ...] = field(default=())


def read_metadata(metadata: Mapping[str, str], path: Path, with_names: bool = True) -> WrittenFacts:
    """Reads the metadata of an ONNX file.

    Literals of Python are read without running any code.

    Args:
        metadata: Keys and values.
        path: Of the file, for messages.
        with_names: Whether to look for class names.

    Raises:
        UnusableModel: Class names do not count up from 0, or the task is not supported.
    """
    task = metadata.get("task")
    own = layout if (layout := metadata.get("layout")) in LAYOUTS else None
    ultralytics = "ultralytics" in (metadata.get("author", "") + metadata.get("description", "")).lower()
    if ultralytics and task not in (None, *_KINDS):
        raise UnusableModel(str(path), f"is for the task {task!r} of Ultralytics, which is not supported")
    key = next((key for key in _NAME_KEYS if with_names and metadata.get(key, "").strip()), None)
    names = _class_names(_literal(metadata[key]), f"metadata {key!r}", path) if key else None
    arguments = _literal(metadata.get("args", ""))
    with_nms = isinstance(arguments, dict) and cast("dict[str, Any]", arguments).get("nms") is True
    found = [f"metadata {key!r}: {len(names)} class names"] if names else []
    found += [f"metadata {name!r}: {metadata[name]}" for name in ("task", "stride", "imgsz") if metadata.get(name)]
    return WrittenFacts(
        kind=_KINDS.get(task or ""),
        class_names=names,
        stride=_positive(metadata.get("stride")),
        size=_size(_literal(metadata.get("imgsz", ""))),
        normalisation=_range(_literal(metadata.get("mean", "")), _literal(metadata.get("std", "")), 1.0)
        if own
        else None,
        is_final=with_nms or metadata.get("end2end") == "True",
        layout=own,
        channels=metadata.get("channel_order"),
        is_ultralytics=ultralytics,
        evidence=(*(["exported by Ultralytics"] if ultralytics else []), *found),
    )


def read_neighbours(path: Path, with_names: bool = True) -> WrittenFacts:
    """Reads the JSON files that Hugging Face's and timm's exporters write beside a model, or above its folder `onnx`.

    Args:
        path: Of the ONNX file.
        with_names: Whether to look for class names.

    Raises:
        UnusableModel: Class names do not count up from 0.
    """
    folders = [path.parent, *([path.parent.parent] if path.parent.name == "onnx" else [])]
    config, place = _first_json(folders, "config.json")
    preprocessor, other_place = _first_json(folders, "preprocessor_config.json")
    timm = _mapping(config.get("pretrained_cfg"))
    networks = config.get("architectures")
    network = str(cast("Sequence[object]", networks)[0]) if isinstance(networks, list) and networks else ""
    if not ("architectures" in config or timm or "image_mean" in preprocessor):
        return WrittenFacts()
    names = (
        _class_names(config.get("id2label") or config.get("label_names"), "config.json", path) if with_names else None
    )
    kind = next((kind for end, kind in _HUGGING_FACE_KINDS.items() if network.endswith(end)), None)
    normalisation = _preprocessor_range(preprocessor) or _range(timm.get("mean"), timm.get("std"), 255.0)
    sizes = _mapping(preprocessor.get("size"))
    size = _size([sizes["height"], sizes["width"]]) if {"height", "width"} <= sizes.keys() else None
    evidence = [f"{place}: {len(names)} class names"] if names else []
    evidence += [f"{other_place if preprocessor else place}: mean and std of pixels"] if normalisation else []
    return WrittenFacts(
        kind=kind or ("classification" if timm else None),
        class_names=names,
        size=size,
        normalisation=normalisation,
        keep_aspect=None if not sizes else size is None,
        evidence=tuple(evidence),
    )


def _first_json(folders: Sequence[Path], name: str) -> tuple[dict[str, Any], Path]:
    for folder in folders:
        try:
            document = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        return _mapping(document), folder / name
    return {}, Path(name)


def _mapping(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _preprocessor_range(preprocessor: Mapping[str, Any]) -> InputRange | None:
    """Mean and std on the scale 0 to 255, of pixels that are multiplied by a factor first."""
    if not preprocessor:
        return None
    factor = preprocessor.get("rescale_factor", 1 / 255)
    if not isinstance(factor, int | float) or factor <= 0:
        return None
    scale = 1.0 / factor if preprocessor.get("do_rescale", True) else 1.0
    if not preprocessor.get("do_normalize", True) or "image_mean" not in preprocessor:
        return _range([0, 0, 0], [1, 1, 1], scale)
    return _range(preprocessor["image_mean"], preprocessor.get("image_std"), scale)


def _range(mean: object, std: object, scale: float) -> InputRange | None:
    numbers = [_three(mean), _three(std)]
    if numbers[0] is None or numbers[1] is None or min(numbers[1]) <= 0:
        return None
    (r, g, b), (u, v, w) = numbers[0], numbers[1]
    return (r * scale, g * scale, b * scale), (u * scale, v * scale, w * scale)


def _three(value: object) -> tuple[float, float, float] | None:
    if not isinstance(value, list | tuple):
        return None
    items = cast("Sequence[Any]", value)
    if len(items) != 3 or not all(isinstance(item, int | float) for item in items):
        return None
    return float(items[0]), float(items[1]), float(items[2])


def _literal(text: str) -> Any:
    """A list, dictionary or number written as JSON or as Python does; else the text itself."""
    if len(text) > _MOST_CHARACTERS:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def _class_names(value: object, place: str, path: Path) -> tuple[str, ...] | None:
    """Class names of a list, of a dictionary by class id or by name, or of a text with a name a line or commas."""
    if isinstance(value, str):
        names = [name.strip() for name in (value.splitlines() if "\n" in value.strip() else value.split(","))]
        return tuple(name for name in names if name) or None
    if isinstance(value, list | tuple):
        return tuple(str(name) for name in cast("Sequence[object]", value)) or None
    if not isinstance(value, dict) or not value:
        return None
    given = cast("dict[object, object]", value)
    pairs = list(given.items())
    if all(isinstance(class_id, int) for class_id in given.values()):
        pairs = [(class_id, name) for name, class_id in pairs]
    by_id = {_integer(class_id): str(name) for class_id, name in pairs}
    missing = next((class_id for class_id in range(len(given)) if class_id not in by_id), None)
    if missing is not None:
        message = f"{place} has {len(given)} class names that do not count up from 0: {missing} is missing"
        raise UnusableModel(str(path), f"{message}; give the names by --classes")
    return tuple(by_id[class_id] for class_id in range(len(given)))


def _integer(value: object) -> int | None:
    try:
        return int(str(value))
    except ValueError:
        return None


def _positive(value: object) -> int | None:
    number = _integer(value)
    return number if number and number > 0 else None


def _size(value: object) -> tuple[int, int] | None:
    items = cast("Sequence[object]", value) if isinstance(value, list | tuple) else [value, value]
    sides = [_positive(side) for side in items]
    if len(sides) != 2 or sides[0] is None or sides[1] is None:
        return None
    return sides[0], sides[1]
