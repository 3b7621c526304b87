"""Trains detectors, segmenters and pose estimators on annotated photos."""

# pyright: reportUnknownMemberType=false

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from models.datasets.photo_dataset import PhotoDataset
from models.datasets.prefetch import made_ahead
from models.training.augmentation import Augmentation, ExampleMaker
from models.training.photos import PhotoReader
from models.training.targets import Target

_BACKBONE_SCALE: Final = 0.15
_SIDE_MULTIPLE: Final = 32
_WHOLE: Final = 1 << 20
"""Pixels a side: no photo is decoded at a smaller scale."""

Objective = Callable[[nn.Module, Tensor, Sequence[Target]], dict[str, Tensor]]
"""From a network, normalised images (N, 3, side, side) and targets to the parts of the loss."""


@dataclass(frozen=True)
class PhotoSettings:
    """How to train on photos.

    Attributes:
        side: Of the training images of the last epochs, and of the longest side in evaluation, in pixels.
        early_side: Of the training images before that: smaller images are quicker to learn from.
        closing_epochs: How many epochs at the end see single photos at full size, and no mosaics.
        epochs: All of them.
        batch_size: Images a step.
        seed: Of every random choice.
        native: Whether photos are taken at their own size, and cut or padded to fit, not shrunk or enlarged.
        mean, std: Normalisation of R, G and B on the scale 0 to 255; those of EfficientNet-Lite0.

    Raises:
        ValueError: On construction, where there is no epoch, nothing in a batch, or a side that does not suit.
    """

    side: int = 416
    early_side: int = 352
    closing_epochs: int = 8
    epochs: int = 30
    batch_size: int = 16
    seed: int = 0
    native: bool = False
    mean: tuple[float, float, float] = (127.0, 127.0, 127.0)
    std: tuple[float, float, float] = (128.0, 128.0, 128.0)

    def __post_init__(self) -> None:
        for name, value in (("epochs", self.epochs), ("batch_size", self.batch_size)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        for name, value in (("side", self.side), ("early_side", self.early_side)):
            if value < _SIDE_MULTIPLE or value % _SIDE_MULTIPLE:
                raise ValueError(f"{name} must be a multiple of {_SIDE_MULTIPLE}, not {value}")


@dataclass(frozen=True, eq=False)
class PhotoBatch:
    """Examples, stacked.

    Attributes:
        pixels: (N, side, side, 3) uint8 RGB.
        colours: (N, 3, 4) float32, see `Example.colour`.
        targets: One for every image.
    """

    pixels: Tensor
    colours: Tensor
    targets: tuple[Target, ...]


class PhotoRecipe:
    """A `models.training.engine.Recipe` for detectors, segmenters and pose estimators.

    A data set with a skeleton teaches its key points, too.

    Args:
        network: What learns, on its device.
        backbone: The part of it that was trained before and learns more slowly.
        objective: Its loss.
        dataset: What to learn from.
        evaluate: Measures a network.
        settings: How.
        augmentation: How far images may be from their photos.
        masks: Whether the loss asks for masks.
    """

    def __init__(
        self,
        network: nn.Module,
        backbone: nn.Module,
        objective: Objective,
        dataset: PhotoDataset,
        evaluate: Callable[[nn.Module], dict[str, float]],
        settings: PhotoSettings,
        augmentation: Augmentation,
        masks: bool = False,
    ) -> None:
        self.network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._backbone = backbone
        self._objective = objective
        self._dataset = dataset
        self._evaluate = evaluate
        self._settings = settings
        reader = PhotoReader(dataset.photos, _WHOLE if settings.native else settings.side)
        sides = dataset.skeleton.mirrored if dataset.skeleton is not None else ()
        self._maker = ExampleMaker(reader, augmentation, settings.seed, masks, settings.native, sides)

    def parameter_groups(self) -> Sequence[dict[str, Any]]:
        """See `models.training.engine.Recipe.parameter_groups`."""
        trained_before = {id(parameter) for parameter in self._backbone.parameters()}
        new = [parameter for parameter in self.network.parameters() if id(parameter) not in trained_before]
        return ({"params": new}, {"params": list(self._backbone.parameters()), "scale": _BACKBONE_SCALE})

    def steps_per_epoch(self) -> int:
        """See `models.training.engine.Recipe.steps_per_epoch`; what does not fill a batch is left out."""
        return max(1, len(self._dataset.photos) // self._settings.batch_size)

    def batches(self, epoch: int, first: int) -> Generator[PhotoBatch, None, None]:
        """See `models.training.engine.Recipe.batches`; they are made ahead, in a thread."""
        order = np.random.default_rng((self._settings.seed, epoch)).permutation(len(self._dataset.photos))
        size = self._settings.batch_size
        chosen = (order[step * size :][:size].tolist() for step in range(first, self.steps_per_epoch()))
        return made_ahead(lambda indices: self._batch(epoch, indices), chosen)

    def losses(self, batch: PhotoBatch) -> dict[str, Tensor]:
        """See `models.training.engine.Recipe.losses`."""
        device = next(self.network.parameters()).device
        images = coloured(batch.pixels.to(device), batch.colours.to(device))
        mean, std = (images.new_tensor(row).view(1, 3, 1, 1) for row in (self._settings.mean, self._settings.std))
        targets = [target.to(device) for target in batch.targets]
        return self._objective(self.network, images.sub_(mean).div_(std), targets)

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """See `models.training.engine.Recipe.evaluate`."""
        return self._evaluate(network)

    def _batch(self, epoch: int, indices: Sequence[int]) -> PhotoBatch:
        closing = epoch >= self._settings.epochs - self._settings.closing_epochs
        side = self._settings.side if closing else self._settings.early_side
        examples = [self._maker.make(epoch, index, side, mosaic=not closing) for index in indices]
        return PhotoBatch(
            torch.from_numpy(np.stack([example.pixels for example in examples])),
            torch.from_numpy(np.stack([example.colour for example in examples])),
            tuple(Target.of(example) for example in examples),
        )


def coloured(pixels: Tensor, colours: Tensor) -> Tensor:
    """Applies each image's change of colour.

    Args:
        pixels: (N, H, W, 3) uint8 RGB.
        colours: (N, 3, 4), see `models.training.augmentation.Example`.

    Returns:
        (N, 3, H, W) float32 from 0 to 255, with channels last in memory.
    """
    count, height, width, _ = pixels.shape
    flat = pixels.reshape(count, height * width, 3).float()
    changed = torch.baddbmm(colours[:, None, :, 3], flat, colours[:, :, :3].transpose(1, 2)).clamp_(0, 255)
    return changed.view(count, height, width, 3).permute(0, 3, 1, 2)
