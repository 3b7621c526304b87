"""Prediction drift: compares the distributions of top scores and classes with those of the evaluation (PSI).

It needs no ground truth and stores no image: one class and one score are counted for each prediction. Drift shows that
the images or the model have changed, not that accuracy has dropped. See `docs/accuracy.md`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

SCORE_BINS: Final = 10
"""Bins of equal width over scores from 0 to 1."""

TOP_CLASSES: Final = 20
"""Classes with their own bin, the most frequent of the reference; the others share one."""

SMOOTHING: Final = 0.5
"""Added to every count (additive smoothing), so that an empty bin on one side gives a finite index."""

MIN_IMAGES: Final = 100
"""The least images on either side of a comparison: with fewer, sampling noise would look like drift."""


class Summary(NamedTuple):
    """The class and score of one prediction that are counted.

    Attributes:
        class_id: The best class, the class of the best object, or the class with the most pixels; None without objects.
        score: 0 to 1: its probability, its score, or the share of the image's pixels that are not background.
    """

    class_id: int | None
    score: float


NOTHING: Final = Summary(None, 0.0)
"""The summary of an image without objects."""


def summarise(answer: Mapping[str, Any]) -> Summary | None:
    """Summarises a prediction by its best class and score.

    Args:
        answer: As `services.answers.wire.describe_prediction` writes it, best first, whatever the task.

    Returns:
        The summary; None of images that a model made, and of several predictions.
    """
    if "parts" in answer:
        return None
    rows: Sequence[Mapping[str, Any]] = answer["predictions"]
    if not rows:
        return NOTHING
    best = rows[0]
    if "png" in best:
        return None
    if "fraction" in best and "box" not in best:
        return Summary(best["class_id"], min(1.0, sum(row["fraction"] for row in rows)))
    return Summary(best["class_id"], best["score"] if "score" in best else best["probability"])


def score_bin(score: float) -> int:
    """The bin of a score, 0 to `SCORE_BINS` - 1; each holds its lower edge, and the last one 1.0, too."""
    return min(SCORE_BINS - 1, max(0, int(score * SCORE_BINS)))


@dataclass
class Distribution:
    """Histograms of the scores and classes of predictions.

    Attributes:
        score_counts: Images by the bin of their score.
        class_counts: Images by their class; None for images without objects.
        images: Number of images.
    """

    score_counts: list[int] = field(default_factory=lambda: [0] * SCORE_BINS)
    class_counts: dict[int | None, int] = field(default_factory=dict[int | None, int])
    images: int = 0

    def add(self, summary: Summary) -> None:
        """Counts one prediction."""
        self.count(summary.class_id, score_bin(summary.score))

    def count(self, class_id: int | None, bin_index: int) -> None:
        """Counts one prediction by the bin of its score."""
        self.score_counts[bin_index] += 1
        self.class_counts[class_id] = self.class_counts.get(class_id, 0) + 1
        self.images += 1

    def merge(self, other: Distribution) -> None:
        """Adds the counts of another distribution."""
        self.score_counts = [one + more for one, more in zip(self.score_counts, other.score_counts, strict=True)]
        for class_id, count in other.class_counts.items():
            self.class_counts[class_id] = self.class_counts.get(class_id, 0) + count
        self.images += other.images

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON-able values; `from_dict` is the inverse. The class "" stands for images without
        objects."""
        classes = {"" if class_id is None else str(class_id): count for class_id, count in self.class_counts.items()}
        return {"score_counts": list(self.score_counts), "class_counts": classes, "images": self.images}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Distribution:
        """The inverse of `to_dict`.

        Raises:
            ValueError: it is not what `to_dict` writes.
        """
        try:
            scores = [int(count) for count in document["score_counts"]]
            classes = {int(name) if name else None: int(n) for name, n in document["class_counts"].items()}
            images = int(document["images"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"not a distribution of answers: {error!r}") from None
        if len(scores) != SCORE_BINS or min([*scores, *classes.values()]) < 0:
            raise ValueError(f"a distribution has {SCORE_BINS} score counts, and none of its counts is below 0")
        if sum(scores) != images or sum(classes.values()) != images:
            raise ValueError(f"the counts of a distribution do not add up to its {images} images")
        return cls(scores, classes, images)


def population_stability_index(reference: Sequence[int], observed: Sequence[int]) -> float:
    """Population stability index (PSI) of two histograms: Σ (o − r) ln(o / r) over the shares of their bins.

    It is symmetric, 0 for equal shares and without an upper limit. Usual interpretation: below 0.1 no change, 0.1 to
    0.25 some, above 0.25 a large one (N. Siddiqi, "Credit Risk Scorecards", Wiley 2006, chapter 9; a rule of thumb, no
    test). What chance alone gives is `expected_by_chance`.

    Args:
        reference: (B,) counts.
        observed: (B,) counts of the same bins.

    Returns:
        At least 0. Bins that are empty on both sides are left out, and to all other counts `SMOOTHING` is added. NaN
        where one side has no image.

    Raises:
        ValueError: the numbers of bins differ.
    """
    pairs = _occupied(reference, observed)
    if not sum(reference) or not sum(observed):
        return math.nan
    expected_total = sum(reference) + SMOOTHING * len(pairs)
    observed_total = sum(observed) + SMOOTHING * len(pairs)
    index = 0.0
    for expected, seen in pairs:
        one, other = (expected + SMOOTHING) / expected_total, (seen + SMOOTHING) / observed_total
        index += (other - one) * math.log(other / one)
    return index


def expected_by_chance(reference: Sequence[int], observed: Sequence[int]) -> float:
    """Expected PSI of two samples from the same distribution.

    It is (B − 1) (1/N + 1/M) for B bins and N and M images: under that hypothesis the index divided by (1/N + 1/M)
    nears a chi-squared distribution with B − 1 degrees of freedom (B. Yurdakul and J. Naranjo, "Statistical properties
    of the population stability index", Journal of Risk Model Validation 14(4), 2020).

    Args:
        reference: (B,) counts.
        observed: (B,) counts of the same bins; those that are empty on both sides are not among the B.

    Returns:
        At least 0; NaN where one side has no image.

    Raises:
        ValueError: the numbers of bins differ.
    """
    pairs = _occupied(reference, observed)
    total, seen = sum(reference), sum(observed)
    return (len(pairs) - 1) * (1 / total + 1 / seen) if total and seen else math.nan


def _occupied(reference: Sequence[int], observed: Sequence[int]) -> list[tuple[int, int]]:
    return [pair for pair in zip(reference, observed, strict=True) if pair != (0, 0)]


def class_bins(reference: Distribution, observed: Distribution) -> tuple[list[int], list[int]]:
    """Counts of the reference's `TOP_CLASSES` most frequent classes, and of all others together.

    Images without objects count as a class. Of equally frequent classes the one with the lower id comes first.

    Returns:
        Two lists of the same length, at most `TOP_CLASSES` + 1: of the reference, and of what was observed.
    """
    order = sorted(reference.class_counts.items(), key=lambda item: (-item[1], -1 if item[0] is None else item[0]))
    top = [class_id for class_id, _ in order[:TOP_CLASSES]]
    columns = [[one.class_counts.get(class_id, 0) for class_id in top] for one in (reference, observed)]
    rests = (one.images - sum(column) for one, column in zip((reference, observed), columns, strict=True))
    expected, seen = ([*column, rest] for column, rest in zip(columns, rests, strict=True))
    return expected, seen


@dataclass(frozen=True)
class Comparison:
    """Drift of one quantity, scores or classes.

    Attributes:
        index: `population_stability_index`.
        by_chance: `expected_by_chance`.
    """

    index: float
    by_chance: float

    @classmethod
    def of(cls, reference: Sequence[int], observed: Sequence[int]) -> Comparison:
        """Compares two histograms of the same bins."""
        return cls(population_stability_index(reference, observed), expected_by_chance(reference, observed))


def compare(reference: Distribution, observed: Distribution) -> dict[str, Comparison]:
    """Compares the distribution of recent predictions with that of the evaluation.

    Returns:
        Comparisons of `score` and `class`; empty where either side has fewer than `MIN_IMAGES` images.
    """
    if min(reference.images, observed.images) < MIN_IMAGES:
        return {}
    return {
        "score": Comparison.of(reference.score_counts, observed.score_counts),
        "class": Comparison.of(*class_bins(reference, observed)),
    }
