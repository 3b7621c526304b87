"""Average precision by OKS, for the card of a model that was trained."""

from itertools import islice
from typing import Final

import numpy as np

from models.datasets.labelled_photos import LabelledPhotos
from models.datasets.samples import ObjectTarget, Sample
from models.metrics.coco.image_results import ImageResult, Predictions
from models.metrics.coco.key_points import MAX_POSES, oks_figures
from models.metrics.coco.matches import Matches
from models.metrics.coco.matching import match_images
from models.parameters import PoseParameters
from models.pose.estimator import PoseEstimator
from models.predictions import Poses
from models.training.answers import answers

_PART: Final = 64
"""Photos whose predictions are in memory at a time."""
_SCORE_FLOOR: Final = 0.001


def pose_accuracy(adapter: PoseEstimator, dataset: LabelledPhotos) -> dict[str, float]:
    """Measures a loaded pose estimator on the people that it finds itself.

    Args:
        adapter: The model; its classes and key points are those of the data set.
        dataset: What to measure on, read for `keypoints`.

    Returns:
        By the names of `models.metrics.coco.key_points.HEADLINES`, 0 to 1; NaN where there is no such person.

    Raises:
        DatasetError: See `models.training.answers.answers`.
    """
    assert dataset.skeleton is not None
    sigmas = dataset.skeleton.sigmas
    found = answers(adapter, dataset, PoseParameters(_SCORE_FLOOR, max_detections=MAX_POSES))
    results = (_result(sample, prediction) for sample, prediction in found)
    parts = iter(lambda: list(islice(results, _PART)), [])
    matches = Matches.joined([match_images(part, False, MAX_POSES, sigmas) for part in parts])
    return oks_figures(matches, range(len(dataset.class_names)))


def _result(sample: Sample, prediction: Poses) -> ImageResult:
    assert isinstance(sample.target, ObjectTarget)
    found = Predictions(
        prediction.boxes.astype(np.float64),
        prediction.class_ids,
        prediction.pose_scores.astype(np.float64),
        None,
        prediction.key_points.astype(np.float64),
    )
    return ImageResult(sample.image_id, prediction.image_size, sample.target, found)
