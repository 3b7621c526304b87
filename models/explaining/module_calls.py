"""Watches the modules of a network while it runs."""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class ModuleCall:
    """One call of a module.

    Attributes:
        name: Of the module in the network.
        module: The module.
        output: Its output, or the first of several; later modules may overwrite it.
        has_parts: Whether it has run other modules.
    """

    name: str
    module: nn.Module
    output: Tensor
    has_parts: bool


@contextmanager
def watched(network: nn.Module, keep: Callable[[ModuleCall], None]) -> Generator[None]:
    """Calls `keep` after each module of a network that runs in this thread within the context.

    Args:
        network: The network; it is not changed.
        keep: Called with modules before those that they are parts of.
    """
    thread = threading.get_ident()
    running: list[bool] = []  # of each module that has begun, whether it has run others

    def before(_module: nn.Module, _inputs: Any) -> None:
        if threading.get_ident() == thread:
            running[-1:] = [True] if running else []
            running.append(False)

    def after(name: str, module: nn.Module, output: Any) -> None:
        if threading.get_ident() != thread:
            return
        has_parts = running.pop()
        if isinstance(output, tuple | list):
            output = next(iter(cast("Sequence[Any]", output)), None)
        if isinstance(output, Tensor):
            keep(ModuleCall(name, module, output, has_parts))

    def named(name: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda module, _inputs, output: after(name, module, output)

    handles: list[Any] = []
    for name, module in cast("Iterator[tuple[str, Any]]", network.named_modules()):
        handles.append(module.register_forward_pre_hook(before))
        handles.append(module.register_forward_hook(named(name)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
