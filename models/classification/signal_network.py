"""The convolutional network for signals of the MNIST-1D benchmark."""

from collections.abc import Mapping
from typing import Final

from torch import Tensor, nn

from models.entries.signal_preprocessing import SIGNAL_CNN

_KERNEL: Final = 3
_STRIDE: Final = 2
_LAYERS: Final = 3


class SignalNetwork(nn.Module):
    """Three convolutions of stride 2 and a linear layer, for one-dimensional signals (arXiv:2011.14439, section 2).

    The convolutions have 15 channels, kernel 3, biases and no padding, so that 40 numbers become 19, 9 and 4: with ten
    classes that is 60 + 690 + 690 + 610 = 2,050 parameters.

    Args:
        class_count: Number of classes.
        length: Numbers in a signal, at least 15.
        channels: Of each convolution.
    """

    def __init__(self, class_count: int, length: int = 40, channels: int = 15) -> None:
        super().__init__()
        left = length
        for _ in range(_LAYERS):
            left = (left - _KERNEL) // _STRIDE + 1
        if left < 1 or channels < 1:
            raise ValueError(f"length must be at least 15 and channels at least 1, not {length} and {channels}")
        layers: list[nn.Module] = []
        for inputs in (1, *[channels] * (_LAYERS - 1)):
            layers += [nn.Conv1d(inputs, channels, _KERNEL, _STRIDE), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels * left, class_count)

    def forward(self, signals: Tensor) -> Tensor:
        """Computes logits.

        Args:
            signals: (N, 1, length), normalised.

        Returns:
            (N, class_count) logits.
        """
        features: Tensor = self.features(signals)
        return self.classifier(features.flatten(1))


def build_signal_classifier(
    architecture: str, class_count: int, arguments: Mapping[str, int | float | str | bool]
) -> nn.Module:
    """Builds a classifier of signals, with random weights.

    Args:
        architecture: `SIGNAL_CNN`.
        class_count: Number of classes.
        arguments: Keyword arguments of the network, of a card.

    Returns:
        The network, from (N, 1, length) to (N, class_count) logits.

    Raises:
        KeyError: There is no such architecture.
        TypeError, ValueError: It does not take such arguments.
    """
    if architecture != SIGNAL_CNN:
        raise KeyError(architecture)
    return SignalNetwork(class_count, **arguments)  # pyright: ignore[reportArgumentType] - a card's, checked by Python
