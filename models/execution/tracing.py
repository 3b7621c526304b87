"""Traces networks with torch.fx while other threads run networks."""

import threading
from collections.abc import Callable
from typing import Any, Final

from torch import fx, nn

_ONE_AT_A_TIME: Final = threading.Lock()


class _ThreadTracer(fx.Tracer):
    """Records the calls of its own thread.

    While it traces, torch.fx replaces `nn.Module.__call__` and `__getattr__` for the whole process: a forward pass in
    another thread would be recorded, too, and fail.
    """

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


def symbolic_trace(network: nn.Module) -> fx.GraphModule:
    """Traces a network; thread-safe, other than `torch.fx.symbolic_trace`.

    Args:
        network: In evaluation mode.

    Returns:
        The traced network, which shares its parameters.

    Raises:
        TraceError: The network has data-dependent control flow.
        TypeError: Likewise.
    """
    with _ONE_AT_A_TIME:
        tracer = _ThreadTracer()
        graph = tracer.trace(network)
        return fx.GraphModule(tracer.root, graph, type(network).__name__)
