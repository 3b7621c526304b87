"""A detector or segmenter learns from every format that is evaluated on, and from the same boxes and masks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from models.catalog.lookup import find
from models.datasets.label_problems import WrongLabels
from models.datasets.labelled_photos import LabelledPhotos
from models.datasets.opening import open_dataset
from models.datasets.photo_dataset import DatasetError
from models.training.detector_run import train_detector
from models.training.photo_data import read_photo_data
from models.training.photo_recipe import PhotoSettings
from models.training.photo_run import PhotoOptions, read_data
from services.cli import app
from tests.unit.evaluation_files import write_numbers, write_photo, write_text
from tests.unit.shape_photos import CLASSES, SIDE, as_csv, as_voc, as_yolo, write_photos

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

OTHERS = {"yolo": as_yolo, "voc": as_voc, "csv": as_csv}
Write = Callable[[Path, Path], Path]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coco")
    write_photos(folder, "train", 6, seed=1)
    write_photos(folder, "val", 4, seed=2)
    return folder


def options_for(data: Path, output: Path) -> PhotoOptions:
    return PhotoOptions(
        architecture="yolox-efficientnet-lite0",
        data=(data,),
        output=output,
        name="shapes",
        classes=CLASSES,
        start="none",
        arguments={"width": 16},
        precision="fp32",
        settings=PhotoSettings(side=SIDE, early_side=SIDE, closing_epochs=0, epochs=1, batch_size=3, seed=3),
    )


@pytest.mark.parametrize("write", OTHERS.values(), ids=OTHERS)
def test_the_same_photos_in_another_format_have_the_same_targets(shapes: Path, tmp_path: Path, write: Write) -> None:
    wanted = read_photo_data([shapes], "detection", CLASSES)
    found = read_photo_data([write(shapes, tmp_path / "data")], "detection", CLASSES)
    assert len(found.training.photos) == 6
    assert found.problems == ()
    for ours, theirs in zip(found.training.photos, wanted.training.photos, strict=True):
        assert (ours.path.name, ours.size) == (theirs.path.name, theirs.size)
        assert ours.boxes.tolist() == theirs.boxes.tolist()
        assert ours.class_ids.tolist() == theirs.class_ids.tolist()
    assert found.training.fingerprint == wanted.training.fingerprint
    assert found.held_out is not None and wanted.held_out is not None
    assert [Path(file).name for file in found.held_out.files] == list(wanted.held_out.files)


def test_training_for_an_epoch_on_yolo_and_voc_gives_the_figures_of_coco(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = {"coco": shapes, "yolo": as_yolo(shapes, tmp_path / "yolo"), "voc": as_voc(shapes, tmp_path / "voc")}
    for name, data in folders.items():
        train_detector(replace(options_for(data, tmp_path / "trained"), name=name))
    monkeypatch.setenv("TAPETUM_CATALOG", str(tmp_path / "trained"))
    entries = [find(name) for name in folders]
    assert [(entry.class_names, entry.training["objects"]) for entry in entries] == [(CLASSES, 6)] * 3
    figures = [{figure.metric: figure.value for figure in entry.accuracy} for entry in entries]
    assert figures[0].keys() >= {"map", "map_50"}
    assert figures == [figures[0]] * 3
    logs = [(tmp_path / "trained" / f"{name}.run" / "log.jsonl").read_text().splitlines() for name in folders]
    losses = [[row["loss"] for row in map(json.loads, log) if "loss" in row] for log in logs]
    assert len(losses[0]) == 1
    assert losses == [losses[0]] * 3


def test_the_command_trains_on_yolo_and_prints_the_labels_that_evaluate_prints(shapes: Path, tmp_path: Path) -> None:
    settings = as_yolo(shapes, tmp_path / "plates")
    wrong = settings.parent / "labels" / "train" / "train3.txt"
    wrong.write_text(wrong.read_text() + "9 0.5 0.5 0.1 0.1\n")
    command = ("train", "detector", "--model", "yolox-nano", "--data", str(settings), "--start", "none")
    command += ("--size", "64", "--epochs", "1", "--batch-size", "2", "--output", str(tmp_path / "trained"))
    stopped = CliRunner().invoke(app, [*command, "--strict"])
    message = f"{wrong}:2: there is no class 9; classes are 0 to 1"
    assert stopped.exit_code == 1
    assert stopped.stderr.splitlines() == [f"  {message}", "error: 1 label is wrong, and --strict stops at that"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{tmp_path / 'trained' / 'plates-yolox-nano.json'}\n"
    assert result.stderr.splitlines()[:2] == ["1 label was wrong, and left out or cut:", f"  {message}"]


def test_wrong_labels_of_both_splits_are_those_of_evaluation(shapes: Path, tmp_path: Path) -> None:
    folder = as_voc(shapes, tmp_path / "voc")
    (folder / "Annotations" / "val1.xml").write_text("<annotation><object/></annotation>")
    (folder / "Annotations" / "train2.xml").unlink()
    options = options_for(folder, tmp_path)
    data = read_data(options, "detection")
    measured = open_dataset(str(folder), "detection").problems
    assert [problem.kind for problem in data.problems] == ["no_label", *(problem.kind for problem in measured)]
    assert [problem for problem in data.problems if "val1" in problem.file] == list(measured)
    with pytest.raises(WrongLabels, match="2 labels are wrong"):
        read_data(replace(options, strict=True), "detection")


def test_a_split_for_tests_is_never_held_out(shapes: Path, tmp_path: Path) -> None:
    settings = as_yolo(shapes, tmp_path / "yolo")
    settings.write_text(settings.read_text().replace("val: images/val", "test: images/val"))
    (settings.parent / "images" / "val").rename(settings.parent / "images" / "test")
    data = read_photo_data([settings.parent], "detection")
    assert (len(data.training.photos), data.held_out) == (6, None)


def test_folders_of_splits_as_tools_export_them_are_found(shapes: Path, tmp_path: Path) -> None:
    for split, place in (("train", "train"), ("val", "valid")):
        text = (shapes / f"instances_{split}.json").read_text()
        write_text(tmp_path / "export" / place / "_annotations.coco.json", text)
        for photo in (shapes / "images").glob(f"{split}*.png"):
            (tmp_path / "export" / place / photo.name).write_bytes(photo.read_bytes())
    data = read_photo_data([tmp_path / "export"], "detection")
    assert len(data.training.photos) == 6
    assert data.held_out is not None and len(data.held_out) == 4


def test_a_prefix_chooses_one_of_two_formats_in_a_folder(shapes: Path, tmp_path: Path) -> None:
    write_photos(tmp_path, "train", 4, seed=1)
    as_yolo(shapes, tmp_path)
    with pytest.raises(DatasetError, match=r"holds labels in 2 places; name one of them: .*coco:.*yolo:"):
        read_photo_data([tmp_path], "detection")
    coco, yolo = (read_photo_data([Path(f"{name}:{tmp_path}")], "detection").training for name in ("coco", "yolo"))
    assert (len(coco.photos), len(yolo.photos)) == (4, 6)


def test_photos_may_be_in_another_folder_than_their_file(shapes: Path, tmp_path: Path) -> None:
    path = write_text(tmp_path / "labels.json", (shapes / "instances_train.json").read_text())
    data = read_photo_data([Path(f"{path}:{shapes / 'images'}")], "detection")
    assert (len(data.training.photos), data.held_out) == (6, None)


def test_one_file_of_labels_is_all_training(shapes: Path) -> None:
    data = read_photo_data([shapes / "instances_train.json"], "detection")
    assert (len(data.training.photos), data.held_out) == (6, None)


def test_photos_of_further_folders_that_show_nothing_are_learned_from(shapes: Path, tmp_path: Path) -> None:
    document = json.loads((shapes / "instances_train.json").read_text())
    write_photo(tmp_path / "images" / "nothing.png")
    images = [{"id": 1, "file_name": "nothing.png", "height": 60, "width": 100}]
    text = json.dumps({**document, "images": images, "annotations": []})
    write_text(tmp_path / "instances.json", text)
    training = read_photo_data([shapes, tmp_path], "detection").training
    assert [len(photo.boxes) for photo in training.photos] == [1] * 6 + [0]


def test_a_class_that_no_object_of_the_val_split_has_is_no_fault_where_objects_name_them(
    shapes: Path, tmp_path: Path
) -> None:
    folder = as_voc(shapes, tmp_path / "voc")
    write_text(folder / "ImageSets" / "Main" / "val.txt", "val0\n")  # a square
    data = read_photo_data([folder], "detection")
    assert data.training.class_names == ("disc", "square")
    assert isinstance(data.held_out, LabelledPhotos)
    assert (data.held_out.class_names, data.held_out.objects.class_ids.tolist()) == (("disc", "square"), [1])
    with pytest.raises(DatasetError, match="no class 'ball'; it has disc, square"):
        read_photo_data([folder], "detection", ("ball",))


def test_polygons_of_yolo_are_masks_and_its_boxes_leave_photos_without(tmp_path: Path) -> None:
    for stem, row in (("a", "0 0.1 0.5 0.3 0.5 0.3 1 0.1 1"), ("b", "0 0.5 0.5 0.2 0.2")):
        write_photo(tmp_path / "images" / "train" / f"{stem}.png")
        write_text(tmp_path / "labels" / "train" / f"{stem}.txt", row)
    write_text(tmp_path / "data.yaml", "train: images/train\nnames: [cell]\n")
    one, two = read_photo_data([tmp_path], "semantic").training.photos
    assert one.masks is not None
    assert [mask.area for mask in one.masks.objects()] == [20 * 30]
    assert (two.masks, len(two.boxes)) == (None, 1)


def test_class_masks_of_voc_are_objects_of_a_class(tmp_path: Path) -> None:
    write_photo(tmp_path / "JPEGImages" / "a.png")
    classes = np.zeros((60, 100), np.uint8)
    classes[10:20, 30:50], classes[40:50, 30:50] = 15, 255
    write_numbers(tmp_path / "SegmentationClass" / "a.png", classes)
    write_text(tmp_path / "ImageSets" / "Segmentation" / "train.txt", "a\n")
    training = read_photo_data([tmp_path], "semantic").training
    (photo,) = training.photos
    assert [training.class_names[number] for number in photo.class_ids] == ["person"]
    assert photo.boxes.tolist() == [[30, 10, 50, 20]]
    assert photo.masks is not None
    assert np.unique(photo.masks.id_map()).tolist() == [0, 1, 65535]
