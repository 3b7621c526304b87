"""Looks into checkpoints: state dicts of torchvision, timm, this package, YOLOX, and of modules of the user's own."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from torch import Tensor

from models.catalog.architectures import kinds_of, listed_architectures
from models.catalog.lookup import find
from models.catalog.user_modules import USUAL_OUTPUTS, is_user_module
from models.classification.architectures import EFFICIENTNET_LITE0
from models.classification.efficientnet_lite import from_published
from models.classification.imagenet_classes import imagenet_class_names
from models.classification.torchvision_networks import current_keys
from models.detection.torchvision_detector_networks import FIRST_LABEL, has_exact_norms
from models.detection.yolox_family import SIZES, from_official
from models.entries import CatalogEntry, LetterboxPreprocessing, Preprocessing
from models.errors import UnknownModel, UnusableModel
from models.importing.fitting import Arguments, Fit, Misfit, fit
from models.importing.found import FoundModel
from models.importing.state_file import StateFile, read_state_file
from models.sources.timm_manifest import PREFIX as TIMM
from models.sources.timm_manifest import timm_names
from models.sources.torchvision_manifest import PREFIX

Channels = Literal["rgb", "bgr"]

_LIKE: Final[Mapping[str, str]] = {
    EFFICIENTNET_LITE0: "efficientnet-lite0",
    "yolox-efficientnet-lite0": "yolo-person",
    "faster-rcnn-efficientnet-lite0": "faster-rcnn-person",
    "yolov1": "yolo-person",
    "unet": "unet-person",
    "unet-efficientnet-lite0": "unet-person",
    "mask-rcnn-efficientnet-lite0": "mask-rcnn-person",
    **{f"yolox-{size}": f"yolox/{size}" for size in SIZES},
}
"""Models of the catalog whose preprocessing an architecture of this package has."""
_PUBLISHED_LITE0: Final = "_conv_stem.weight"
_SHOWN: Final = 5
_OPTION: Final = "name its architecture by --architecture"


@dataclass(frozen=True)
class _Match:
    """An architecture that takes a state dict, and how."""

    architecture: str
    arguments: Arguments
    fit: Fit
    evidence: tuple[str, ...]


def inspect_checkpoint(path: Path, architecture: str | None = None, channels: Channels | None = None) -> FoundModel:
    """Looks into a checkpoint.

    Args:
        path: Of a file of `torch.save` or of safetensors.
        architecture: Of the network, as in a card; None: the one of torchvision or of this package that it fits, if
            there is only one.
        channels: Order of the colours that a YOLOX was trained with; None: BGR for a file of `torch.save`, as Megvii's
            code does, else RGB.

    Returns:
        What it says. The architecture is None where none was named and none or several fit; the evidence then says
        which are close.

    Raises:
        UnusableModel: It cannot be read, holds code or no state dict, there is no such architecture, or it is another
            network's.
    """
    file = read_state_file(path)
    matches, near = _matches(path, file, architecture, channels)
    evidence = _file_evidence(file)
    if len(matches) == 1:
        return _found(matches[0], file, evidence)
    if matches:
        names = " and ".join(match.architecture for match in matches)
        return FoundModel("checkpoint", None, (), evidence=(*evidence, f"its tensors fit {names}: {_OPTION}"))
    known = f", such as {', '.join(near)}" if near else ""
    line = f"its tensors are those of no architecture that is known by itself: {_OPTION}{known}"
    return FoundModel("checkpoint", None, (), evidence=(*evidence, line))


def read_checkpoint(path: Path, found: FoundModel, channels: Channels | None = None) -> dict[str, Tensor]:
    """Reads the state dict for the card of a checkpoint.

    Args:
        path: Of the file.
        found: From `inspect_checkpoint`, with an architecture.
        channels: As for `inspect_checkpoint`.

    Returns:
        The tensors of the network by its own names: no prefixes, no auxiliary heads, colours in the order RGB.

    Raises:
        UnusableModel: The file has changed, or `found` names no architecture.
    """
    if found.architecture is None:
        raise UnusableModel(str(path), f"holds weights and no network: {_OPTION}")
    matches, _ = _matches(path, read_state_file(path), found.architecture, channels)
    return dict(matches[0].fit.state)


def _matches(
    path: Path, file: StateFile, architecture: str | None, channels: Channels | None
) -> tuple[list[_Match], tuple[str, ...]]:
    """The architectures that take a state dict; and names of others that are close, where none was asked for."""
    if architecture is not None:
        return [_match_named(path, file, architecture, channels)], ()
    families = (TIMM, PREFIX) if "args" in file.items else (PREFIX, TIMM)  # as timm's own training writes them
    for hint in (f"{family}{file.architecture}" for family in families if file.architecture):
        try:
            if kinds_of(hint):
                return [_match(file, hint, channels)], ()
        except ValueError:
            continue
    matches, overlaps = list[_Match](), dict[str, float]()
    for name in listed_architectures():
        try:
            matches.append(_match(file, name, channels))
        except Misfit as misfit:
            overlaps[name] = misfit.overlap
    near = sorted(overlaps, key=overlaps.__getitem__, reverse=True)
    return matches, tuple(name for name in near[:_SHOWN] if overlaps[name] > 0)


def _match_named(path: Path, file: StateFile, architecture: str, channels: Channels | None) -> _Match:
    if not kinds_of(architecture):
        known = (*listed_architectures(), *timm_names())
        same = [f"{family}{architecture}" for family in (PREFIX, TIMM) if _published(f"{family}{architecture}")]
        near = same or difflib.get_close_matches(architecture, known, _SHOWN)
        meant = f"; did you mean {' or '.join(near)}?" if near else "; torchvision/resnet50 and timm/resnet18 are two"
        raise UnusableModel(str(path), f"there is no architecture {architecture!r}{meant}")
    try:
        return _match(file, architecture, channels)
    except Misfit as misfit:
        raise UnusableModel(str(path), f"does not fit {architecture}: {misfit}") from misfit
    except (ValueError, TypeError) as error:
        raise UnusableModel(str(path), f"{architecture} cannot be built: {error}") from error


def _match(file: StateFile, architecture: str, channels: Channels | None) -> _Match:
    """Fits a state dict to an architecture.

    Raises:
        Misfit: It is another network's.
        ValueError, TypeError: The architecture cannot be built.
    """
    state, evidence = file.state, list[str]()
    if architecture == EFFICIENTNET_LITE0 and any(key.endswith(_PUBLISHED_LITE0) for key in state):
        state = _renamed(state)
        evidence.append("names and kernels are those of lukemelas' EfficientNet, and were converted")
    if architecture.startswith(f"{PREFIX}densenet"):
        state = current_keys(state, architecture.removeprefix(PREFIX))
    arguments = _arguments_in(architecture, state)
    found = fit(state, architecture, arguments)
    if architecture.removeprefix("yolox-") in SIZES and (channels or ("bgr" if file.is_pickled else "rgb")) == "bgr":
        found = replace(found, state=from_official(found.state))
        evidence.append("the first convolution was turned from BGR, in which Megvii's code trains a YOLOX, to RGB")
    return _Match(architecture, arguments, found, tuple(evidence))


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """EfficientNet-Lite0 under its published names, without what stands before them."""
    stem = next(key for key in state if key.endswith(_PUBLISHED_LITE0))
    prefix = stem.removesuffix(_PUBLISHED_LITE0)
    return from_published({key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)})


def _arguments_in(architecture: str, state: Mapping[str, Tensor]) -> Arguments:
    """Arguments of an architecture that only the shapes and names of its weights show."""
    builder = architecture.removeprefix(PREFIX)
    find_one = partial(_ending_in, state)
    if builder.startswith("vit_"):
        positions, patches = find_one("encoder.pos_embedding"), find_one("conv_proj.weight")
        if positions is not None and patches is not None and positions.ndim == 3 and patches.ndim == 4:
            side = patches.shape[-1] * round((positions.shape[1] - 1) ** 0.5)
            return {"image_size": int(side)} if side != _crop_of(architecture) else {}
    if has_exact_norms(builder) and not any("backbone" in key and "num_batches_tracked" in key for key in state):
        return {"norm_eps": 0.0}
    return {}


def _ending_in(state: Mapping[str, Tensor], name: str) -> Tensor | None:
    return next((value for key, value in state.items() if key == name or key.endswith(f".{name}")), None)


def _found(match: _Match, file: StateFile, evidence: tuple[str, ...]) -> FoundModel:
    architecture, count = match.architecture, match.fit.class_count
    kinds = kinds_of(architecture)
    preprocessing = _preprocessing_of(architecture, match.arguments)
    is_letterbox = isinstance(preprocessing, LetterboxPreprocessing)
    names = file.class_names if file.class_names and len(file.class_names) == count else _published_names(match)
    return FoundModel(
        format="checkpoint",
        architecture=architecture,
        kinds=kinds,
        outputs=tuple(USUAL_OUTPUTS.values()) if is_user_module(architecture) else (),
        class_count=count,
        class_names=names,
        input_size=(preprocessing.crop, preprocessing.crop) if isinstance(preprocessing, Preprocessing) else None,
        stride=preprocessing.stride if is_letterbox else None,
        normalisation=(preprocessing.mean, preprocessing.std) if preprocessing else None,
        keep_aspect=preprocessing.keep_aspect if is_letterbox else True,
        preprocessing=preprocessing,
        arguments=dict(match.arguments),
        evidence=(*evidence, *_fit_evidence(match), *match.evidence),
    )


def _file_evidence(file: StateFile) -> tuple[str, ...]:
    place = f"the item {file.place!r}" if file.place else "the whole file"
    lines = [f"weights: {len(file.state)} tensors, {place}"]
    others = [name for name in ("state_dict_ema", "model_ema", "ema") if name in file.items and name != file.place]
    if others:
        lines.append(f"there is also {others[0]!r}, an average of the weights, which is left out")
    return tuple(lines)


def _fit_evidence(match: _Match) -> tuple[str, ...]:
    found = match.fit
    lines = [f"architecture: {match.architecture}, by the names and shapes of all tensors"]
    if found.prefix:
        lines.append(f"the prefix {found.prefix!r} was removed from the names")
    if found.dropped:
        more = " …" if len(found.dropped) > _SHOWN else ""
        lines.append(f"left out, as the network has no such tensors: {', '.join(found.dropped[:_SHOWN])}{more}")
    if "norm_eps" in match.arguments:
        lines.append("batch norms are frozen and add no epsilon, as in torchvision's weights COCO_V1")
    background = "; label 0 is the background" if _counts_background(match) else ""
    lines.append(f"classes: {found.class_count}, by the size of the head{background}")
    return tuple(lines)


def _counts_background(match: _Match) -> bool:
    """Whether the labels of a network begin with a background that its class ids leave out."""
    return match.architecture.startswith(PREFIX) and kinds_of(match.architecture)[0] in ("detection", "instance")


def _published_names(match: _Match) -> tuple[str, ...] | None:
    """The class names of the architecture's published weights, where the head has as many classes."""
    published = _published(match.architecture)
    if published is None:
        return None
    if published.task == "classification":
        names = imagenet_class_names()
    else:
        names = published.class_names or ()
        names = names[FIRST_LABEL:] if _counts_background(match) else names
    return names if len(names) == match.fit.class_count and published.card is None else None


def _published(architecture: str) -> CatalogEntry | None:
    try:
        return find(_LIKE.get(architecture, architecture))
    except UnknownModel:
        return None


def _preprocessing_of(architecture: str, arguments: Arguments) -> Preprocessing | LetterboxPreprocessing | None:
    if is_user_module(architecture) or (published := _published(architecture)) is None:
        return None
    preprocessing = published.image_preprocessing
    side: Any = arguments.get("image_size")
    if side and isinstance(preprocessing, Preprocessing):
        return replace(preprocessing, resize=round(side * preprocessing.resize / preprocessing.crop), crop=side)
    return preprocessing


def _crop_of(architecture: str) -> int | None:
    published = _published(architecture)
    return published.preprocessing.largest_size[0] if published else None
