"""Fits a state dict to an architecture: finds the prefix of its keys and the number of classes, by building networks.

No table of heads is needed: a network of two and one of three classes, built without memory for their weights, differ
in the tensors whose sizes depend on the number of classes, and how.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from models.catalog.architectures import build_architecture
from models.catalog.user_modules import is_user_module, one_line
from models.sources.weights_files import load_strictly

Arguments = Mapping[str, int | float | str | bool]
Options = tuple[tuple[str, int | float | str | bool], ...]
Shapes = Mapping[str, tuple[int, ...]]

_AUXILIARY: Final = ("aux1.", "aux2.", "AuxLogits.", "aux_classifier.", "aux_head.")
"""Heads of GoogLeNet, Inception and the segmenters of torchvision that only training uses."""
_COUNTERS: Final = ("total_ops", "total_params")
"""Tensors that a profiler (thop) leaves in a state dict."""
_ANCHORS: Final = 8
"""Names of a network whose places in a file give the prefixes that are tried."""
_LEAST_OVERLAP: Final = 0.5


class Misfit(ValueError):
    """A state dict is not that of an architecture; the message says in what they differ.

    Args:
        message: One line.
        overlap: Share of the network's tensors that the state dict has by name, 0 to 1.
    """

    def __init__(self, message: str, overlap: float = 0.0) -> None:
        super().__init__(message)
        self.overlap = overlap


@dataclass(frozen=True)
class Fit:
    """A state dict that an architecture takes.

    Attributes:
        class_count: As a card counts the classes.
        state: Its tensors under the names of the network, and no others.
        prefix: That was removed from the names.
        dropped: Names of tensors that the network does not have.
    """

    class_count: int
    state: Mapping[str, Tensor]
    prefix: str
    dropped: tuple[str, ...]


def fit(state: Mapping[str, Tensor], architecture: str, arguments: Arguments) -> Fit:
    """Fits a state dict to an architecture.

    Args:
        state: As in the file.
        architecture: As in a card.
        arguments: Of the architecture.

    Raises:
        Misfit: It is another network's, or has no head.
        KeyError, TypeError, ValueError: The architecture cannot be built.
    """
    options = tuple(sorted(arguments.items()))
    try:
        two = shapes_of(architecture, 2, options)
    except AssertionError as error:  # of torchvision, for an image size that does not suit it
        raise Misfit(f"it cannot be built with arguments {dict(arguments)}: {one_line(error)}") from error
    prefix, overlap = common_prefix(state, two)
    if overlap < _LEAST_OVERLAP:
        raise Misfit(_strangers(state, two), overlap)
    inside = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    kept = {key: value for key, value in inside.items() if key in two or not _is_dropped(key)}
    class_count = _class_count(kept, two, shapes_of(architecture, 3, options), overlap)
    network = skeleton(architecture, class_count, arguments)
    try:
        load_strictly(network, kept, assign=True)
    except RuntimeError as error:
        raise Misfit(_difference(error), overlap) from error
    clean = {key: value.detach() for key, value in network.state_dict().items()}
    names = {f"{prefix}{key}" for key in kept}
    return Fit(class_count, clean, prefix, tuple(key for key in state if key not in names))


def skeleton(architecture: str, class_count: int, arguments: Arguments) -> nn.Module:
    """Builds a network whose weights take no memory; of a module of the user's own, with memory."""
    for place in () if is_user_module(architecture) else (torch.device("meta"), _WithoutMemory()):
        try:
            with place:
                return build_architecture(architecture, class_count, arguments)
        except (RuntimeError, ValueError):  # it computes with tensors while it is built
            continue
    return build_architecture(architecture, class_count, arguments)


@cache
def shapes_of(architecture: str, class_count: int, arguments: Options) -> Shapes:
    """The shapes of a network's tensors by their names."""
    network = skeleton(architecture, class_count, dict(arguments))
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


def common_prefix(state: Iterable[str], names: Iterable[str]) -> tuple[str, float]:
    """Finds what wrappers put before the names of tensors: `module.`, `model.`, `_orig_mod.` and any other.

    Args:
        state: Names in the file.
        names: Names in the network.

    Returns:
        The prefix, and the share of the network's names that are in the file with it.
    """
    wanted, have = list(names), set(state)
    some = wanted[:: max(1, len(wanted) // _ANCHORS)]
    before = {key.removesuffix(name) for name in some for key in have if key.endswith(name)}
    prefixes = {"", *(prefix for prefix in before if prefix.endswith("."))}
    shares = {prefix: sum(f"{prefix}{name}" in have for name in wanted) for prefix in prefixes}
    best = max(sorted(shares, key=len), key=shares.__getitem__)
    return best, shares[best] / max(1, len(wanted))


def _class_count(state: Mapping[str, Tensor], two: Shapes, three: Shapes, overlap: float) -> int:
    """The number of classes by the sizes that depend on it: a of each class, and b besides."""
    found: Counter[int] = Counter()
    heads = [key for key in two if two[key] != three[key]]
    for key in heads:
        if key not in state or state[key].ndim != len(two[key]):
            continue
        for size, of_two, of_three in zip(state[key].shape, two[key], three[key], strict=True):
            if each := of_three - of_two:
                count, rest = divmod(size - (of_two - 2 * each), each)
                found[count if not rest and count > 0 else 0] += 1
    if not found:
        example = heads[0] if heads else "a head"
        raise Misfit(f"it has no {example}: these are weights of a backbone without its head", overlap)
    best = found.most_common(1)[0][0]
    if not best:
        raise Misfit(f"the size of {heads[0]} is that of no number of classes", overlap)
    return best


def _is_dropped(key: str) -> bool:
    return key.startswith(_AUXILIARY) or key.endswith(_COUNTERS)


def _strangers(state: Iterable[str], names: Iterable[str]) -> str:
    one, other = next(iter(state), "nothing"), next(iter(names), "nothing")
    return f"its tensors have other names (the first is {one}, and not {other})"


def _difference(error: RuntimeError) -> str:
    """The first difference of those that torch lists, one a line after a headline."""
    lines = [line.strip() for line in str(error).splitlines()[1:] if line.strip()]
    return (lines[0] if lines else one_line(error))[:200]


class _WithoutMemory(TorchFunctionMode):
    """Makes `torch.empty`, by which layers get their weights, return tensors without memory; all else is computed."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if func is torch.empty and options.get("device") is None:
            options["device"] = "meta"
        return func(*args, **options)
