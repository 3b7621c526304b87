"""Networks of the user's own: a card's `architecture` names a function in a Python module, ``package.module:function``.

A card is data, and whoever may write one must not thereby run code: a module is imported only where the operator of the
process names it, or a package that it is in, in the environment variable ``TAPETUM_MODEL_MODULES`` (separated by
commas). The function builds the network::

    def build(class_count: int, **arguments: bool | int | float | str) -> torch.nn.Module: ...

from normalised images, (N, 3, H, W) float32, to tensors of N rows each in the layout that the card names (`outputs`).
"""

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any, Final

from torch import nn

from models.adapter import Adapter
from models.entries import CatalogEntry, Kind
from models.errors import BrokenCard, ModelsError
from models.execution.executor import executor_for
from models.execution.external import NetworkExecutor
from models.execution.precision import examples
from models.outputs.adapters import adapter_for
from models.outputs.layouts import LAYOUTS
from models.runtime import Runtime
from models.sources.weights_files import fetch, load_into, read_state_dict

MODULES_VARIABLE: Final = "TAPETUM_MODEL_MODULES"
USUAL_OUTPUTS: Final[Mapping[Kind, str]] = {"classification": "logits", "semantic": "class-logits"}
"""Layouts of cards that name none; boxes and masks have no usual one."""

_SEPARATOR: Final = ":"
_NAME: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_LONGEST: Final = 200


def is_user_module(architecture: str) -> bool:
    """Whether an architecture is a function in a module of the user's own; no other name has a colon."""
    return _SEPARATOR in architecture


def build_user_module(
    architecture: str, class_count: int, arguments: Mapping[str, int | float | str | bool]
) -> nn.Module:
    """Imports a module of the user's own and builds its network.

    Args:
        architecture: ``package.module:function``.
        class_count: Number of classes.
        arguments: For the function, by name.

    Returns:
        The network, with the weights that the function gives it.

    Raises:
        ValueError: The module is not allowed or cannot be imported, or the function is not there, fails, or builds
            something else; the message is one line.
    """
    if not _NAME.fullmatch(architecture):
        raise ValueError(f"{architecture!r} is not written as package.module:function")
    module, _, function = architecture.partition(_SEPARATOR)
    _check_allowed(module)
    try:
        build: Any = getattr(import_module(module), function, None)
    except (Exception, SystemExit) as error:
        raise ValueError(f"module {module} cannot be imported: {one_line(error)}") from error
    if not callable(build):
        raise ValueError(f"module {module} has no function {function}")
    try:
        network: object = build(class_count=class_count, **arguments)
    except (Exception, SystemExit) as error:
        given = ", ".join(f"{name}={value!r}" for name, value in {"class_count": class_count, **arguments}.items())
        raise ValueError(f"{architecture} fails with {given}: {one_line(error)}") from error
    if not isinstance(network, nn.Module):
        raise ValueError(f"{architecture} returns {type(network).__name__}, and not a torch.nn.Module")
    return network


def one_line(error: BaseException) -> str:
    """The kind of an error and the beginning of its message, on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}{': ' if text else ''}{text}"[:_LONGEST]


def _check_allowed(module: str) -> None:
    """Raises unless the operator names the module or a package that it is in."""
    named = [name.strip() for name in os.environ.get(MODULES_VARIABLE, "").split(",")]
    if not any(name and (module == name or module.startswith(f"{name}.")) for name in named):
        raise ValueError(f"module {module} may not be imported: set {MODULES_VARIABLE}={module} to allow it")


def load_user_module(entry: CatalogEntry, runtime: Runtime) -> Adapter[Any, Any]:
    """Loads a card whose network is built by a module of the user's own, and runs it once.

    Args:
        entry: The card. Where its weights file is empty, the network keeps those that the module gave it.
        runtime: A resolved runtime.

    Raises:
        BrokenCard: The network cannot be built or run, or its outputs have no layout; the message says why.
        WeightsError: The weights are not there, or are another network's.
        NotConvertible, PrecisionTooLow: See `models.execution.executor.executor_for`.
    """
    card = str(entry.card or entry.name)
    outputs = entry.outputs or USUAL_OUTPUTS.get(entry.kind)
    if outputs is None:
        names = ", ".join(name for name, layout in LAYOUTS.items() if layout.kind == entry.kind)
        raise BrokenCard(card, f"outputs must name the layout of the network's outputs, one of {names}")
    try:
        network = build_user_module(entry.architecture, entry.class_count, entry.arguments)
    except ValueError as error:
        raise BrokenCard(card, str(error)) from error
    path = fetch(entry)
    state, digest = read_state_dict(entry, path)
    if state:
        load_into(network, state, entry, path)
    executor = _executor(network.eval(), entry, runtime, card)
    assert entry.class_names is not None
    return adapter_for(replace(entry, outputs=outputs), entry.class_names, runtime, executor, digest)


def _executor(network: nn.Module, entry: CatalogEntry, runtime: Runtime, card: str) -> NetworkExecutor:
    """What runs the network, tried on a test picture, so that errors in its code are raised when it is loaded."""
    _, example = examples(entry.image_preprocessing)
    height, width = example.shape[1:3]
    try:
        executor = executor_for(network, entry.image_preprocessing, runtime)
        executor.run_all(example.numpy())
    except ModelsError:
        raise
    except Exception as error:
        shape = f"(1, 3, {height}, {width})"
        raise BrokenCard(card, f"the network of {entry.architecture} fails for {shape}: {one_line(error)}") from error
    return executor
