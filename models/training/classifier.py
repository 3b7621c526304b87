"""Trains classifiers: fine-tunes the whole network, or a new last layer on a frozen backbone."""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from models.datasets.folders import LabelledImage
from models.datasets.prefetch import made_ahead
from models.training.crops import CropAugmentation, CropMaker
from models.training.photo_recipe import coloured
from models.training.photos import ImageReader
from models.training.transfer import StridedDepthwise

_BACKBONE_SCALE: Final = 0.1
"""Learning rate of trained features, as a share of the new last layer's."""
_LEAST_MOMENTUM: Final = 0.1
"""Of batch norm statistics, and torch's default. Some networks have 0.0003, for runs of a million steps."""
_MOST_THREADS: Final = 8


@dataclass(frozen=True)
class ClassifierSettings:
    """How to train a classifier.

    Attributes:
        size: Side of the images in pixels.
        batch_size: Images a step.
        seed: Of every random choice.
        mean, std: Normalisation of R, G and B on the scale 0 to 255.
        frozen: Whether only the last layer learns.
        trained_before: Whether the rest has learned already, is to learn more slowly, and keeps the statistics of its
            batch norms.
        early_size: Side of the images in the first epochs, in pixels: smaller images are quicker to learn from.
        early_epochs: How many epochs that are.
        label_smoothing: Share of the truth that is spread over all classes (arXiv:1512.00567, section 7).
    """

    size: int
    batch_size: int
    seed: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    frozen: bool = False
    trained_before: bool = True
    early_size: int | None = None
    early_epochs: int = 0
    label_smoothing: float = 0.1


@dataclass(frozen=True, eq=False)
class ClassificationBatch:
    """Training images, stacked.

    Attributes:
        pixels: (N, side, side, 3) uint8 RGB.
        colours: (N, 3, 4) float32, see `models.training.augmentation.Example`.
        class_ids: (N,) int64.
    """

    pixels: Tensor
    colours: Tensor
    class_ids: Tensor


class ClassificationRecipe:
    """A `models.training.engine.Recipe` for classifiers.

    Args:
        network: What learns, on its device: (N, 3, size, size) to (N, class_count) logits. Where the settings say
            frozen, everything but its last layer stops requiring gradients.
        labelled: What to learn from, at least two images.
        evaluate: Measures a network.
        settings: How.
        augmentation: How far images may be from their files.

    Attributes:
        network, settings, augmentation: As they were given.
    """

    def __init__(
        self,
        network: nn.Module,
        labelled: Sequence[LabelledImage],
        evaluate: Callable[[nn.Module], dict[str, float]],
        settings: ClassifierSettings,
        augmentation: CropAugmentation,
    ) -> None:
        self.network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._head = last_layer(network)[1]
        self._labelled = labelled
        self._evaluate = evaluate
        self.settings = settings
        self.augmentation = augmentation
        self._batch_size = min(settings.batch_size, len(labelled))
        self._maker = CropMaker(ImageReader(labelled, settings.size), settings.size, augmentation, settings.seed)
        device = next(network.parameters()).device
        self._mean = torch.tensor(settings.mean, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(settings.std, device=device).view(1, 3, 1, 1)
        if settings.frozen:
            network.requires_grad_(False)  # so that no gradients are kept either
            self._head.requires_grad_(True)
        self._still = _still_modules(network, settings)
        _quicken_batch_norms(network)

    def parameter_groups(self) -> Sequence[dict[str, Any]]:
        """See `models.training.engine.Recipe.parameter_groups`."""
        new = list(self._head.parameters())
        ids = {id(parameter) for parameter in new}
        others = [parameter for parameter in self.network.parameters() if id(parameter) not in ids]
        return ({"params": new}, {"params": others, "scale": _BACKBONE_SCALE if self.settings.trained_before else 1.0})

    def steps_per_epoch(self) -> int:
        """See `models.training.engine.Recipe.steps_per_epoch`; what does not fill a batch is left out."""
        return len(self._labelled) // self._batch_size

    def batches(self, epoch: int, first: int) -> Generator[ClassificationBatch, None, None]:
        """See `models.training.engine.Recipe.batches`; they are made ahead, in threads."""
        order = np.random.default_rng((self.settings.seed, epoch)).permutation(len(self._labelled))
        steps = range(first, self.steps_per_epoch())
        indices = (order[step * self._batch_size :][: self._batch_size].tolist() for step in steps)
        return made_ahead(lambda chosen: self._batch(epoch, chosen), indices, loader_threads())

    def losses(self, batch: ClassificationBatch) -> dict[str, Tensor]:
        """See `models.training.engine.Recipe.losses`."""
        for module in self._still:
            module.eval()
        device = self._mean.device
        images = (coloured(batch.pixels.to(device), batch.colours.to(device)) - self._mean) / self._std
        logits: Tensor = self.network(images.contiguous(memory_format=torch.channels_last))
        truth = batch.class_ids.to(device)
        return {"cross_entropy": cross_entropy(logits.float(), truth, label_smoothing=self.settings.label_smoothing)}

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """See `models.training.engine.Recipe.evaluate`."""
        return self._evaluate(network)

    def _batch(self, epoch: int, indices: Sequence[int]) -> ClassificationBatch:
        side = self.settings.early_size if epoch < self.settings.early_epochs else None
        made = [self._maker.make(epoch, index, side) for index in indices]
        return ClassificationBatch(
            torch.as_tensor(np.stack([pixels for pixels, _ in made])),
            torch.as_tensor(np.stack([colour for _, colour in made])),
            torch.tensor([self._labelled[index].class_id for index in indices]),
        )


def last_layer(network: nn.Module) -> tuple[str, nn.Module]:
    """Finds the layer that gives a classifier's logits: the last linear one, or a convolution as in SqueezeNet.

    Returns:
        Its name and itself.
    """
    modules = cast("Iterator[tuple[str, nn.Module]]", network.named_modules())
    return [(name, module) for name, module in modules if isinstance(module, nn.Linear | nn.Conv2d)][-1]


def loader_threads() -> int:
    """How many threads prepare images: all cores but one, and not so many that they wait for each other."""
    return max(1, min(_MOST_THREADS, (os.cpu_count() or 1) - 1))


def _still_modules(network: nn.Module, settings: ClassifierSettings) -> tuple[nn.Module, ...]:
    """What stays in evaluation mode: frozen features, and the statistics of batch norms that were trained before.

    Those of few images are worse than ImageNet's: on 340 crops of eight of COCO's classes, EfficientNet-Lite0 at 96
    pixels came to top-1 0.84 on 85 others after six epochs with still statistics, and to 0.68 without.
    """
    if settings.frozen:
        return (network,)
    if not settings.trained_before:
        return ()
    return tuple(module for module in network.modules() if isinstance(module, nn.BatchNorm2d))


def quicken_strided_depthwise(network: nn.Module) -> None:
    """Lets strided depthwise convolutions be computed in float32 under autocast, in place.

    See `models.training.transfer.StridedDepthwise`: a step in bfloat16 on one core of a Zen 4 then takes 66 ms an image
    instead of 90 (EfficientNet-Lite0, 224 pixels), 39 instead of 61 (MobileNetV3-Large).
    """
    for module in network.modules():
        if type(module) is nn.Conv2d and module.groups > 1 and module.stride != (1, 1):
            module.__class__ = StridedDepthwise


def _quicken_batch_norms(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.momentum is not None:
            module.momentum = max(module.momentum, _LEAST_MOMENTUM)
