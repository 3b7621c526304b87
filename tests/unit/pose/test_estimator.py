"""People and their key points are those of torchvision's own Keypoint R-CNN, in the pixels of the photo that came."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.models
from PIL import Image

from models.catalog.loading import load
from models.catalog.lookup import find
from models.detection.torchvision_detector_networks import build_torchvision_detector, without_version
from models.entries import LetterboxPreprocessing
from models.entries.skeletons import PERSON
from models.errors import BrokenCard
from models.imaging.letterbox import Letterbox
from models.parameters import PoseParameters
from models.pose.architectures import build_pose_estimator, pose_estimator
from models.pose.estimator import PoseEstimator, restored_points
from models.runtime import Runtime
from models.sources.torchvision_manifest import torchvision_builders
from models.sources.torchvision_weights import find_weights
from tests.photos import encoded
from tests.unit.pose_cards import ARCHITECTURE, ARGUMENTS, pose_entry, write_pose_estimator
from tests.unit.untrained_networks import as_published, settle_norms, spread, torchvisions_own

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

NAME = "torchvision/keypointrcnn_resnet50_fpn"
PLAIN = Runtime(precision="fp32", fuse=False, channels_last=False, backend="torch")
SIDES = (96, 160)
PREPROCESSING = LetterboxPreprocessing(
    *SIDES, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), stride=1, antialias=False
)
EVERYTHING = PoseParameters(score_threshold=0.05, iou_threshold=0.5, max_detections=1000)


def pixels(count: int = 1) -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (count, *SIDES, 3), dtype=np.uint8)


@cache
def untrained(kind: str) -> Any:
    """A Keypoint R-CNN of random weights that sees people all over noise."""
    torch.manual_seed(7)
    if kind == "lite":
        network: Any = build_pose_estimator(ARCHITECTURE, 1, {**ARGUMENTS, "key_points": 17}).eval()
        network.transform.min_size, network.transform.max_size = (SIDES[0],), SIDES[1]
        network.region_margin, network.object_share = 0.0, None  # as torchvision
    else:
        few = {"rpn_post_nms_top_n_test": 50, "rpn_pre_nms_top_n_test": 100, "min_size": SIDES[0], "max_size": SIDES[1]}
        network = torchvision.models.get_model(kind, weights=None, weights_backbone=None, num_classes=2, **few).eval()
    settle_norms(network, pixels(4))
    return spread(network, pixels())


def adapter_of(network: Any, runtime: Runtime = PLAIN) -> PoseEstimator:
    entry = replace(find(NAME), preprocessing=PREPROCESSING)
    return pose_estimator(entry, runtime.resolve(), network, "", first_label=0)


@pytest.mark.parametrize("kind", ["keypointrcnn_resnet50_fpn", "lite"])
def test_people_and_key_points_are_those_of_torchvision(kind: str) -> None:
    network, image = untrained(kind), pixels()
    (expected,) = torchvisions_own(network, image, 0.05, 0.5)
    (found,) = adapter_of(network).predict([encoded(Image.fromarray(image[0]), "PNG")], EVERYTHING)
    assert len(found.scores) == len(expected["scores"]) > 10
    np.testing.assert_allclose(found.scores, expected["scores"], atol=1e-3)
    np.testing.assert_allclose(found.boxes, expected["boxes"], atol=0.1)
    away = np.abs(found.key_points - expected["keypoints"][..., :2].numpy()).max(-1)
    assert (away < 0.2).mean() > 0.99  # where two cells are as likely, rounding decides


def test_folded_networks_find_nearly_the_same_points() -> None:
    network, image = untrained("lite"), encoded(Image.fromarray(pixels()[0]), "PNG")
    (expected,) = adapter_of(network).predict([image], EVERYTHING)
    (found,) = adapter_of(network, Runtime(precision="fp32", backend="torch")).predict([image], EVERYTHING)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)
    assert np.median(np.abs(found.key_points - expected.key_points)) < 0.01
    np.testing.assert_allclose(found.key_point_scores, expected.key_point_scores, atol=0.02)


def test_points_of_a_larger_photo_are_in_its_own_pixels() -> None:
    letterbox = Letterbox.fit((200, 400), LetterboxPreprocessing(100, 100, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)))
    points = torch.tensor([[[50.0, 25.0], [-3.0, 60.0]]])
    assert restored_points(points, letterbox).tolist() == [[[200.0, 100.0], [0.0, 200.0]]]


def test_a_card_is_loaded_by_name(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPETUM_CATALOG", str(write_pose_estimator(tmp_path).parent))
    adapter = load("dolls", Runtime(precision="fp32"))
    (found,) = adapter.predict([encoded(Image.new("RGB", (80, 50), (9, 99, 199)), "PNG")])
    assert 0 < len(found.scores) <= 5
    assert found.key_points.shape[1:] == (3, 2) and found.skeleton.names == ("nose", "left_hand", "right_hand")


def test_a_card_without_key_points_is_refused(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    card = write_pose_estimator(tmp_path)
    card.write_text(card.read_text().replace('"skeleton": {', '"unused": {'))
    monkeypatch.setenv("TAPETUM_CATALOG", str(tmp_path))
    with pytest.raises(BrokenCard, match=r"skeleton|unused"):
        load("dolls", Runtime(precision="fp32"))


def test_a_skeleton_of_another_number_of_key_points_is_refused() -> None:
    network = build_pose_estimator(ARCHITECTURE, 1, ARGUMENTS).eval()
    with pytest.raises(ValueError, match="3 key points, not 17"):
        pose_estimator(replace(pose_entry("dolls"), skeleton=PERSON), PLAIN.resolve(), network, "")


@pytest.mark.parametrize("builder", torchvision_builders("keypoints"))
def test_every_published_state_dict_has_its_place(builder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        published = as_published(f"torchvision/{builder}", monkeypatch).state_dict()
        ours = build_torchvision_detector(find_weights(f"torchvision/{builder}"), builder).state_dict()
    filled_in = {key for key in ours if key.endswith("num_batches_tracked")}
    assert without_version(published).keys() - filled_in == ours.keys() - filled_in
    assert all(ours[key].shape == value.shape for key, value in published.items())


def test_torchvisions_entry_has_cocos_key_points() -> None:
    entry = find(NAME)
    assert entry.kind == "keypoints" and entry.skeleton == PERSON
    assert [figure.metric for figure in entry.accuracy] == ["oks_ap", "box_map"]
