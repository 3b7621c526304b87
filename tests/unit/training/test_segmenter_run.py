"""A segmenter from a folder of photos with masks to a card that answers."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.catalog.loading import load
from models.catalog.lookup import find
from models.datasets.opening import open_dataset
from models.datasets.photo_dataset import DatasetError
from models.entries import LetterboxPreprocessing
from models.predictions import InstanceMasks, SemanticMask
from models.runtime import Runtime
from models.training.augmentation import Augmentation
from models.training.engine import Schedule
from models.training.photo_recipe import PhotoSettings
from models.training.photo_run import PhotoOptions, read_data
from models.training.segmenter_run import evaluate_adapter, train_segmenter

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

SIDE = 64
UNET, MASK_RCNN = "unet", "mask-rcnn-efficientnet-lite0"
ARGUMENTS = {UNET: {"width": 8, "depth": 2}, MASK_RCNN: {"width": 16, "region_width": 16, "mask_width": 8}}


def write_discs(folder: Path, split: str, count: int, seed: int) -> None:
    """Two green discs a photo on noise, which do not touch, with pictures of their numbers."""
    rng = np.random.default_rng(seed)
    for part in ("images", "labels"):
        (folder / split / part).mkdir(parents=True)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for number in range(count):
        pixels = rng.integers(60, 140, (SIDE, SIDE, 3), np.uint8)
        numbers = np.zeros((SIDE, SIDE), np.uint8)
        for index, column in enumerate((16, 48), 1):
            radius, row = rng.integers(8, 14), rng.integers(16, 48)
            numbers[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = index
        pixels[numbers > 0] = (20, 220, 20)
        Image.fromarray(pixels).save(folder / split / "images" / f"{split}{number}.png")
        Image.fromarray(numbers).save(folder / split / "labels" / f"{split}{number}.png")


def write_boxes(folder: Path, split: str, *, masks: bool) -> None:
    """One photo with a box, and one of nothing, in COCO's format."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for name in ("some", "none"):
        Image.new("RGB", (SIDE, SIDE)).save(folder / "images" / f"{split}-{name}.png")
    images = [
        {"id": number, "file_name": f"{split}-{name}.png", "width": SIDE, "height": SIDE}
        for number, name in enumerate(("some", "none"))
    ]
    box = {"id": 1, "image_id": 0, "category_id": 1, "bbox": [8, 8, 20, 20], "area": 400, "iscrowd": 0}
    polygon = {"segmentation": [[8, 8, 28, 8, 28, 28, 8, 28]]} if masks else {}
    document = {"images": images, "annotations": [{**box, **polygon}], "categories": [{"id": 1, "name": "disc"}]}
    (folder / f"instances_{split}.json").write_text(json.dumps(document))


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("discs")
    write_discs(folder, "train", 16, seed=1)
    write_discs(folder, "val", 6, seed=2)
    return folder


def options_for(data: Path, output: Path, epochs: int, architecture: str = UNET) -> PhotoOptions:
    return PhotoOptions(
        architecture=architecture,
        data=(data,),
        output=output,
        name="discs",
        class_name="disc",
        start="none",
        arguments=ARGUMENTS[architecture],
        precision="fp32",
        settings=PhotoSettings(
            side=SIDE, early_side=SIDE, closing_epochs=epochs // 2, epochs=epochs, batch_size=4, seed=3
        ),
        schedule=Schedule(
            epochs=epochs, learning_rate=1e-2, warm_up_steps=4, evaluate_every=100, ema_decay=0.9, ema_ramp_steps=10
        ),
        augmentation=Augmentation(mosaic=0, scale=(0.8, 1.2)),
    )


def test_a_trained_unet_is_served_by_its_card(discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = train_segmenter(options_for(discs, tmp_path, epochs=10))
    monkeypatch.setenv("TAPETUM_CATALOG", str(tmp_path))
    entry = find("discs")
    assert card == tmp_path / "discs.json"
    assert (entry.segmentation, entry.class_names) == ("semantic", ("background", "disc"))
    assert entry.training["frozen"] == "none", "there is no EfficientNet-Lite0 in it"
    recorded = {figure.metric: figure for figure in entry.accuracy}
    assert recorded["iou"].value > 0.6
    assert "(6 photos with masks)" in recorded["iou"].dataset
    adapter, held_out = load("discs", Runtime()), open_dataset(str(discs), "semantic")
    assert evaluate_adapter(adapter, held_out)["iou"] == pytest.approx(recorded["iou"].value, abs=0.02)
    (found,) = adapter.predict([held_out.load(0).image])
    assert isinstance(found, SemanticMask)
    assert found.class_ids.tolist() == [1]


def test_a_mask_rcnn_is_trained_by_the_same_call(discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_segmenter(options_for(discs, tmp_path, epochs=1, architecture=MASK_RCNN))
    monkeypatch.setenv("TAPETUM_CATALOG", str(tmp_path))
    entry = find("discs")
    assert (entry.segmentation, entry.class_names) == ("instance", ("disc",))
    assert {"map", "map_50", "map_75"} <= {figure.metric for figure in entry.accuracy}
    (found,) = load("discs", Runtime()).predict([(discs / "val" / "images" / "val0.png").read_bytes()])
    assert isinstance(found, InstanceMasks)
    assert found.image_size == (SIDE, SIDE)


def test_photos_without_any_masks_are_refused_before_training(tmp_path: Path) -> None:
    """A photo of nothing has all of its masks, and there is nothing to learn from it."""
    write_boxes(tmp_path, "train", masks=False)
    with pytest.raises(DatasetError, match="train: no object has a mask"):
        train_segmenter(options_for(tmp_path, tmp_path / "out", 1))
    write_boxes(tmp_path, "train", masks=True)
    write_boxes(tmp_path, "val", masks=False)
    with pytest.raises(DatasetError, match=r"val: no object to measure on; .*the object has no segmentation"):
        train_segmenter(options_for(tmp_path, tmp_path / "out", 1))
    assert not (tmp_path / "out").exists()


def test_at_native_size_a_unet_is_served_in_tiles_and_a_mask_rcnn_is_refused(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = options_for(discs, tmp_path, 1)
    native = replace(options, settings=replace(options.settings, native=True))
    with pytest.raises(ValueError, match="native is for U-Nets"):
        train_segmenter(replace(native, architecture=MASK_RCNN, arguments={}))
    train_segmenter(native)
    monkeypatch.setenv("TAPETUM_CATALOG", str(tmp_path))
    preprocessing = find("discs").preprocessing
    assert isinstance(preprocessing, LetterboxPreprocessing)
    assert preprocessing.tile is not None and not preprocessing.enlarge
    assert preprocessing.long_side > 4000, "photos keep their size"


def test_more_classes_than_a_class_map_can_tell_apart_are_refused(tmp_path: Path) -> None:
    write_boxes(tmp_path, "train", masks=True)
    path = tmp_path / "instances_train.json"
    document = json.loads(path.read_text())
    document["categories"] = [{"id": number, "name": f"kind {number}"} for number in range(1, 256)]
    path.write_text(json.dumps(document))
    with pytest.raises(DatasetError, match="255 classes; a class map holds 254 at most"):
        train_segmenter(options_for(tmp_path, tmp_path / "out", 1))


def test_folders_of_other_classes_do_not_mix(discs: Path, tmp_path: Path) -> None:
    write_boxes(tmp_path, "train", masks=True)
    options = replace(options_for(tmp_path, tmp_path / "out", 1), data=(tmp_path, discs))
    assert len(read_data(options, "semantic").training.photos) == 2 + 16
    with pytest.raises(DatasetError, match="no class 'disc'; it has cell"):
        read_data(replace(options, class_name="cell"), "semantic")
    write_boxes(tmp_path, "val", masks=True)
    path = tmp_path / "instances_val.json"
    path.write_text(path.read_text().replace('"disc"', '"ball"'))
    with pytest.raises(DatasetError, match="its val split has the class 'ball', and its train split does not"):
        read_data(options, "semantic")


def test_photos_that_are_not_as_annotated_are_told_by_name(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_segmenter(options_for(discs, tmp_path / "out", 1))
    monkeypatch.setenv("TAPETUM_CATALOG", str(tmp_path / "out"))
    adapter = load("discs", Runtime())
    write_boxes(tmp_path, "val", masks=True)
    dataset, path = open_dataset(str(tmp_path), "semantic"), tmp_path / "images" / "val-some.png"
    Image.new("RGB", (SIDE // 2, SIDE)).save(path)
    with pytest.raises(DatasetError, match=r"val-some\.png: is \(64, 32\), but its labels are for \(64, 64\)"):
        evaluate_adapter(adapter, dataset)
    path.write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"val-some\.png: "):
        evaluate_adapter(adapter, dataset)
