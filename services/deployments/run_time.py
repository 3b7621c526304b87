"""How long a run of a network takes, by the number of its images."""

from __future__ import annotations

MEMORY = 0.95
"""Factor by which the weight of an observation falls with each later one: about the last twenty runs count."""

WORTH_IT = 3.0
"""A batch is not made so small that less than this times the fixed part of its run is work on images."""


class RunTime:
    """Fits seconds = fixed + per image · images by least squares, the latest runs weighing most."""

    def __init__(self) -> None:
        self._runs = self._images = self._squares = self._seconds = self._products = 0.0

    def see(self, images: int, seconds: float) -> None:
        """Record a run."""
        self._runs = self._runs * MEMORY + 1
        self._images = self._images * MEMORY + images
        self._squares = self._squares * MEMORY + images * images
        self._seconds = self._seconds * MEMORY + seconds
        self._products = self._products * MEMORY + images * seconds

    def seconds(self, images: int) -> float:
        """Expected time of a run; 0.0 where none was seen."""
        fixed_s, image_s = self._fit()
        return fixed_s + image_s * images

    def images_within(self, seconds: float) -> int | None:
        """Images of the largest batch that takes no longer, 1 at least; None where there is no bound."""
        fixed_s, image_s = self._fit()
        if image_s <= 0:
            return None
        return max(1, int(max(seconds - fixed_s, WORTH_IT * fixed_s) / image_s))

    def _fit(self) -> tuple[float, float]:
        """Seconds of a run and seconds of an image; where all batches were alike, all is taken for work on images."""
        if not self._runs:
            return 0.0, 0.0
        spread = self._squares * self._runs - self._images**2
        if spread < 1e-6 * self._images**2:
            return 0.0, self._seconds / self._images
        image_s = max(0.0, (self._products * self._runs - self._images * self._seconds) / spread)
        return max(0.0, (self._seconds - image_s * self._images) / self._runs), image_s
