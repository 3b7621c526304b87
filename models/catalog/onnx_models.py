"""Loads models whose network is an ONNX file beside their card."""

import logging
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, cast, get_args

from models.adapter import Adapter
from models.entries import ONNX, CatalogEntry
from models.errors import BrokenCard, NotConvertible, UnsupportedRuntime, WeightsCorrupt
from models.execution.external import ExternalRuntime, NetworkExecutor
from models.execution.onnx_executor import open_onnx
from models.execution.onnx_input import Channels
from models.outputs.adapters import adapter_for, layout_of
from models.runtime import ONNXRUNTIME_REMEDY, Runtime
from models.sources.weights_files import checked_digest, fetch, fix_of

_CHANNELS: Final = "channels"
"""The only argument of the architecture `onnx`."""

_log = logging.getLogger(__name__)


def is_onnx(entry: CatalogEntry) -> bool:
    """Whether the network of a model is an ONNX file."""
    return entry.architecture == ONNX


def resolve_for(entry: CatalogEntry, runtime: Runtime) -> Runtime:
    """Resolves the runtime of a model from an ONNX file.

    Args:
        entry: The model.
        runtime: As it is asked for.

    Raises:
        UnsupportedRuntime: This machine does not support the runtime, or the network cannot run there.
    """
    if isinstance(runtime, ExternalRuntime):
        raise UnsupportedRuntime(
            f"{entry.name} is an ONNX file, which runs in this process only: take backend auto, openvino or onnxruntime"
        )
    return runtime.resolve_for_onnx()


def without_openvino(entry: CatalogEntry, runtime: Runtime, error: NotConvertible) -> Runtime:
    """Returns the runtime of an ONNX file that OpenVINO cannot run.

    Args:
        entry: The model.
        runtime: As it is asked for, with `auto` as its backend.
        error: What OpenVINO says.

    Raises:
        NotConvertible: There is no other backend here.
    """
    if find_spec("onnxruntime") is None:
        raise NotConvertible(f"{error}; onnxruntime may run it: {ONNXRUNTIME_REMEDY}") from error
    _log.warning("%s runs by onnxruntime: %s", entry.name, error)
    return replace(runtime, backend="onnxruntime").resolve_for_onnx()


def load_onnx(entry: CatalogEntry, runtime: Runtime) -> Adapter[Any, Any]:
    """Loads a model.

    Args:
        entry: A card.
        runtime: From `resolve_for`.

    Raises:
        BrokenCard: The card does not fit the network.
        WeightsUnavailable: The file is not there.
        WeightsCorrupt: The file is damaged, or has the wrong digest.
        NotConvertible: The backend cannot run the network.
        PrecisionTooLow: The precision changes its outputs.
        UnsupportedRuntime: The backend cannot use the device.
    """
    layout_of(entry)
    channels = _channels_of(entry)
    path = fetch(entry)
    digest = checked_digest(entry, path)
    assert entry.class_names is not None
    return adapter_for(entry, entry.class_names, runtime, _opened(entry, path, runtime, channels, digest), digest)


def _opened(entry: CatalogEntry, path: Path, runtime: Runtime, channels: Channels, digest: str) -> NetworkExecutor:
    try:
        return open_onnx(path, entry.image_preprocessing, runtime, channels, digest)
    except (ValueError, OSError) as error:
        raise WeightsCorrupt(entry.name, f"{path} {error}; {fix_of(entry, path)}") from error


def _channels_of(entry: CatalogEntry) -> Channels:
    channels = entry.arguments.get(_CHANNELS, "rgb")
    if entry.arguments.keys() - {_CHANNELS} or channels not in get_args(Channels):
        message = f"arguments of {ONNX} are channels, rgb or bgr, not {dict(entry.arguments)}"
        raise BrokenCard(str(entry.card or entry.name), message)
    return cast(Channels, channels)
