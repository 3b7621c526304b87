"""Feedback on poses: reads ground truth with key points, and compares an answer with it by OKS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, StrictInt

from models.datasets.key_points import BODY_SHARE
from models.metrics.coco.image_results import GroundTruth, Predictions
from models.metrics.coco.key_points import is_labelled, oks
from models.metrics.coco.pairing import Pairs
from services.gateway.accuracy.feedback_metrics import IOU_THRESHOLD, Counts, compared_classes, count_matches
from services.gateway.accuracy.ground_truth import checked_target, class_ids_of, clipped_box, wrong_target
from services.gateway.accuracy.ground_truth_schemas import MAX_OBJECTS, Edge, ToldBase, ToldObject
from services.gateway.serving.offload import NO_LIMIT, TimeLimit
from services.kinds.detection import BOX_MEMBERS

_MAX_NUMBERS: Final = 3000


class ToldPose(ToldObject):
    """One ground-truth object with its key points as COCO's files have them: x, y and v of each."""

    keypoints: Annotated[tuple[Edge | StrictInt, ...], Field(max_length=_MAX_NUMBERS, fail_fast=True)] | None = None
    area: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] | None = None


class PosesTruth(ToldBase):
    """All objects of the image; may be empty."""

    objects: Annotated[tuple[ToldPose, ...], Field(max_length=MAX_OBJECTS, fail_fast=True)]


@dataclass(frozen=True, eq=False)
class TruePoses:
    """The objects of an image with their key points.

    Attributes:
        class_ids: Ids of each one's class name, as in `services.gateway.accuracy.ground_truth.TrueClass`.
        targets: The objects; the class ids in it are not used.
        sigmas: Of the model's skeleton.
    """

    class_ids: tuple[frozenset[int], ...]
    targets: GroundTruth
    sigmas: tuple[float, ...]


def read_poses(
    target: Mapping[str, Any], entry: Mapping[str, Any], size: tuple[int, int], _: TimeLimit = NO_LIMIT
) -> TruePoses:
    """Checks the objects of an image; see `services.gateway.accuracy.feedback_kinds.FeedbackKind.read`.

    An object without key points is unlabelled: it counts neither for nor against the model.
    """
    objects = checked_target(PosesTruth, target).objects
    sigmas: tuple[float, ...] = tuple(entry["skeleton"]["sigmas"])
    class_ids = tuple(
        class_ids_of(one.class_name, entry, f"objects.{index}.class") for index, one in enumerate(objects)
    )
    boxes: list[tuple[float, ...]] = []
    points: list[NDArray[np.float64]] = []
    for index, one in enumerate(objects):
        if one.mask is not None:
            raise wrong_target(f"objects.{index}.mask", "this model finds boxes and key points")
        boxes.append(clipped_box(one.box, size, f"objects.{index}"))
        points.append(_points_of(one, len(sigmas), f"objects.{index}.keypoints"))
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    usual = np.prod(corners[:, 2:] - corners[:, :2], 1) * BODY_SHARE
    areas = np.array([one.area or area for one, area in zip(objects, usual.tolist(), strict=True)], np.float64)
    crowds = np.array([one.crowd for one in objects], bool)
    known = np.array(points, np.float64).reshape(-1, len(sigmas), 3)
    return TruePoses(
        class_ids, GroundTruth(corners, np.zeros(len(objects), np.int64), areas, crowds, None, known), sigmas
    )


def judge_poses(
    answer: Mapping[str, Any],
    truth: TruePoses,
    class_ids: Sequence[int] | None,
    classes: int,
    limit: TimeLimit = NO_LIMIT,
) -> Counts:
    """Matches predicted objects with their targets greedily by descending score, each to the unmatched target of its
    class with the highest OKS.

    Args:
        answer: As `services.answers.wire.describe_prediction` writes it.
        truth: The objects of the image.
        class_ids: The requested classes; targets of other classes are ignored. None for all.
        classes: Number of the model's classes.
        limit: Time limit of the request.

    Returns:
        `matched`, `found`, `targets`, and `similarity`, the sum of the OKS of the matched.

    Raises:
        OutOfTime: the time limit has passed, or the client has disconnected.
    """
    limit.check()
    rows: Sequence[Mapping[str, Any]] = answer["predictions"]
    wanted, same_class = compared_classes(rows, truth.class_ids, class_ids, classes)
    ignored = truth.targets.crowds | ~is_labelled(truth.targets)
    similar = oks(truth.targets, predictions_of(rows, len(truth.sigmas)), truth.sigmas, limit.check)
    predictions, targets = np.nonzero((similar >= IOU_THRESHOLD) & same_class)
    pairs = Pairs(predictions, targets, similar[predictions, targets])
    return count_matches(pairs, len(rows), wanted, ignored, truth.targets.crowds, "similarity")


def predictions_of(rows: Sequence[Mapping[str, Any]], points: int) -> Predictions:
    """The objects of an answer as arrays, with the key points that it has, visible or not."""
    boxes = [[row["box"][member] for member in BOX_MEMBERS] for row in rows]
    places = [[(point["x"], point["y"]) for point in row["keypoints"]] for row in rows]
    return Predictions(
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array([row["class_id"] for row in rows], np.int64),
        np.array([row["score"] for row in rows], np.float64),
        None,
        np.array(places, np.float64).reshape(-1, points, 2),
    )


def poses_as_truth(answer: Mapping[str, Any], ids: Sequence[frozenset[int]], sigmas: tuple[float, ...]) -> TruePoses:
    """An answer in the place of ground truth, to compare another one with.

    Args:
        answer: As for `judge_poses`.
        ids: Class ids of each of its objects.
        sigmas: Of the skeleton.
    """
    found = predictions_of(answer["predictions"], len(sigmas))
    assert found.key_points is not None
    seen = np.full((*found.key_points.shape[:2], 1), 2.0)
    areas = np.prod(found.boxes[:, 2:] - found.boxes[:, :2], 1) * BODY_SHARE
    known = np.concatenate([found.key_points, seen], 2)
    nothing = np.zeros(len(found.scores), bool)
    return TruePoses(tuple(ids), GroundTruth(found.boxes, found.class_ids, areas, nothing, None, known), sigmas)


def _points_of(told: ToldPose, count: int, member: str) -> NDArray[np.float64]:
    if not told.keypoints:
        return np.zeros((count, 3))
    if len(told.keypoints) != 3 * count:
        raise wrong_target(member, f"must have x, y and v of the model's {count} key points, {3 * count} numbers")
    points = np.array(told.keypoints, np.float64).reshape(count, 3)
    if not np.isin(points[:, 2], (0, 1, 2)).all():
        raise wrong_target(
            member, "the third number of a key point must be 0 (not labelled), 1 (hidden) or 2 (visible)"
        )
    return points
