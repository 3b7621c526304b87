"""What the protocol tells of the server and of each model: metadata and configuration."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any, Final

from services.gateway.open_inference.images import INPUTS, Input
from services.gateway.open_inference.outputs import Output, outputs_of
from services.gateway.serving.served_model import ServedModel

SERVER_NAME: Final = "tapetum"
EXTENSIONS: Final = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "parameters",
    "statistics",
)
"""Extensions of the protocol that are supported, by Triton's names."""

_CONFIG_TYPES: Final = {"BYTES": "TYPE_STRING"}
"""Names of datatypes in a configuration that are not `TYPE_` and the name."""


def server_metadata() -> dict[str, Any]:
    """Name, version and extensions of the server."""
    return {"name": SERVER_NAME, "version": version("tapetum"), "extensions": list(EXTENSIONS)}


def model_metadata(model: ServedModel, versions: Iterable[str]) -> dict[str, Any]:
    """Inputs and outputs of a model; a request has one of the inputs, where there are any.

    Args:
        model: The model.
        versions: All versions that are served.
    """
    return {
        "name": model.name,
        "versions": list(versions),
        "platform": SERVER_NAME,
        "inputs": [_metadata(one.name, one.datatype, one.dims) for one in _inputs_of(model)],
        "outputs": [_metadata(one.name, one.datatype, one.dims) for one in _outputs_of(model)],
    }


def _inputs_of(model: ServedModel) -> tuple[Input, ...]:
    """A generator has none: its request consists of parameters."""
    return INPUTS if model.takes_images else ()


def _outputs_of(model: ServedModel) -> tuple[Output, ...]:
    return outputs_of(model.kind, model.entry.get("parts", ()))


def _metadata(name: str, datatype: str, dims: tuple[int, ...]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(dims)}


def model_config(model: ServedModel) -> dict[str, Any]:
    """The configuration of a model, as the fields of Triton's `ModelConfig`.

    `max_batch_size` is 0, as the number of images is a dimension of every tensor; the size of the batches that the
    network gets is `dynamic_batching.preferred_batch_size`.

    Args:
        model: The model.
    """
    return {
        "name": model.name,
        "platform": SERVER_NAME,
        "backend": SERVER_NAME,
        "max_batch_size": 0,
        "input": [
            {**_config(one.name, one.datatype, one.dims), "format": "FORMAT_NONE", "optional": True}
            for one in _inputs_of(model)
        ],
        "output": [_config(one.name, one.datatype, one.dims) for one in _outputs_of(model)],
        "dynamic_batching": {"preferred_batch_size": [model.entry["max_batch_size"]]},
        "parameters": {
            name: {"string_value": str(model.entry[name])} for name in ("task", "architecture", "version", "licence")
        },
    }


def _config(name: str, datatype: str, dims: tuple[int, ...]) -> dict[str, Any]:
    return {"name": name, "data_type": _CONFIG_TYPES.get(datatype, f"TYPE_{datatype}"), "dims": list(dims)}
