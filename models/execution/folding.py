"""Inference optimisations of a traced graph: folds batch norms into convolutions, removes dropout and identities."""

# pyright: reportMissingTypeStubs=false

from collections import Counter
from typing import Final

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.ops import StochasticDepth

from models.execution.graph import module_at, only_user

_IDLE: Final = (nn.Dropout, nn.Identity, StochasticDepth)


def remove_idle_layers(traced: fx.GraphModule) -> None:
    """Removes the layers that are the identity in evaluation mode, such as dropout, in place.

    Args:
        traced: A network in evaluation mode.
    """
    for node in list(traced.graph.nodes):
        if isinstance(module_at(traced, node, nn.Module), _IDLE):
            node.replace_all_uses_with(node.args[0])
            traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()


def fold_batch_norms(traced: fx.GraphModule) -> None:
    """Folds every batch norm that is the only user of a convolution into that convolution, in place.

    This is exact in real arithmetic and saves a pass over memory.

    Args:
        traced: A network in evaluation mode. Its convolutions are replaced, never changed, so that the network that it
            was traced from and shares them with stays as it was.
    """
    calls = Counter(node.target for node in traced.graph.nodes)
    for node in list(traced.graph.nodes):
        norm = module_at(traced, node, nn.BatchNorm2d)
        source = node.args[0] if norm is not None else None
        convolution = module_at(traced, source, nn.Conv2d)
        if norm is None or convolution is None or not isinstance(source, fx.Node):
            continue
        if only_user(source) is None or calls[source.target] > 1:
            continue
        traced.set_submodule(str(source.target), fuse_conv_bn_eval(convolution, norm))
        node.replace_all_uses_with(source)
        traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
