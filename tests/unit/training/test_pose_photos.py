"""Boxes and key points learn together on whole photos, and augmentation moves key points with their pixels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from models.catalog.loading import load
from models.datasets.photo_dataset import DatasetError, Photo
from models.pose.architectures import build_pose_estimator
from models.runtime import Runtime
from models.training.augmentation import Augmentation, Example, ExampleMaker
from models.training.engine import Schedule
from models.training.keypoint_rcnn_loss import JITTER, jittered, keypoint_rcnn_loss
from models.training.photo_recipe import PhotoSettings
from models.training.photo_run import PhotoOptions
from models.training.photos import PhotoReader
from models.training.pose_photo_run import train_pose_on_photos
from models.training.targets import Target
from tests.photos import encoded, photo
from tests.unit.training.test_pose_run import write_photos

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

ARCHITECTURE = "keypoint-rcnn-efficientnet-lite0"
SIDES = (1, 0)
LEFT, RIGHT = (200, 30, 30), (30, 30, 200)
COLOURLESS = Augmentation(brightness=0, contrast=0, saturation=0, tint=0)


@pytest.fixture
def marked(tmp_path: Path) -> Photo:
    """A photo of one object with a red patch at its left point, and a blue one at its right point."""
    pixels = np.full((60, 80, 3), 120, np.uint8)
    pixels[15:26, 15:26], pixels[35:46, 50:61] = LEFT, RIGHT
    path = tmp_path / "marked.png"
    Image.fromarray(pixels).save(path)
    boxes = np.array([[10, 10, 66, 50]], np.float32)
    points = np.array([[[20.5, 20.5, 2], [55.5, 40.5, 1]]])
    return Photo(path, 1, (60, 80), boxes, np.zeros(1, np.int64), np.zeros((0, 4), np.float32), None, points)


def examples(marked: Photo, how: Augmentation, count: int = 30) -> list[Example]:
    maker = ExampleMaker(PhotoReader([marked], 96), how, seed=1, sides=SIDES)
    return [maker.make(epoch, 0, 128, mosaic=True) for epoch in range(count)]


def colour_at(pixels: NDArray[np.uint8], place: NDArray[np.float32]) -> NDArray[np.uint8]:
    column, row = place.astype(int)
    return pixels[min(row, 127), min(column, 127)]


def test_key_points_stay_on_their_pixels_and_sides_change_in_a_mirror(marked: Photo) -> None:
    for flip, colours in ((0.0, (LEFT, RIGHT)), (1.0, (RIGHT, LEFT))):
        seen = 0
        for example in examples(marked, replace(COLOURLESS, flip=flip, mosaic=0.5, turn=0.5)):
            for points in example.key_points:
                for point, colour in zip(points, colours, strict=True):
                    if point[2] > 0:
                        seen += 1
                        assert np.abs(colour_at(example.pixels, point[:2]) - np.array(colour, np.int16)).max() < 60
        assert seen > 30


def test_a_key_point_beyond_the_picture_is_not_labelled(marked: Photo) -> None:
    enlarged = examples(marked, replace(COLOURLESS, flip=0, mosaic=0, scale=(1.8, 1.8), least_visible=0.05))
    points = np.concatenate([example.key_points for example in enlarged]).reshape(-1, 3)
    inside = ((points[:, :2] >= 0) & (points[:, :2] < 128)).all(1)
    assert (inside == (points[:, 2] > 0)).all()
    assert 0 < inside.sum() < len(points)


def test_examples_have_no_key_points_where_nobody_asks(marked: Photo) -> None:
    example = ExampleMaker(PhotoReader([marked], 96), Augmentation(), seed=1).make(0, 0, 96, mosaic=False)
    assert example.key_points.shape == (len(example.boxes), 0, 3)


def test_the_loss_of_key_points_teaches_the_backbone() -> None:
    torch.manual_seed(0)
    network = build_pose_estimator(ARCHITECTURE, 1, {"key_points": 2}).train()
    boxes = torch.tensor([[8.0, 8, 56, 60], [70, 20, 120, 110]])
    points = torch.tensor([[[20.0, 20, 2], [40, 40, 2]], [[80, 30, 2], [100, 90, 0]]])
    target = Target(boxes, torch.zeros(2, dtype=torch.int64), torch.zeros(0, 4), key_points=points)
    images = torch.randn(1, 3, 128, 128)
    losses = keypoint_rcnn_loss(network, images, [target])
    assert losses.keys() == {
        *("loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg"),
        *("loss_keypoint", "loss_unlabelled"),
    }
    losses["loss_keypoint"].backward()
    gradients = [weights.grad for weights in network.backbone.parameters()]
    assert any(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
    unlabelled = replace(target, key_points=points * torch.tensor([1.0, 1, 0]))
    assert "loss_keypoint" not in keypoint_rcnn_loss(network, images, [unlabelled])


def test_boxes_are_jittered_by_a_share_of_their_sides() -> None:
    boxes = torch.tensor([[0.0, 0, 100, 10]]).repeat(200, 1)
    moved = (jittered(boxes) - boxes).abs() / torch.tensor([100.0, 10, 100, 10])
    assert moved.max() <= JITTER + 1e-6 and moved.amax(0).min() > JITTER / 2


def options(folder: Path, **changes: object) -> PhotoOptions:
    usual = PhotoOptions(
        architecture=ARCHITECTURE,
        data=(folder / "data",),
        output=folder / "out",
        name="learned",
        start="mask-rcnn-person",
        freeze="none",
        precision="fp32",
        settings=PhotoSettings(early_side=128, closing_epochs=0, epochs=1, batch_size=2),
        schedule=Schedule(1, 1e-3),
    )
    return replace(usual, **changes)


def test_every_part_learns_and_the_model_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for split in ("train", "val"):
        write_photos(tmp_path / "data", split)
    card = train_pose_on_photos(options(tmp_path))
    document = json.loads(card.read_text())
    assert document["task"] == "keypoints" and document["preprocessing"]["long_side"] == 416
    assert document["training"]["frozen"] == "none" and document["training"]["start"] == "mask-rcnn-person"
    assert [figure["metric"] for figure in document["accuracy"]][:2] == ["oks_ap", "oks_ap_50"]
    monkeypatch.setenv("TAPETUM_CATALOG", str(card.parent))
    (found,) = load("learned", Runtime(precision="fp32")).predict([encoded(photo("astronaut"), "PNG")])
    assert found.key_points.shape == (len(found.scores), 17, 2)


def test_without_sides_in_the_key_points_no_photo_is_mirrored_and_a_note_says_so(tmp_path: Path) -> None:
    write_photos(tmp_path / "data", "train", names=[f"point {index}" for index in range(17)])
    notes: list[str] = []
    document = json.loads(train_pose_on_photos(options(tmp_path), note=notes.append).read_text())
    assert len(notes) == 1 and "no view is mirrored" in notes[0]
    assert document["training"]["augmentation"]["flip"] == 0.0


def test_photos_without_key_points_are_refused(tmp_path: Path) -> None:
    write_photos(tmp_path / "data", "train", labelled=False)
    with pytest.raises(DatasetError, match="no object has a labelled key point"):
        train_pose_on_photos(options(tmp_path))
