"""The adversarial training of a generator and a discriminator by the hinge loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Generator as Yields
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.generation.networks import Discriminator, Generator
from models.training.generator_examples import Examples

BETAS: Final = (0.0, 0.99)
"""Of AdamW: no momentum, as in arXiv:1802.05957 and arXiv:1812.04948; arXiv:1511.06434 has 0.5 and 0.999."""
OPPONENT_SCALE: Final = 2.0
"""The discriminator's learning rate as a multiple of the generator's (arXiv:1706.08500)."""
OPPONENT_WIDTH: Final = 2
"""The discriminator's channels as a multiple of the generator's: its maps are smaller, so that both take as long."""


@dataclass(frozen=True)
class Round:
    """What both networks learn from in one step, on their device.

    Attributes:
        images: (N, 1, 28, 28) float32, -1 to 1.
        class_ids: (N,) int64, of the images and of the discriminator's generated ones.
        noise: (N, latent_size) float32, of the discriminator's generated images.
        wanted: (N,) int64, classes of the generator's images, drawn evenly.
        wanted_noise: (N, latent_size) float32.
    """

    images: Tensor
    class_ids: Tensor
    noise: Tensor
    wanted: Tensor
    wanted_noise: Tensor


class GeneratorRecipe:
    """A `models.training.engine.AdversarialRecipe` for a conditional generator.

    Both losses are hinges (arXiv:1705.02894, arXiv:1802.05957): the discriminator's scores of real images are to be
    above 1 and those of generated ones below -1, the generator's images are to get high scores.

    Args:
        network: What learns, on its device.
        opponent: The discriminator, on the same device.
        examples: Real images.
        evaluate: Measures a generator, see `models.training.engine.Recipe.evaluate`.
        batch_size: Images a step, real ones and generated ones.
        seed: Of the order of images and of noise.
    """

    def __init__(
        self,
        network: Generator,
        opponent: Discriminator,
        examples: Examples,
        evaluate: Callable[[nn.Module], Mapping[str, float]],
        batch_size: int,
        seed: int,
    ) -> None:
        self.network: nn.Module = network
        self.opponent: nn.Module = opponent
        self._latent_size = network.latent_size
        self._class_count = network.class_count
        self._device = next(network.parameters()).device
        self._examples = examples
        self._evaluate = evaluate
        self._batch_size = min(batch_size, len(examples))
        self._seed = seed

    def parameter_groups(self) -> Sequence[dict[str, Any]]:
        """See `models.training.engine.Recipe.parameter_groups`."""
        return ({"params": list(self.network.parameters()), "betas": BETAS},)

    def opponent_groups(self) -> Sequence[dict[str, Any]]:
        """See `models.training.engine.AdversarialRecipe.opponent_groups`."""
        return ({"params": list(self.opponent.parameters()), "betas": BETAS, "scale": OPPONENT_SCALE},)

    def steps_per_epoch(self) -> int:
        """See `models.training.engine.Recipe.steps_per_epoch`; what does not fill a batch is left out."""
        return len(self._examples) // self._batch_size

    def batches(self, epoch: int, first: int) -> Iterator[Round]:
        """See `models.training.engine.Recipe.batches`."""
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self._examples))
        for step in range(first, self.steps_per_epoch()):
            chosen = order[step * self._batch_size :][: self._batch_size]
            yield self._round(chosen, np.random.default_rng((self._seed, epoch, step)))

    def losses(self, batch: Round) -> dict[str, Tensor]:
        """See `models.training.engine.Recipe.losses`: the generator's."""
        with _frozen(self.opponent):
            scores = self._scores(self.network(batch.wanted_noise, batch.wanted), batch.wanted)
        return {"generator": -scores.mean()}

    def opponent_losses(self, batch: Round) -> dict[str, Tensor]:
        """See `models.training.engine.AdversarialRecipe.opponent_losses`: the discriminator's."""
        with torch.no_grad():
            generated: Tensor = self.network(batch.noise, batch.class_ids).float()
        both = torch.cat([batch.images, generated])
        real, fake = self._scores(both, batch.class_ids.repeat(2)).chunk(2)
        return {"discriminator": functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()}

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """See `models.training.engine.Recipe.evaluate`."""
        return dict(self._evaluate(network))

    def _scores(self, images: Tensor, class_ids: Tensor) -> Tensor:
        scores: Tensor = self.opponent(images, class_ids)
        return scores.float()

    def _round(self, chosen: NDArray[np.int64], rng: np.random.Generator) -> Round:
        count = len(chosen)
        noise = rng.standard_normal((2, count, self._latent_size), np.float32)
        return Round(
            images=self._put(self._examples.images[chosen][:, None].astype(np.float32) / 127.5 - 1),
            class_ids=self._put(self._examples.class_ids[chosen]),
            noise=self._put(noise[0]),
            wanted=self._put(rng.integers(self._class_count, size=count)),
            wanted_noise=self._put(noise[1]),
        )

    def _put(self, values: NDArray[Any]) -> Tensor:
        return torch.as_tensor(values).to(self._device)


@contextmanager
def _frozen(network: nn.Module) -> Yields[None]:
    """While it is entered, gradients go through a network, and not to its parameters."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)
