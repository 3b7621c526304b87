"""Folders of images by class: how they are split, read, cropped, and made ahead of the network."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.datasets.folders import LabelledImage
from models.datasets.photo_dataset import DatasetError
from models.datasets.prefetch import made_ahead
from models.training.class_data import read_class_data
from models.training.crops import CropAugmentation, CropMaker
from models.training.photos import ImageReader
from tests.unit.evaluation_files import write_photo
from tests.unit.tiny_images import KINDS, write_pictures


def test_folders_with_a_split_are_read_as_they_are(tmp_path: Path) -> None:
    write_pictures(tmp_path / "shapes" / "train", 12, seed=0)
    write_pictures(tmp_path / "shapes" / "val", 4, seed=1)
    folders = read_class_data(tmp_path / "shapes", 0.5, 0)
    assert (folders.name, folders.class_names) == ("shapes", KINDS)
    assert (len(folders.train), len(folders.val)) == (36, 12)
    assert {(Path(str(image.path)).parent.name, image.class_id) for image in folders.val} == {
        (kind, class_id) for class_id, kind in enumerate(KINDS)
    }


def test_folders_without_a_split_lose_a_share_of_every_class(tmp_path: Path) -> None:
    write_pictures(tmp_path, 10, seed=0)
    (tmp_path / "notes.txt").write_text("no class")
    (tmp_path / "ball" / ".hidden.png").write_bytes(b"")
    folders = read_class_data(tmp_path, 0.3, seed=1)
    assert np.bincount([image.class_id for image in folders.val]).tolist() == [3, 3, 3]
    assert {*folders.train}.isdisjoint(folders.val)
    assert len(folders.train) == 21
    assert read_class_data(tmp_path, 0.3, seed=1) == folders
    assert read_class_data(tmp_path, 0.3, seed=2).val != folders.val


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    write_pictures(tmp_path, 3, seed=0)
    (tmp_path / "ball").rename(tmp_path / "train")
    assert read_class_data(tmp_path, 0.3, 0).class_names == ("box", "stripes", "train")


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ([], "no folders with images; looked for train/CLASS/ and CLASS/"),
        (["ball"], "only images of 'ball'; a classifier needs"),
        (["train/ball", "train/box"], "val: no such folder, but there is .*train"),
        (["train/ball", "train/box", "val/cone"], "val/cone: no images of this class to learn from"),
    ],
)
def test_folders_that_cannot_be_used_are_named(tmp_path: Path, folders: list[str], message: str) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / folder / "1.png")
    with pytest.raises(DatasetError, match=message):
        read_class_data(tmp_path, 0.2, 0)


def test_single_images_cannot_be_held_out(tmp_path: Path) -> None:
    write_pictures(tmp_path / "one", 1, seed=0)
    with pytest.raises(DatasetError, match="nothing to hold out"):
        read_class_data(tmp_path / "one", 0.2, 0)
    with pytest.raises(DatasetError, match="absent: no such file or folder"):
        read_class_data(tmp_path / "absent", 0.2, 0)


def test_tables_are_read_as_evaluation_reads_them(tmp_path: Path) -> None:
    """The val split lacks a class, which is no fault; a row without a class is left out and listed."""
    for number in range(4):
        write_photo(tmp_path / "images" / f"{number}.png")
    (tmp_path / "train.csv").write_text("file,class\n0.png,dog\n1.png,cat\n2.png,\n")
    (tmp_path / "val.csv").write_text("file,class\n3.png,dog\n")
    data = read_class_data(tmp_path, 0.5, 0)
    assert data.class_names == ("cat", "dog")
    assert [(image.path.name, image.class_id) for image in data.train] == [("0.png", 1), ("1.png", 0)]
    assert [(image.path.name, image.class_id) for image in data.val] == [("3.png", 1)]
    assert [str(problem) for problem in data.problems] == [f"{tmp_path / 'train.csv'}:4: 2.png has no class"]


@pytest.mark.parametrize("name", ["labels.csv", "labels.json"])
def test_of_a_table_without_splits_a_share_of_every_class_is_held_out(tmp_path: Path, name: str) -> None:
    labels = {f"{number}.png": "dog" if number % 2 else "cat" for number in range(8)}
    for file in labels:
        write_photo(tmp_path / "images" / file)
    rows = "file,class\n" + "".join(f"{file},{kind}\n" for file, kind in labels.items())
    (tmp_path / name).write_text(rows if name.endswith("csv") else json.dumps(labels))
    for place in (tmp_path, tmp_path / name):
        data = read_class_data(place, 0.25, 0)
        assert (len(data.train), sorted(image.class_id for image in data.val)) == (6, [0, 1])
        assert data.name == tmp_path.name


def grey_maker(tmp_path: Path, augmentation: CropAugmentation) -> CropMaker:
    gradient = np.tile(np.arange(0, 140, 5, dtype=np.uint8), (28, 1))
    Image.fromarray(gradient).save(tmp_path / "grey.png")
    return CropMaker(ImageReader([LabelledImage(tmp_path / "grey.png", 0)], 28), 28, augmentation, seed=0)


def test_a_grey_image_of_28_pixels_stays_grey(tmp_path: Path) -> None:
    maker = grey_maker(tmp_path, CropAugmentation.for_size(28, flip=True))
    for epoch in range(5):
        pixels, colour = maker.make(epoch, 0)
        assert pixels.shape == (28, 28, 3)
        assert (np.ptp(pixels, axis=2) == 0).all()
        assert np.ptp(colour @ np.array([90, 90, 90, 1])) < 1e-3


@pytest.mark.parametrize(("flip", "mirrored"), [(False, {False}), (True, {False, True})])
def test_digits_are_not_mirrored_where_that_is_said(tmp_path: Path, flip: bool, mirrored: set[bool]) -> None:
    maker = grey_maker(tmp_path, CropAugmentation.for_size(28, flip))
    pictures = [maker.make(epoch, 0)[0] for epoch in range(20)]
    assert {bool(pixels[0, 0, 0] > pixels[0, -1, 0]) for pixels in pictures} == mirrored


def test_the_same_seed_epoch_and_image_give_the_same_crop(tmp_path: Path) -> None:
    maker, again = (grey_maker(tmp_path, CropAugmentation()) for _ in range(2))
    assert np.array_equal(maker.make(3, 0)[0], again.make(3, 0)[0])
    assert not np.array_equal(maker.make(3, 0)[0], maker.make(4, 0)[0])


def test_a_strip_is_cropped_to_a_square_from_its_middle(tmp_path: Path) -> None:
    pixels = np.zeros((10, 400, 3), np.uint8)
    pixels[:, 195:205] = 255
    Image.fromarray(pixels).save(tmp_path / "strip.png")
    reader = ImageReader([LabelledImage(tmp_path / "strip.png", 0)], 16)
    assert (CropMaker(reader, 16, CropAugmentation(area=(1.0, 1.0)), 0).make(0, 0)[0] == 255).all()


def test_what_is_made_ahead_comes_in_order_and_with_its_errors() -> None:
    def make(item: int) -> int:
        if item == 4:
            raise DatasetError("the fifth")
        return item**2

    made: list[int] = []
    with pytest.raises(DatasetError, match="the fifth"):
        made.extend(made_ahead(make, range(100), threads=3))
    assert made == [0, 1, 4, 9]
