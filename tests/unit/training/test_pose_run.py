"""A detector learns key points from a folder in COCO's format, and its boxes stay what they were."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.catalog.loading import load
from models.catalog.lookup import find
from models.datasets.key_points import BODY_SHARE
from models.datasets.photo_dataset import DatasetError
from models.entries import LetterboxPreprocessing
from models.entries.skeletons import PERSON, Skeleton
from models.pose.architectures import build_pose_estimator
from models.pose.heat_maps import regions_around
from models.runtime import Runtime
from models.training.engine import Schedule
from models.training.keypoint_loss import keypoint_loss
from models.training.photo_data import read_photo_data
from models.training.pose_recipe import PoseSettings
from models.training.pose_regions import PooledRegions, RegionMaker, mirrored
from models.training.pose_run import PoseOptions, train_pose
from tests.photos import encoded, photo

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

PLAIN = Runtime(precision="fp32")


def write_photos(folder: Path, split: str, *, labelled: bool = True, names: Sequence[str] = PERSON.names) -> None:
    """Two photos of an astronaut with made-up key points."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for number in (1, 2):
        name = f"{split}{number}.png"
        photo("astronaut").resize((128, 128)).save(folder / "images" / name)
        images.append({"id": number, "file_name": name, "width": 128, "height": 128})
        points = [number for index in range(17) for number in (20 + 4 * index, 30 + 4 * index, 2 * labelled)]
        row = {"id": number, "image_id": number, "category_id": 1, "bbox": [10, 5, 90, 120], "area": 6000}
        annotations.append({**row, "iscrowd": 0, "keypoints": points})
    category = {"id": 1, "name": "person", "keypoints": list(names), "skeleton": []}
    document = {"images": images, "annotations": annotations, "categories": [category]}
    (folder / f"keypoints_{split}.json").write_text(json.dumps(document))


def options(folder: Path, **changes: object) -> PoseOptions:
    usual = PoseOptions(
        architecture="keypoint-rcnn-efficientnet-lite0",
        data=(folder / "data",),
        output=folder / "out",
        name="learned",
        precision="fp32",
        settings=PoseSettings(views=2, epochs=2, share=1.0, batch_size=4),
        schedule=Schedule(2, 1e-3),
    )
    return replace(usual, **changes)


def test_a_trained_model_answers_and_its_boxes_are_those_of_its_start(tmp_path, monkeypatch) -> None:
    for split in ("train", "val"):
        write_photos(tmp_path / "data", split)
    told: list[tuple[int, int]] = []
    card = train_pose(options(tmp_path), prepared=lambda done, photos: told.append((done, photos)))
    assert told == [(1, 2), (2, 2), (1, 2), (2, 2)]
    document = json.loads(card.read_text())
    assert document["task"] == "keypoints" and document["skeleton"]["names"] == list(PERSON.names)
    assert document["training"]["regions"] == 2 * 2 * 2 and document["training"]["held_out"].keys() == {"oks", "oks_50"}
    assert [figure["metric"] for figure in document["accuracy"]][:2] == ["oks_ap", "oks_ap_50"]
    monkeypatch.setenv("TAPETUM_CATALOG", str(card.parent))
    image = encoded(photo("astronaut"), "PNG")
    (found,) = load("learned", PLAIN).predict([image])
    (before,) = load("mask-rcnn-person", PLAIN).predict([image])
    np.testing.assert_allclose(found.boxes, before.boxes, atol=0.01)
    np.testing.assert_allclose(found.scores, before.scores, atol=1e-4)
    assert found.key_points.shape == (len(found.scores), 17, 2)


def test_a_second_call_reads_the_regions_of_the_first(tmp_path) -> None:
    for split in ("train", "val"):
        write_photos(tmp_path / "data", split)
    train_pose(options(tmp_path))
    told: list[int] = []
    train_pose(options(tmp_path), prepared=lambda done, photos: told.append(done))
    assert told == []


def test_without_sides_in_the_key_points_no_view_is_mirrored_and_a_note_says_so(tmp_path) -> None:
    write_photos(tmp_path / "data", "train", names=[f"point {index}" for index in range(17)])
    notes: list[str] = []
    document = json.loads(train_pose(options(tmp_path), note=notes.append).read_text())
    assert len(notes) == 1 and "no view is mirrored" in notes[0]
    assert document["training"]["flip"] is False and document["training"]["augmentation"] == {"flip": 0.0}


def test_regions_of_another_network_or_of_a_stopped_call_are_made_anew(tmp_path) -> None:
    write_photos(tmp_path / "data", "train")
    data = read_photo_data((tmp_path / "data",), "keypoints").training
    skeleton, preprocessing = data.skeleton, find("mask-rcnn-person").preprocessing
    assert skeleton is not None and isinstance(preprocessing, LetterboxPreprocessing)
    network = build_pose_estimator("keypoint-rcnn-efficientnet-lite0", 1, {"key_points": 17}).eval()
    told: list[int] = []

    def tell(done: int, _photos: int) -> None:
        told.append(done)

    def stop(_done: int, _photos: int) -> None:
        raise KeyboardInterrupt

    def make(long_side: int = 128, tell: Callable[[int, int], None] = tell) -> PooledRegions:
        sizes = replace(preprocessing, short_side=long_side, long_side=long_side)
        maker = RegionMaker(network, sizes, PLAIN.resolve(), skeleton, seed=0)
        return maker.make(data, 0, tmp_path, "train", tell)

    regions = make()
    width, height = 90 * 128 / 128, 120 * 128 / 128
    around = regions_around(torch.tensor([[0.0, 0.0, width, height]]), getattr(network, "region_margin", 0.0))
    share = width * height / (around[0, 2:] - around[0, :2]).prod().item()
    assert regions.areas == pytest.approx([BODY_SHARE * share * 28**2] * 2, rel=1e-3)
    assert make() is not None and told == [1, 2]
    make(96)
    assert told == [1, 2] * 2
    with torch.no_grad():
        next(iter(network.backbone.parameters())).add_(1)
    make(96)
    assert told == [1, 2] * 3
    with pytest.raises(KeyboardInterrupt):
        make(128, stop)
    make(96)  # that had been kept, and was overwritten
    assert told == [1, 2] * 4


def test_people_without_key_points_teach_nothing(tmp_path) -> None:
    write_photos(tmp_path / "data", "train", labelled=False)
    with pytest.raises(DatasetError, match="no object has a labelled key point"):
        train_pose(options(tmp_path))


def test_a_start_that_finds_other_classes_is_refused(tmp_path) -> None:
    write_photos(tmp_path / "data", "train")
    with pytest.raises(ValueError, match="yolo-digits finds"):
        train_pose(options(tmp_path, start="yolo-digits"))


def test_left_and_right_change_places_in_a_mirror_image() -> None:
    skeleton = Skeleton.of(["nose", "left_eye", "right_eye"])
    pixels = np.arange(24, dtype=np.uint8).reshape(1, 8, 3)
    points = np.array([[[4.0, 0, 2], [1, 0, 2], [7, 0, 1]]])
    turned, boxes, moved = mirrored(pixels, np.array([[0.0, 0, 3, 1]]), points, 8, skeleton)
    assert turned[0, 0].tolist() == pixels[0, 7].tolist()
    assert boxes.tolist() == [[5, 0, 8, 1]]
    assert moved.tolist() == [[[4, 0, 2], [1, 0, 1], [7, 0, 2]]]


def test_the_loss_is_least_where_the_map_is_greatest_at_the_point() -> None:
    points = torch.tensor([[[7.5, 9.5, 2.0]]])
    right, wrong = torch.zeros(1, 1, 28, 28), torch.zeros(1, 1, 28, 28)
    right[0, 0, 9, 7] = wrong[0, 0, 20, 20] = 5
    losses = [
        keypoint_loss(logits, points)["loss_keypoint"].item() for logits in (right, torch.zeros(1, 1, 28, 28), wrong)
    ]
    assert losses == sorted(losses)
    assert losses[1] == pytest.approx(np.log(28 * 28), abs=1e-4)


def test_a_point_outside_its_region_teaches_nothing() -> None:
    logits = torch.randn(1, 2, 28, 28)
    points = torch.tensor([[[-1.0, 5.0, 2.0], [40.0, 5.0, 1.0]]])
    assert {name: loss.item() for name, loss in keypoint_loss(logits, points).items()} == {
        "loss_keypoint": 0,
        "loss_unlabelled": 0,
    }


def test_an_unlabelled_point_teaches_an_even_map() -> None:
    points = torch.zeros(1, 1, 3)
    even, sharp = torch.zeros(1, 1, 28, 28), torch.zeros(1, 1, 28, 28)
    sharp[0, 0, 3, 3] = 9
    assert keypoint_loss(even, points)["loss_unlabelled"] < keypoint_loss(sharp, points)["loss_unlabelled"]
