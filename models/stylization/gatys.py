"""Gatys' style transfer: the pixels of one picture are optimised until its feature maps match a photo and a style.

Paper: Gatys et al. (arXiv:1508.06576). Three things differ, as EfficientNet-Lite0 is not VGG: Adam, not L-BFGS, a
start at half the size, and shifts of the picture by some pixels at every step, since strided depthwise convolutions let
a pattern on their grid pass for a style.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.stylization.perceptual import Features, Losses, LossWeights, PerceptualLoss, open_features

LEAST_SIDE: Final = 16
"""Least side of photo and style picture in pixels: the stride of the coarsest feature map."""
_COARSE_SHARE: Final = 0.5
"""Share of the steps that run at half the size."""
_LEAST_COARSE_SIDE: Final = 64
"""Photos with a shorter side start at their own size, in pixels."""
_LEARNING_RATE: Final = 0.03
"""Adam's, of pixels from 0 to 1."""
_SHIFTS: Final = 16
"""The picture is shifted by 0 to 15 pixels each way."""
_LUMINANCE: Final = (0.299, 0.587, 0.114)
"""Weights of R, G and B (ITU-R BT.601)."""

Start = Literal["content", "noise"]


@dataclass(frozen=True, kw_only=True)
class StyleSettings:
    """How a picture is optimised.

    Attributes:
        steps: Steps of Adam, at least 1.
        weights: Of content, style and total variation.
        seed: Of noise and shifts.
        keep_colours: Whether only the luminance of the photo changes (Gatys et al., arXiv:1606.05897, section 3).
        start: From the photo or from noise.
        features: The network whose feature maps are compared.
        device: `cpu`, `cuda` or `cuda:N`.

    Raises:
        ValueError: On construction, where a value is out of its range.
    """

    steps: int = 300
    weights: LossWeights = field(default_factory=LossWeights)
    seed: int = 0
    keep_colours: bool = False
    start: Start = "content"
    features: Features = "efficientnet-lite0"
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, not {self.steps}")


@dataclass(frozen=True, eq=False)
class Frame:
    """Where an optimisation is.

    Attributes:
        step: Steps done.
        steps: Steps of the whole optimisation.
        content: Content loss of the last step, without its weight.
        style: Style loss, likewise.
        total: The weighted sum.
        pixels: (H, W, 3) uint8 RGB, of the photo's size: the picture of the least loss at this size so far.
    """

    step: int
    steps: int
    content: float
    style: float
    total: float
    pixels: NDArray[np.uint8]


class StyleOptimisation:
    """Optimises one picture, some steps at a time.

    Args:
        photo: (H, W, 3) uint8 RGB.
        style: (h, w, 3) uint8 RGB.
        settings: How.

    Raises:
        ValueError: A side of one of them is below `LEAST_SIDE`.
        WeightsUnavailable: The weights of the feature network are not on this machine and cannot be downloaded.
    """

    def __init__(self, photo: NDArray[np.uint8], style: NDArray[np.uint8], settings: StyleSettings) -> None:
        for name, pixels in (("photo", photo), ("style picture", style)):
            if min(pixels.shape[:2]) < LEAST_SIDE:
                height, width = pixels.shape[:2]
                raise ValueError(f"the {name} has {width} x {height} pixels: each side must have {LEAST_SIDE} or more")
        self._settings = settings
        self._photo = _tensor(photo, settings.device)
        self._style = _tensor(style, settings.device)
        self._network = open_features(settings.features, settings.device)
        self._generator = torch.Generator().manual_seed(settings.seed)
        small = min(photo.shape[:2]) < 2 * _LEAST_COARSE_SIDE
        self._coarse_steps = 0 if small else int(_COARSE_SHARE * settings.steps)
        self._step = 0
        self._enter(2 if self._coarse_steps else 1, self._first())

    def advance(self, steps: int) -> Frame:
        """Runs some steps.

        Args:
            steps: At least 1; those beyond the last one are left out.
        """
        losses: Losses | None = None
        for _ in range(min(steps, self._settings.steps - self._step)):
            if self._step == self._coarse_steps and self._step:
                self._enter(1, _resized(self._best, self._photo.shape[2:]))
            losses = self._learn()
            self._step += 1
        assert losses is not None, "the optimisation has ended"
        content, style, total = (float(part.detach()) for part in (losses.content, losses.style, losses.total))
        return Frame(self._step, self._settings.steps, content, style, total, self._picture())

    def _first(self) -> Tensor:
        if self._settings.start == "content":
            return self._photo
        return torch.rand(self._photo.shape, generator=self._generator).to(self._photo.device)

    def _enter(self, factor: int, start: Tensor) -> None:
        """Starts to optimise at the photo's size divided by a factor."""
        height, width = (max(LEAST_SIDE, side // factor) for side in self._photo.shape[2:])
        self._content = _resized(self._photo, (height, width))
        style_sides = [max(LEAST_SIDE, side // factor) for side in self._style.shape[2:]]
        style = _resized(self._style, style_sides)
        self._loss = PerceptualLoss(self._network, style, self._settings.weights)
        first = _resized(start, (height, width))
        self._best, self._least = first.clone(), float("inf")
        self._pixels = first.clone().requires_grad_()
        self._adam = torch.optim.Adam([self._pixels], lr=_LEARNING_RATE)

    def _learn(self) -> Losses:
        down, right = (int(shift) for shift in torch.randint(_SHIFTS, (2,), generator=self._generator))
        shown = self._recoloured(self._pixels).roll((down, right), (2, 3))
        content = self._loss.content_of(self._content.roll((down, right), (2, 3)))
        losses = self._loss(shown, content)
        if float(losses.total.detach()) < self._least:
            self._least, self._best = float(losses.total.detach()), self._pixels.detach().clone()
        self._adam.zero_grad()
        losses.total.backward()  # pyright: ignore[reportUnknownMemberType]
        self._adam.step()  # pyright: ignore[reportUnknownMemberType]
        with torch.no_grad():
            self._pixels.clamp_(0, 1)
        return losses

    def _recoloured(self, pixels: Tensor) -> Tensor:
        """With `keep_colours` the photo's colours at the luminance of the pixels; else the pixels."""
        if not self._settings.keep_colours:
            return pixels
        weights = pixels.new_tensor(_LUMINANCE).view(3, 1, 1)
        change = ((pixels - self._content) * weights).sum(1, keepdim=True)
        return (self._content + change).clamp(0, 1)

    @torch.no_grad()
    def _picture(self) -> NDArray[np.uint8]:
        best = _resized(self._recoloured(self._best), self._photo.shape[2:])
        return (best[0].permute(1, 2, 0) * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()


def _tensor(pixels: NDArray[np.uint8], device: str) -> Tensor:
    return torch.tensor(pixels).to(device).permute(2, 0, 1)[None].float() / 255


def _resized(images: Tensor, size: tuple[int, ...] | list[int] | torch.Size) -> Tensor:
    if tuple(images.shape[2:]) == tuple(size):
        return images
    return functional.interpolate(images, tuple(size), mode="bilinear", antialias=True, align_corners=False)
