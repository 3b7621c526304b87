"""Model cards of pose estimators that nobody trained, for tests of what goes on around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from models.catalog.cards import write_card
from models.entries import POSE_DEFAULTS, Accuracy, CatalogEntry, LetterboxPreprocessing, WeightsSource
from models.entries.skeletons import Skeleton
from models.pose.architectures import build_pose_estimator

ARCHITECTURE = "keypoint-rcnn-efficientnet-lite0"
ARGUMENTS = {"key_points": 3, "width": 16, "region_width": 16, "branch_width": 16, "branch_depth": 1}
SKELETON = Skeleton.of(["nose", "left_hand", "right_hand"], [(0, 1), (0, 2)])


def pose_entry(name: str) -> CatalogEntry:
    """What the card says, but for its weights."""
    return CatalogEntry(
        name=name,
        version="3",
        task="keypoints",
        architecture=ARCHITECTURE,
        arguments=ARGUMENTS,
        weights=WeightsSource("card", "", None, "CC0-1.0", "chance"),
        preprocessing=LetterboxPreprocessing(64, 64, (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),
        class_count=1,
        licence="Apache-2.0",
        accuracy=(Accuracy("nothing", "oks_ap", 0.125, "made up"),),
        description="Sees dolls everywhere.",
        defaults={**POSE_DEFAULTS, "score_threshold": 0.3, "max_detections": 5, "keypoint_threshold": 0.0},
        class_names=("doll",),
        skeleton=SKELETON,
    )


def write_pose_estimator(folder: Path, name: str = "dolls") -> Path:
    """A small pose estimator that is sure to see dolls all over the place.

    Returns:
        Path of the card.
    """
    torch.manual_seed(5)
    entry = pose_entry(name)
    network: Any = build_pose_estimator(ARCHITECTURE, 1, ARGUMENTS).eval()
    with torch.no_grad():
        network.roi_heads.box_predictor.cls_score.bias[1] = 5
        network.roi_heads.keypoint_predictor.weight.normal_(0, 0.5)
    return write_card(folder, entry, network.state_dict())
