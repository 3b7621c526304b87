"""Predicts the duration of a forward pass from its batch size, by a linear fit of recent runs."""

from __future__ import annotations

MEMORY = 0.95
"""Exponential decay of the weight of an observation with each later one: about the last twenty runs count."""

WORTH_IT = 3.0
"""The least ratio of per-image time to fixed time of a run; limits how small a batch may become."""


class RunTime:
    """Fits seconds = fixed + per image · images by least squares, weighted towards recent runs."""

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
        """Expected duration of a run; 0.0 before the first observation."""
        fixed_s, image_s = self._fit()
        return fixed_s + image_s * images

    def images_within(self, seconds: float) -> int | None:
        """The largest batch within a duration, at least 1; None without a limit."""
        fixed_s, image_s = self._fit()
        if image_s <= 0:
            return None
        return max(1, int(max(seconds - fixed_s, WORTH_IT * fixed_s) / image_s))

    def _fit(self) -> tuple[float, float]:
        """Fixed and per-image seconds; where all batches had one size, the fixed part is 0."""
        if not self._runs:
            return 0.0, 0.0
        spread = self._squares * self._runs - self._images**2
        if spread < 1e-6 * self._images**2:
            return 0.0, self._seconds / self._images
        image_s = max(0.0, (self._products * self._runs - self._images * self._seconds) / spread)
        return max(0.0, (self._seconds - image_s * self._images) / self._runs), image_s
