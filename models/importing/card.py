"""Makes a model card of what a file says of its model and of what the user adds to that."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from models.catalog.version_names import split_name
from models.entries import CatalogEntry, Kind, LetterboxPreprocessing, Preprocessing, WeightsSource
from models.errors import OpenQuestion, UnusableModel
from models.importing.found import FoundModel, InputRange
from models.kinds import KINDS, PredictionKind, usual_kinds
from models.outputs.layouts import LAYOUTS

NORMALISATIONS: Final[Mapping[str, InputRange]] = {
    "0 to 1": ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "-1 to 1": ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "0 to 255": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
"""Usual normalisations: of YOLO; of torchvision, timm and others that were trained on ImageNet; of TensorFlow; none."""

_USUAL_SIDES: Final[Mapping[Kind, int]] = {
    "classification": 224,
    "detection": 640,
    "keypoints": 640,
    "instance": 640,
    "semantic": 512,
}
"""Sides of inputs in pixels for networks that take any."""
_USUAL_STRIDE: Final = 32
_CROP_RATIO: Final = 224 / 256
"""Side of a classifier's input to the resized short side, as nearly all models of torchvision and timm have it."""


@dataclass(frozen=True)
class CardOptions:
    """What the user says of a model; None, or nothing, where the file says it.

    Attributes:
        name: Of the new model, or NAME@VERSION; its version is 1 where none is given.
        task: A task or a kind of `models.kinds`.
        class_names: One for every class id; of a semantic segmenter the first is that of the background.
        normalisation: Mean and standard deviation of R, G and B, on the scale 0 to 255.
        layout: One of `models.outputs.layouts`.
        size: Side of the square inputs in pixels, for networks that take any.
        channels: Order of the colours.
        licence: Licence of the weights.
        description: One sentence.
    """

    name: str
    task: str | None = None
    class_names: tuple[str, ...] | None = None
    normalisation: InputRange | None = None
    layout: str | None = None
    size: int | None = None
    channels: Literal["rgb", "bgr"] | None = None
    licence: str = "unknown"
    description: str = ""


def card_of(path: Path, found: FoundModel, options: CardOptions) -> CatalogEntry:
    """Makes the catalog entry of a model from a file.

    Args:
        path: Of the file, for messages.
        found: What the file says.
        options: What the user says; it goes before what the file says.

    Returns:
        The entry; location and digest of its weights are empty.

    Raises:
        OpenQuestion: Neither says something that the card needs.
        UnusableModel: The two contradict each other, or the network takes inputs that cannot be made.
    """
    name, version = split_name(options.name)
    if found.architecture is None:
        message = "holds weights and no network: name its architecture by --architecture"
        raise OpenQuestion(str(path), message, "--architecture")
    kind = _kind(path, found, options)
    outputs = _outputs(path, found, options, kind)
    class_names = _class_names(path, found, options, kind)
    return CatalogEntry(
        name=name,
        version=version or "1",
        task=kind.task,
        architecture=found.architecture,
        weights=WeightsSource("card", "", None, options.licence, path.name),
        preprocessing=_preprocessing(path, found, options, kind),
        class_count=len(class_names),
        licence=options.licence,
        accuracy=(),
        description=options.description or _description(kind.name, len(class_names), path),
        defaults={**kind.defaults, **_final_defaults(outputs)},
        class_names=class_names,
        arguments={**found.arguments, **_channels(path, found, options)},
        segmentation="semantic" if kind.name == "semantic" else "instance" if kind.name == "instance" else None,
        outputs=outputs,
    )


def _kind(path: Path, found: FoundModel, options: CardOptions) -> PredictionKind:
    """The kind that the user names or whose layout he names, else the only one that fits."""
    if options.layout is not None:
        if options.layout not in LAYOUTS:
            raise UnusableModel(str(path), f"--layout must be one of {', '.join(LAYOUTS)}, not {options.layout!r}")
        kind = KINDS[LAYOUTS[options.layout].kind]
        if options.task not in (None, kind.name, kind.task):
            raise UnusableModel(str(path), f"--layout {options.layout} is for {kind.name}, not for {options.task}")
        return kind
    if options.task is not None and options.task not in _task_choices():
        raise UnusableModel(str(path), f"--task must be one of {', '.join(_task_choices())}, not {options.task!r}")
    fitting = [KINDS[name] for name in found.kinds or usual_kinds()]
    chosen = [kind for kind in fitting if options.task in (None, kind.name, kind.task)]
    if not chosen:
        likely = " or ".join(kind.name for kind in fitting)
        raise UnusableModel(
            str(path), f"looks like {likely}, not {options.task}; if it is, name its outputs by --layout"
        )
    if len(chosen) > 1:
        choices = tuple(kind.name for kind in chosen)
        message = f"does not say what it predicts: say --task {', '.join(choices[:-1])} or {choices[-1]}"
        raise OpenQuestion(str(path), message, "--task", choices)
    return chosen[0]


def _outputs(path: Path, found: FoundModel, options: CardOptions, kind: PredictionKind) -> str | None:
    if options.layout is not None:
        return options.layout
    fitting = [name for name in found.outputs if LAYOUTS[name].kind == kind.name]
    if fitting:
        return fitting[0]
    if found.format == "checkpoint" and not found.outputs:
        return None
    choices = tuple(name for name, layout in LAYOUTS.items() if layout.kind == kind.name)
    message = f"has outputs that fit no known layout of {kind.name}: name one by --layout: {', '.join(choices)}"
    raise OpenQuestion(str(path), message, "--layout", choices)


def _class_names(path: Path, found: FoundModel, options: CardOptions, kind: PredictionKind) -> tuple[str, ...]:
    count = found.class_count
    names = options.class_names or found.class_names
    if names is None:
        background = " (the first is the background)" if kind.has_background else ""
        message = (
            f"does not name its {count or ''} classes{background}: say --classes names.txt, data.yaml, a,b,c, "
            "imagenet or coco"
        )
        raise OpenQuestion(str(path), " ".join(message.split()), "--classes")
    if count is not None and len(names) != count:
        background = ", of which the first is the background" if kind.has_background else ""
        raise UnusableModel(str(path), f"has {count} classes{background}, and --classes names {len(names)}")
    return names


def _preprocessing(
    path: Path, found: FoundModel, options: CardOptions, kind: PredictionKind
) -> Preprocessing | LetterboxPreprocessing:
    own = found.preprocessing
    normalisation = options.normalisation or ((own.mean, own.std) if own else found.normalisation)
    if normalisation is None:
        message = "does not say how pixels are normalised: say --mean R,G,B --std R,G,B on the scale 0 to 255"
        raise OpenQuestion(str(path), message, "--mean", tuple(NORMALISATIONS))
    if own is not None and options.size is None and isinstance(own, kind.preprocessing):
        return _with_normalisation(own, normalisation)
    side = _side(path, found, options, kind)
    if kind.preprocessing is Preprocessing:
        return Preprocessing(round(side / _CROP_RATIO), side, "bilinear", *normalisation)
    stride = found.stride or _USUAL_STRIDE
    is_fixed = found.input_size is not None
    if side % stride and not is_fixed:
        raise UnusableModel(str(path), f"--size must be a multiple of its stride, {stride}, not {side}")
    return LetterboxPreprocessing(
        side,
        side,
        *normalisation,
        stride=side if is_fixed else stride,  # of the side, an image is padded to the full square
        keep_aspect=found.keep_aspect,
        antialias=kind.name == "semantic",  # detectors are trained and exported without, see `LetterboxPreprocessing`
    )


def _side(path: Path, found: FoundModel, options: CardOptions, kind: PredictionKind) -> int:
    if found.input_size is None:
        return options.size or max(found.usual_size or (0,)) or _USUAL_SIDES[kind.name]
    height, width = found.input_size
    if height != width:
        message = f"takes images of {height} x {width} pixels only: export it with a square or a dynamic input"
        raise UnusableModel(str(path), message)
    if options.size not in (None, height):
        raise UnusableModel(str(path), f"takes images of {height} x {width} pixels only, not of --size {options.size}")
    return height


def _with_normalisation(
    preprocessing: Preprocessing | LetterboxPreprocessing, normalisation: InputRange
) -> Preprocessing | LetterboxPreprocessing:
    return replace(preprocessing, mean=normalisation[0], std=normalisation[1])


def _channels(path: Path, found: FoundModel, options: CardOptions) -> dict[str, Any]:
    channels = options.channels or found.channels
    if channels == "rgb":
        return {}
    if found.format == "checkpoint":  # turned to RGB as it is read
        if not str(found.architecture).startswith("yolox-"):
            raise UnusableModel(str(path), "--channels bgr is for ONNX files and for checkpoints of YOLOX")
        return {}
    return {"channels": channels}


def _final_defaults(outputs: str | None) -> dict[str, float]:
    """Without non-maximum suppression where the network has dropped duplicates itself."""
    is_final = outputs is not None and LAYOUTS[outputs].is_final and LAYOUTS[outputs].kind == "detection"
    return {"iou_threshold": 1.0} if is_final else {}


def _task_choices() -> tuple[str, ...]:
    return tuple(dict.fromkeys((*usual_kinds(), *(KINDS[name].task for name in usual_kinds()))))


def _description(kind: Kind, class_count: int, path: Path) -> str:
    nouns = {"classification": "Classifier", "detection": "Detector", "semantic": "Semantic segmenter"}
    classes = "class" if class_count == 1 else "classes"
    return f"{nouns.get(kind, 'Instance segmenter')} of {class_count} {classes}, from {path.name}."
