"""Reads a state dict from a file, without running code from it: of `torch.save`, or safetensors."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import argparse
import pathlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final, cast

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from models.errors import UnusableModel

_PLACES: Final = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema",
    "weights",
    "params",
)
"""Items of a checkpoint that hold the state dict, the likeliest first."""
_CLASS_LISTS: Final = ("class_names", "classes", "names", "CLASSES")
_HARMLESS: Final[list[Any]] = [
    argparse.Namespace,
    pathlib.PosixPath,
    pathlib.PurePosixPath,
    np.dtype,
    np.ndarray,
    type(np.dtype("float64")),
    type(np.dtype("float32")),
    type(np.dtype("int64")),
    cast(Any, np)._core.multiarray.scalar,
    cast(Any, np)._core.multiarray._reconstruct,
    (cast(Any, np)._core.multiarray.scalar, "numpy.core.multiarray.scalar"),  # as numpy 1 wrote them
    (cast(Any, np)._core.multiarray._reconstruct, "numpy.core.multiarray._reconstruct"),
]
"""Classes beyond torch's own list that checkpoints hold beside the weights, in settings and figures; data only."""
_FOREIGN: Final = re.compile(r"GLOBAL ([\w.]+)")
_SAVE: Final = 'save the state dict in the program that made it: torch.save(model.state_dict(), "model.pth")'


@dataclass(frozen=True)
class StateFile:
    """What a file holds.

    Attributes:
        state: The tensors by name, as in the file.
        place: Item of the file that held them; empty where they were the whole.
        is_pickled: Whether `torch.save` wrote it.
        architecture: What a training program calls the network; None where it does not say.
        class_names: One for every class id, where a list of them is in the file.
        items: Names of the file's items, beside the weights.
    """

    state: Mapping[str, Tensor]
    place: str = ""
    is_pickled: bool = False
    architecture: str | None = None
    class_names: tuple[str, ...] | None = None
    items: frozenset[str] = field(default=frozenset())


def read_state_file(path: Path) -> StateFile:
    """Reads a state dict.

    Args:
        path: Of a file of `torch.save` or of safetensors.

    Returns:
        Its tensors, read from the file as they are used where that is possible.

    Raises:
        UnusableModel: It cannot be read, holds code, or holds no state dict; the message says what to do.
    """
    if not path.is_file():
        raise UnusableModel(str(path), "is a folder" if path.is_dir() else "there is no such file")
    if _is_safetensors(path):
        return StateFile(_safetensors(path))
    loaded = _unpickled(path)
    place, state = _state_in(path, loaded)
    items = cast("dict[object, object]", loaded) if place else {}
    architecture = items.get("arch")
    return StateFile(
        state,
        place,
        is_pickled=True,
        architecture=architecture if isinstance(architecture, str) else None,
        class_names=_class_names_in(items),
        items=frozenset(str(key) for key in items),
    )


def _is_safetensors(path: Path) -> bool:
    """Such a file begins with the length of its JSON header, in 8 bytes."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UnusableModel(str(path), f"is truncated or corrupt: {_one_line(error)}") from error


def _unpickled(path: Path) -> object:
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            try:
                return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            except (RuntimeError, ValueError) as error:
                if "mmap" not in str(error):
                    raise
                return torch.load(path, map_location="cpu", weights_only=True)  # of an old format
    except UnpicklingError as error:
        raise UnusableModel(str(path), _refused(error)) from None
    except Exception as error:
        if "TorchScript" in str(error) or "torchscript" in str(error):
            message = f"is TorchScript, which holds code; export the model to ONNX, or {_SAVE}"
            raise UnusableModel(str(path), message) from error
        raise UnusableModel(str(path), f"is truncated or corrupt: {_one_line(error)}") from error


def _refused(error: UnpicklingError) -> str:
    """Why a pickle is not read; torch's own message names the first class that is none of tensors and numbers."""
    found = _FOREIGN.search(str(error))
    if found is None and "global" not in str(error).lower():
        return f"is truncated or corrupt: {_one_line(error)}"
    name = found[1] if found else "a class"
    if name.startswith(("ultralytics.", "models.yolo")):
        return f"holds code ({name}) and is not opened; export the model to ONNX (yolo export format=onnx) and add that"
    return f"holds code ({name}) and is not opened; {_SAVE}"


def _state_in(path: Path, loaded: object) -> tuple[str, dict[str, Tensor]]:
    """The item that holds a state dict, and its tensors."""
    if not isinstance(loaded, dict):
        kind = "a tensor" if isinstance(loaded, Tensor) else type(loaded).__name__
        raise UnusableModel(str(path), f"holds {kind} and no state dict; {_SAVE}")
    items = cast("dict[object, object]", loaded)
    if state := _tensors(items):
        return "", state
    for place in _PLACES:
        inner = items.get(place)
        if isinstance(inner, dict):
            inner = cast("dict[object, object]", inner)
            state = _tensors(inner) or _tensors(inner.get("state_dict"))
            if state:
                return place, state
    names = ", ".join(map(str, list(items)[:5]))
    raise UnusableModel(str(path), f"holds no state dict (its items: {names or 'none'}); {_SAVE}")


def _tensors(items: object) -> dict[str, Tensor]:
    """The tensors of a dictionary, if most of its items are tensors under names."""
    if not isinstance(items, dict):
        return {}
    every = cast("dict[object, object]", items)
    state = {key: value for key, value in every.items() if isinstance(key, str) and isinstance(value, Tensor)}
    return state if 2 * len(state) > len(every) else {}


def _class_names_in(items: Mapping[object, object]) -> tuple[str, ...] | None:
    for name in _CLASS_LISTS:
        names = items.get(name)
        if isinstance(names, dict):
            numbered = cast("dict[object, object]", names)
            names = [numbered.get(index) for index in range(len(numbered))]
        if isinstance(names, list | tuple) and names and all(isinstance(each, str) for each in names):
            return tuple(cast("list[str]", names))
    ids = items.get("class_to_idx")
    if isinstance(ids, dict) and ids:
        by_id = {number: name for name, number in cast("dict[object, object]", ids).items()}
        names = [by_id.get(index) for index in range(len(by_id))]
        if all(isinstance(each, str) for each in names):
            return tuple(cast("list[str]", names))
    return None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:150] or type(error).__name__
