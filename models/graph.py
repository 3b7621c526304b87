"""Reading and rewriting traced networks."""

from typing import Any, TypeVar

from torch import fx, nn

M = TypeVar("M", bound=nn.Module)


def module_at(traced: fx.GraphModule, node: Any, kind: type[M]) -> M | None:
    """Gives the module that a node calls.

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
    """Gives the one node that reads another's value, or None where there are none or several."""
    return next(iter(node.users)) if len(node.users) == 1 else None
