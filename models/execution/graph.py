"""Queries on torch.fx graphs of traced networks."""

from collections import Counter
from typing import Any, Final, TypeVar

from torch import fx, nn

M = TypeVar("M", bound=nn.Module)

_JOINING: Final = frozenset(
    {"cat", "concat", "flatten", "getattr", "getitem", "permute", "reshape", "transpose", "view"}
)
"""Names of functions and methods that only reshape or reorder tensors."""


def module_at(traced: fx.GraphModule, node: Any, kind: type[M]) -> M | None:
    """Returns the module that a node calls.

    Args:
        traced: The network.
        node: A node of its graph, or any other argument of one.
        kind: The class of module that is looked for.

    Returns:
        The module, or None where the node calls none of that kind.
    """
    if not isinstance(node, fx.Node) or node.op != "call_module":
        return None
    module = traced.get_submodule(str(node.target))
    return module if isinstance(module, kind) else None


def only_user(node: fx.Node) -> fx.Node | None:
    """Returns the single user of a node, or None where it has none or several."""
    return next(iter(node.users)) if len(node.users) == 1 else None


def last_layers(traced: fx.GraphModule) -> dict[str, nn.Module]:
    """Returns the names of the convolutions and linear layers whose results are the outputs, up to reshaping.

    Args:
        traced: The network.

    Returns:
        Empty where something else comes last, such as a pooling. A layer that is also used elsewhere, or whose result
        is, is left out.
    """
    found: Counter[str] = Counter()
    answers: set[fx.Node] = set()
    for node in reversed(list(traced.graph.nodes)):
        if node.op == "output":
            answers.add(node)
        elif not node.users or not answers.issuperset(node.users):
            continue
        elif module_at(traced, node, nn.Conv2d) is not None or module_at(traced, node, nn.Linear) is not None:
            found[str(node.target)] += 1
        elif _function_name(node) in _JOINING:
            answers.add(node)
    calls = Counter(str(node.target) for node in traced.graph.nodes if node.op == "call_module")
    return {name: traced.get_submodule(name) for name, count in found.items() if calls[name] == count}


def _function_name(node: fx.Node) -> str:
    if node.op == "call_method":
        return str(node.target)
    return getattr(node.target, "__name__", "") if node.op == "call_function" else ""
