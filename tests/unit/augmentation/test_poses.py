"""Augmented poses: every view looks at the same boxes, and a mirrored view has left and right the other way round."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from models.augmentation.augmented import View
from models.augmentation.choice import augmented, views_of, with_views
from models.augmentation.pose import AugmentedPoseEstimator
from models.detection.candidates import Candidates
from models.entries.skeletons import Skeleton
from models.parameters import PoseParameters
from models.pose.estimator import PoseEstimator
from models.pose.heat_maps import HeatMaps
from models.pose.keypoint_regions import RegionPoints
from models.runtime import Runtime
from tests.photos import BLUE, GREEN, RED, encoded
from tests.unit.pose_cards import pose_entry

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE = 56
"""Cells of a heat map a side."""


class ColourFinder:
    """One doll around all bright pixels; nose, left and right hand at the middle of the red, green and blue pixels.

    In a mirror image the left hand is where the right one was, as a network that knows left and right would say.
    """

    def region_points(self, pixels: np.ndarray) -> list[RegionPoints]:
        return [self._found(image) for image in pixels]

    def _found(self, image: np.ndarray) -> RegionPoints:
        colours = [(image == colour).all(2) for colour in (RED, GREEN, BLUE)]
        rows, columns = np.nonzero(np.any(colours, 0))
        box = [columns.min() - 4.0, rows.min() - 4.0, columns.max() + 5.0, rows.max() + 5.0]
        middles = [np.array([np.nonzero(part)[1].mean(), np.nonzero(part)[0].mean()]) + 0.5 for part in colours]
        if middles[1][0] > middles[2][0]:  # the green hand is on the right: a mirror image
            middles[1], middles[2] = middles[2], middles[1]

        def maps_of(boxes: torch.Tensor) -> HeatMaps:
            logits = torch.zeros(len(boxes), 3, SIDE, SIDE)
            for row, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
                for point, (x, y) in enumerate(middles):
                    across = (torch.arange(SIDE) + 0.5 - (x - x0) / (x1 - x0) * SIDE) ** 2
                    down = (torch.arange(SIDE) + 0.5 - (y - y0) / (y1 - y0) * SIDE) ** 2
                    logits[row, point] = -(across[None] + down[:, None])
            return HeatMaps(logits, boxes, None)

        return RegionPoints(
            Candidates(torch.tensor([box]), torch.tensor([0.9]), torch.zeros(1, dtype=torch.int64)), maps_of
        )


@pytest.fixture
def adapter() -> PoseEstimator:
    entry = pose_entry("dolls")
    preprocessing = replace(entry.preprocessing, short_side=128, long_side=128, antialias=False)
    entry = replace(entry, preprocessing=preprocessing)
    return PoseEstimator(entry, ("doll",), Runtime(precision="fp32").resolve(), ColourFinder(), "")


def doll() -> bytes:
    """128 × 128 pixels: red nose in the middle above, green hand on the left, blue hand on the right and lower."""
    image = Image.new("RGB", (128, 128), (5, 5, 5))
    pen = ImageDraw.Draw(image)
    for colour, (x, y) in ((RED, (60, 30)), (GREEN, (30, 70)), (BLUE, (100, 90))):
        pen.rectangle((x - 3, y - 3, x + 2, y + 2), fill=colour)
    return encoded(image, "PNG")


EVERYTHING = PoseParameters(score_threshold=0.1, augment=True)
PLACES = [[60, 30], [30, 70], [100, 90]]


@pytest.mark.parametrize("views", [[View()], [View(mirrored=True)], [View(), View(mirrored=True)]])
def test_points_are_where_they_are_without_augmentation(adapter: PoseEstimator, views: list[View]) -> None:
    merged = with_views(adapter, views)
    assert isinstance(merged, AugmentedPoseEstimator)
    (plain,), (found,) = adapter.predict([doll()], EVERYTHING), merged.predict([doll()], EVERYTHING)
    np.testing.assert_allclose(plain.key_points[0], PLACES, atol=3)
    np.testing.assert_allclose(found.key_points[0], PLACES, atol=3)
    np.testing.assert_allclose(found.boxes, plain.boxes, atol=1)
    assert found.scores.tolist() == pytest.approx([0.9])


def test_left_and_right_agree_between_the_views(adapter: PoseEstimator) -> None:
    """Averaged without the swap, the hands would be torn between both sides, and their scores would be halves."""
    merged = with_views(adapter, [View(), View(mirrored=True)])
    assert merged is not None
    (plain,), (found,) = adapter.predict([doll()], EVERYTHING), merged.predict([doll()], EVERYTHING)
    np.testing.assert_allclose(found.key_point_scores, plain.key_point_scores, atol=0.1)


def test_a_pose_estimator_gets_the_views_of_a_detector(adapter: PoseEstimator) -> None:
    found = augmented(adapter)
    assert isinstance(found, AugmentedPoseEstimator) and found.view_count == 6


def test_no_view_is_mirrored_where_no_key_point_has_another_side(adapter: PoseEstimator) -> None:
    adapter.entry = replace(adapter.entry, skeleton=Skeleton.of(["head", "neck", "tail"]))
    assert not any(view.mirrored for view in views_of(adapter))


def test_without_objects_there_are_no_poses(adapter: PoseEstimator) -> None:
    merged = with_views(adapter, [View(), View(mirrored=True)])
    assert merged is not None
    (found,) = merged.predict([doll()], PoseParameters(score_threshold=1.0, augment=True))
    assert found.key_points.shape == (0, 3, 2)
