"""The version of a model that a request for an explanation is about."""

from __future__ import annotations

from typing import Final

from models.entries import Task
from models.kinds import KINDS
from services.errors import InvalidParameters, ModelNotFound
from services.gateway.serving.registry import Registry
from services.gateway.serving.served_model import ServedModel

_MAKERS: Final = frozenset(kind.task for kind in KINDS.values() if kind.is_experimental)
"""Tasks whose answer is an image."""


def cold_version(registry: Registry, name: str) -> str | None:
    """The version that explains a model which no request has loaded yet: the explainer has a network of its own.

    Args:
        registry: Knows the models.
        name: Name of a configured model, or `NAME@VERSION`.

    Returns:
        The version that the first request would load; None where the model is loaded, or being loaded.

    Raises:
        ModelNotFound: no such model is configured, or the version is not the one that would be loaded.
    """
    model, version = registry.split(name)
    if not registry.is_cold(model):
        return None
    first = registry.first_version(model)
    if version not in (None, first):
        raise ModelNotFound(
            f"no version {version[:80]!r} of {model} is loaded; there are: {first}",
            {"known": list(registry.names), "versions": [first]},
        )
    return first


def refuse_makers(model: str, task: Task) -> None:
    """Refuses a model whose answer is an image, or has several parts.

    Args:
        model: Its name.
        task: Its task.

    Raises:
        InvalidParameters: it is one.
    """
    if task == "multitask":
        message = f"{model} answers several tasks: only models of one task have explanations and layers here"
        raise InvalidParameters(message, {"parameter": "model"})
    if task in _MAKERS:
        message = f"{model} makes images: only models that predict have explanations and layers here"
        raise InvalidParameters(message, {"parameter": "model"})


def refuse_signals(served: ServedModel) -> None:
    """Refuses a model that takes signals.

    Raises:
        InvalidParameters: it does.
    """
    if served.signal_length is not None:
        message = f"{served.name} takes signals: only models of images have explanations and layers here"
        raise InvalidParameters(message, {"parameter": "model"})
