"""A detector from a folder of photos to a card that answers."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from models.catalog.loading import load
from models.catalog.lookup import find
from models.datasets.opening import open_dataset
from models.datasets.photo_dataset import DatasetError
from models.runtime import Runtime
from models.training.augmentation import Augmentation
from models.training.detector_run import evaluate_adapter, train_detector
from models.training.engine import CannotResume, Progress, Schedule
from models.training.photo_data import read_photo_data
from models.training.photo_recipe import PhotoSettings
from models.training.photo_run import PhotoOptions, normalised_as, read_data
from models.training.transfer import lite_encoder, start_network
from tests.unit.shape_photos import CLASSES, SIDE, write_photos

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    write_photos(folder, "train", 16, seed=1)
    write_photos(folder, "val", 6, seed=2)
    return folder


def options_for(
    shapes: Path, output: Path, epochs: int, architecture: str = "yolox-efficientnet-lite0"
) -> PhotoOptions:
    return PhotoOptions(
        architecture=architecture,
        data=(shapes,),
        output=output,
        name="shapes",
        arguments={"width": 16},
        precision="fp32",
        settings=PhotoSettings(
            side=SIDE, early_side=SIDE, closing_epochs=epochs // 2, epochs=epochs, batch_size=4, seed=3
        ),
        schedule=Schedule(
            epochs=epochs, learning_rate=5e-3, warm_up_steps=4, evaluate_every=100, ema_decay=0.9, ema_ramp_steps=10
        ),
        augmentation=Augmentation(mosaic=0, scale=(0.8, 1.2)),
    )


def test_a_trained_detector_is_served_by_its_card(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Progress] = []
    card = train_detector(options_for(shapes, tmp_path, epochs=25), seen.append)
    monkeypatch.setenv("TAPETUM_CATALOG", str(tmp_path))
    entry = find("shapes")
    assert card == tmp_path / "shapes.json"
    assert entry.class_names == CLASSES
    assert entry.training["photos"] == 16
    recorded = {figure.metric: figure.value for figure in entry.accuracy}
    assert recorded["map_50"] > 0.5
    served = evaluate_adapter(load("shapes", Runtime()), open_dataset(str(shapes), "detection"))
    assert served["map_50"] == pytest.approx(recorded["map_50"], abs=0.05)  # the file is in half precision
    assert (seen[-1].step, seen[-1].steps) == (100, 100)


def test_the_same_options_go_on_and_others_are_refused(shapes: Path, tmp_path: Path) -> None:
    options = options_for(shapes, tmp_path, epochs=1)
    first = train_detector(options).read_text()
    assert train_detector(options).read_text() == first  # there is nothing left to do
    with pytest.raises(CannotResume, match="seed"):
        train_detector(replace(options, settings=replace(options.settings, seed=4)))


def test_faster_rcnn_is_trained_by_the_same_call_and_starts_from_the_pyramid_of_a_yolox(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_detector(options_for(shapes, tmp_path / "yolox", epochs=1))
    monkeypatch.setenv("TAPETUM_CATALOG", str(tmp_path / "yolox"))
    options = options_for(shapes, tmp_path / "faster", epochs=1, architecture="faster-rcnn-efficientnet-lite0")
    train_detector(replace(options, name="faster", start="shapes", freeze="backbone"))
    monkeypatch.setenv("TAPETUM_CATALOG", str(tmp_path / "faster"))
    found = load("faster", Runtime()).predict([(shapes / "images" / "val0.png").read_bytes()])
    assert found[0].image_size == (SIDE, SIDE)


def test_photos_of_the_val_split_are_never_learned_from(shapes: Path, tmp_path: Path) -> None:
    write_photos(tmp_path / "more", "train", 3, seed=5)
    document = json.loads((tmp_path / "more" / "instances_train.json").read_text())
    document["images"][0]["file_name"] = "val0.png"
    (tmp_path / "more" / "instances_train.json").write_text(json.dumps(document))
    options = replace(options_for(shapes, tmp_path, 1), data=(shapes, tmp_path / "more"))
    data = read_data(options, "detection")
    training, held_out = data.training, data.held_out
    assert held_out is not None
    assert "val0.png" in held_out.files
    assert "val0.png" not in {photo.path.name for photo in training.photos}
    assert len(training.photos) == 16  # train1.png and train2.png were there before


def test_a_name_that_no_card_can_have_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a model cannot be called '-'"):
        train_detector(replace(options_for(tmp_path / "nowhere", tmp_path, 1), name="-"))


@pytest.mark.parametrize(("start", "mean", "std"), [("yolox/tiny", 0.0, 1.0), ("yolo-person", 127.0, 128.0)])
def test_pixels_are_normalised_as_the_weights_to_start_from_know_them(start: str, mean: float, std: float) -> None:
    settings = normalised_as(replace(PhotoSettings(), mean=(1.0, 2.0, 3.0)), start)
    assert (settings.mean, settings.std) == ((mean,) * 3, (std,) * 3)


def test_other_boxes_in_the_same_files_are_other_data(shapes: Path, tmp_path: Path) -> None:
    document = json.loads((shapes / "instances_train.json").read_text())
    before = read_photo_data([shapes], "detection").training
    document["annotations"][0]["bbox"][2] -= 1
    (tmp_path / "instances_train.json").write_text(json.dumps(document))
    (tmp_path / "images").symlink_to(shapes / "images")
    other = read_photo_data([tmp_path], "detection", allow_outside=True).training
    assert other.fingerprint != before.fingerprint
    assert read_photo_data([shapes], "detection").training.fingerprint == before.fingerprint


def test_data_without_a_training_split_is_told_by_name(tmp_path: Path, shapes: Path) -> None:
    with pytest.raises(DatasetError, match="holds no labels that are known"):
        train_detector(replace(options_for(shapes, tmp_path, 1), data=(tmp_path,)))


def test_weights_that_fit_nowhere_are_refused() -> None:
    from models.detection.lite_backbone import build_yolox_lite
    from models.detection.yolox_family import build_yolox

    network = build_yolox_lite(1, width=16, head_width=16)
    assert lite_encoder(network) is not None
    with pytest.raises(ValueError, match="EfficientNet-Lite0 backbone"):
        start_network(build_yolox("nano", 1), "imagenet")
