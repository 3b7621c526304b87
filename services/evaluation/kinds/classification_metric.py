"""The metric of classifiers: accuracy, precision, recall, F1, average precision, ROC AUC and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.datasets.samples import ClassTarget
from models.metrics.bootstrap import weight_chunks
from models.metrics.calibration import BINS, bin_edges, reliability
from models.metrics.confusion import confusion_matrix
from models.metrics.score_curves import precision_recall_curve
from services.evaluation.kinds.class_figures import Answers, class_scores, figures, mean_separation, separations
from services.evaluation.scoring import Figure, Measured, MetricState, Ranking, Record, bootstrap_protocol

_DRAWN_CLASSES: Final = 60
_LISTED_CONFUSIONS: Final = 30
_CHUNK_BYTES: Final = 4 * 2**20
_CURVE_WORK: Final = 2 * 10**9
"""Images × classes × replicates that average precision and ROC AUC may take: about 10 s of one core."""
_LEAST_CURVE_REPLICATES: Final = 100


@dataclass(frozen=True)
class ClassificationMetric:
    """The metric of classifiers; figures are defined in `models.metrics`.

    Predictions are over all classes of the model. Means are over the measured classes that have an image: a class
    without one has NaN in its row.

    Attributes:
        class_names: The model's.
        measured: Its class ids that the data set has, too.
        seed: Of the bootstrap.
        replicates: Of the bootstrap. Those of average precision and ROC AUC are fewer where images × classes are many.
    """

    class_names: tuple[str, ...]
    measured: tuple[int, ...]
    seed: int = 0
    replicates: int = field(default=1000, kw_only=True)

    def update(self, records: Sequence[Record]) -> MetricState:
        """Reduces records to metric state.

        Args:
            records: N of them, with a `ClassTarget` each. Classes that are not listed have the probability 0, and rank
                below all that are listed.

        Returns:
            `index` (N,) int64; `target`, `prediction` and `rank` (N,) int32: the right class, the first that is
            answered, and the place of the right one (C where it is not listed); `confidence` (N,) float64, the
            probability of the first; `probabilities` (N, C) float32.

        Raises:
            TypeError: A target is of another kind.
            ValueError: An answer lists no class, or one that the model does not have, or a probability that is no
                number (JSON has null for it).
        """
        count = len(records)
        whole = {name: np.zeros(count, np.int32) for name in ("target", "prediction", "rank")}
        confidence, probabilities = np.zeros(count), np.zeros((count, len(self.class_names)), np.float32)
        for place, record in enumerate(records):
            class_ids, found = self._listed(record)
            target = _class_of(record)
            right = np.flatnonzero(class_ids == target)
            whole["target"][place], whole["prediction"][place] = target, class_ids[0]
            whole["rank"][place] = right[0] if len(right) else len(self.class_names)
            confidence[place] = found[0]
            probabilities[place, class_ids] = found
        index = np.array([record.index for record in records], np.int64)
        return {"index": index, **whole, "confidence": confidence, "probabilities": probabilities}

    def compute(self, chunks: Sequence[MetricState]) -> Measured:
        """Computes the figures from the states of all chunks.

        Returns:
            `headline` and `per_class` as in `services.evaluation.kinds.class_figures`. `details`: `confusion` with
            `class_ids` (those that are a target or a prediction) and `matrix` (rows by target), None above 60 classes;
            `most_confused`, at most 30 pairs with their `count`; `curves` with `class_id` (None for all pairs of image
            and class together), `recall` and `precision`, of single classes up to 60; `reliability`. Of `ranking`,
            quality is the probability given to the right class, and wrong confidence the top probability where it
            is another class's.
        """
        answers = Answers.of([self.update([]), *chunks])
        curve_replicates = self._curve_replicates(answers)
        return Measured(
            self._headline(answers, curve_replicates),
            self._rows(answers),
            {
                "confusion": self._confusion(answers),
                "most_confused": _most_confused(answers),
                "curves": self._curves(answers),
                "reliability": _reliability(answers),
            },
            _ranking(answers),
            {
                "calibration_bins": BINS,
                **bootstrap_protocol(self.replicates, self.seed, replicates_average_precision=curve_replicates),
            },
        )

    def _listed(self, record: Record) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        rows: Sequence[Any] = record.answer["predictions"]
        class_ids = np.array([row["class_id"] for row in rows], np.int64)
        if not len(class_ids):
            raise ValueError(f"{record.name}: the answer lists no class")
        if class_ids.min() < 0 or class_ids.max() >= len(self.class_names):
            raise ValueError(f"{record.name}: the answer lists a class that is not in 0 to {len(self.class_names) - 1}")
        probabilities = np.array([row["probability"] for row in rows], np.float64)
        if np.isnan(probabilities).any():
            raise ValueError(f"{record.name}: the answer has a probability that is no number")
        return class_ids, probabilities

    def _curve_replicates(self, answers: Answers) -> int:
        work = max(1, len(answers.target) * len(np.unique(answers.target)))
        return min(self.replicates, max(_LEAST_CURVE_REPLICATES, _CURVE_WORK // work))

    def _headline(self, answers: Answers, curve_replicates: int) -> dict[str, Figure]:
        every = np.ones((len(answers.target), 1))
        values = figures(answers, self.measured, every) | mean_separation(answers, self.measured, every)
        values["ece"] = values.pop("ece")  # last: where lower is better
        drawn: dict[str, list[NDArray[np.float64]]] = {name: [] for name in values}
        done = 0
        for chunk in weight_chunks(len(answers.target), self.replicates, self.seed, _CHUNK_BYTES):
            weights = chunk.T.astype(np.float64, order="C")
            replicates = figures(answers, self.measured, weights)
            if done < curve_replicates:
                replicates |= mean_separation(
                    answers, self.measured, np.ascontiguousarray(weights[:, : curve_replicates - done])
                )
            for name, replicate in replicates.items():
                drawn[name].append(replicate)
            done += len(chunk)
        return {
            name: Figure.of(float(value[0]), np.concatenate([np.zeros(0), *drawn[name]]))
            for name, value in values.items()
        }

    def _rows(self, answers: Answers) -> list[dict[str, Any]]:
        every = np.ones((len(answers.target), 1))
        scores, separated = class_scores(answers, self.measured, every), separations(answers, self.measured, every)
        return [
            {
                "class_id": class_id,
                "class_name": self.class_names[class_id],
                "targets": int(scores.targets[0, place]),
                "precision": float(scores.precision[0, place]),
                "recall": float(scores.recall[0, place]),
                "f1": float(scores.f1[0, place]),
                "average_precision": float(separated.average_precision[place, 0]),
                "roc_auc": float(separated.roc_auc[place, 0]),
            }
            for place, class_id in enumerate(self.measured)
        ]

    def _confusion(self, answers: Answers) -> dict[str, Any] | None:
        class_ids = np.union1d(answers.target, answers.prediction)
        if len(class_ids) > _DRAWN_CLASSES:
            return None
        targets = np.searchsorted(class_ids, answers.target)
        predictions = np.searchsorted(class_ids, answers.prediction)
        matrix = confusion_matrix(targets, predictions, len(class_ids))
        return {"class_ids": class_ids.tolist(), "matrix": matrix.tolist()}

    def _curves(self, answers: Answers) -> list[dict[str, Any]]:
        of_class = answers.target[:, None] == np.arange(len(self.class_names))[None]
        drawn: list[tuple[int | None, Any, Any]] = [(None, answers.probabilities.ravel(), of_class.ravel())]
        if len(self.measured) <= _DRAWN_CLASSES:
            drawn += [(number, answers.probabilities[:, number], of_class[:, number]) for number in self.measured]
        curves = [(class_id, *precision_recall_curve(scores, positive)) for class_id, scores, positive in drawn]
        return [
            {"class_id": class_id, "recall": recall.tolist(), "precision": precision.tolist()}
            for class_id, recall, precision in curves
            if len(recall)
        ]


def _class_of(record: Record) -> int:
    if not isinstance(record.target, ClassTarget):
        raise TypeError(f"{record.name}: a classifier is measured by classes, not by {type(record.target).__name__}")
    return record.target.class_id


def _most_confused(answers: Answers) -> list[dict[str, int]]:
    wrong = answers.target != answers.prediction
    pairs, counts = np.unique(np.stack([answers.target, answers.prediction])[:, wrong], axis=1, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:_LISTED_CONFUSIONS]
    return [
        {"target": int(pairs[0, place]), "prediction": int(pairs[1, place]), "count": int(counts[place])}
        for place in most
    ]


def _reliability(answers: Answers) -> dict[str, Any]:
    found = reliability(answers.confidence, answers.target == answers.prediction, bin_edges())
    return {
        "edges": found.edges.tolist(),
        "confidence": found.confidence.tolist(),
        "accuracy": found.accuracy.tolist(),
        "count": found.count.tolist(),
    }


def _ranking(answers: Answers) -> Ranking:
    quality = np.take_along_axis(answers.probabilities, answers.target[:, None], 1)[:, 0].astype(np.float64)
    wrong = answers.target != answers.prediction
    return Ranking(answers.index, quality, np.where(wrong, answers.confidence, np.nan))
