"""Images of one class each inside one file: ZIP archives and NumPy archives."""

from __future__ import annotations

import tracemalloc
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.datasets.opening import open_classes, open_dataset
from models.datasets.samples import DatasetError
from models.imaging.decoding import decode
from tests.checkout import SHARED_DATA
from tests.unit.evaluation_files import classes

PETS = ("cat/1.png", "cat/2.png", "dog/old/1.png", "dog/2.png")


def png(grey: int) -> bytes:
    file = BytesIO()
    Image.new("L", (6, 4), grey).save(file, "PNG")
    return file.getvalue()


def write_zip(path: Path, names: tuple[str, ...] = PETS, within: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(f"{within}{name}", png(number) if name.endswith(".png") else b"text")
    return path


def write_npz(path: Path, **arrays: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    images = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)
    labels = np.array([1, 0, 2, 1], np.uint8)
    np.savez(path, **{"images": images, "labels": labels, **arrays})
    return path


@pytest.mark.parametrize("within", ["", "pets/"])
def test_folders_in_a_zip_archive_are_classes(tmp_path: Path, within: str) -> None:
    path = write_zip(tmp_path / "pets" / "all.zip", (*PETS, "cat/notes.txt", "__MACOSX/cat/._1.png"), within)
    data = open_dataset(str(path), "classification")
    assert (data.name, data.class_names) == ("pets/all", ("cat", "dog"))
    named = {f"{within}{name}": name.partition("/")[0] for name in PETS}
    assert classes(data) == named
    assert data.load(0).image == png(0)


def test_a_folder_of_archives_has_a_split_for_each(tmp_path: Path) -> None:
    write_zip(tmp_path / "train.zip")
    write_zip(tmp_path / "val.zip", ("dog/9.png",))
    assert classes(open_dataset(str(tmp_path), "classification")) == {"dog/9.png": "dog"}
    learned, held_out = open_classes(str(tmp_path))
    assert held_out is not None
    assert (len(learned), len(held_out), held_out.class_names) == (4, 1, ("dog",))


def test_a_zip_archive_may_hold_the_splits(tmp_path: Path) -> None:
    names = (*(f"train/{name}" for name in PETS), "val/dog/9.png", "val/cat/8.png")
    path = write_zip(tmp_path / "pets.zip", names, "pets/")
    learned, held_out = open_classes(str(path))
    assert held_out is not None
    assert (len(learned), len(held_out)) == (4, 2)
    assert set(classes(open_dataset(str(path), "classification"))) == {"pets/val/cat/8.png", "pets/val/dog/9.png"}


def test_an_archive_without_splits_is_all_training(tmp_path: Path) -> None:
    for path in (write_zip(tmp_path / "pets.zip"), write_npz(tmp_path / "digits.npz")):
        learned, held_out = open_classes(str(path))
        assert (len(learned), held_out) == (4, None)


def test_rows_of_an_array_are_lossless_images(tmp_path: Path) -> None:
    data = open_dataset(str(write_npz(tmp_path / "digits.npz")), "classification")
    assert classes(data) == {"0.png": "1", "1.png": "0", "2.png": "2", "3.png": "1"}
    pixels = decode(data.load(3).image).pixels
    assert np.array_equal(pixels, np.arange(90, 120, dtype=np.uint8).reshape(5, 6, 1).repeat(3, axis=2))


def test_labels_of_an_array_are_the_ids_of_its_class_names_or_of_the_models(tmp_path: Path) -> None:
    plain, named = write_npz(tmp_path / "a.npz"), write_npz(tmp_path / "b.npz", class_names=np.array(["x", "y", "z"]))
    model = ("tench", "goldfish", "shark", "ray")
    assert open_dataset(str(plain), "classification", class_names=model).class_names == model
    assert open_dataset(str(named), "classification", class_names=model).class_names == ("x", "y", "z")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": np.zeros(3, np.uint8)}, "4 images, but 3 labels"),
        ({"labels": np.zeros((4, 1), np.uint8)}, "labels must be whole numbers of shape"),
        ({"labels": np.full(4, -1)}, "labels must be from 0 to"),
        ({"images": np.zeros((4, 5, 6), np.float32)}, "images must be uint8 of shape"),
        ({"images": np.zeros((4, 5, 6, 2), np.uint8)}, "images must be uint8 of shape"),
        ({"images": np.zeros((4, 0, 6), np.uint8)}, r"images must be uint8 of shape .* it is \(4, 0, 6\)"),
        ({"class_names": np.array(["x", "y"])}, "class_names must be 3 different names or more, not 2"),
        ({"images": np.array([{}, {}, {}, {}], object)}, "cannot be read as a NumPy archive"),
    ],
)
def test_arrays_that_are_no_images_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    path = write_npz(tmp_path / "digits.npz", **arrays)
    with pytest.raises(DatasetError, match=message):
        open_dataset(str(path), "classification")


@pytest.mark.parametrize("name", ["pets.zip", "pets.npz"])
def test_a_file_that_is_no_archive_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not an archive")
    with pytest.raises(DatasetError, match="cannot be read as a") as raised:
        open_dataset(str(tmp_path / name), "classification")
    assert "\n" not in str(raised.value)


def test_a_member_that_is_no_array_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images", b"text")
        archive.writestr("labels", b"text")
    with pytest.raises(DatasetError, match="images is no array"):
        open_dataset(str(path), "classification")


def test_a_member_is_unpacked_to_no_more_than_it_says(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/1.png", bytes(2**26))
        archive.writestr("dog/1.png", png(1))
        archive.infolist()[0].file_size = 1000  # what the directory at the end says
    data = open_dataset(str(path), "classification")
    tracemalloc.start()
    with pytest.raises(DatasetError, match="cannot be unpacked"):
        data.load(0)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**24


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packings_without_a_limit_are_refused(tmp_path: Path, packing: int) -> None:
    path = tmp_path / "pets.zip"
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name in PETS:
            archive.writestr(name, png(1))
    with pytest.raises(DatasetError, match="stored or deflated"):
        open_dataset(str(path), "classification").load(0)
    path.rename(tmp_path / "pets.npz")
    with pytest.raises(DatasetError, match="stored or deflated"):
        open_dataset(str(tmp_path / "pets.npz"), "classification")


def test_an_archive_without_classes_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "pets.zip", ("1.png", "2.png"))
    with pytest.raises(DatasetError, match=r"no images in folders by class"):
        open_dataset(str(path), "classification")


def test_a_damaged_member_is_an_error_with_its_name(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "pets.zip")
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT")] ^= 0xFF  # its checksum no longer fits
    path.write_bytes(bytes(data))
    with pytest.raises(DatasetError, match=r"pets\.zip/cat/1\.png"):
        open_dataset(str(path), "classification").load(0)


def test_two_archives_of_one_split_are_ambiguous(tmp_path: Path) -> None:
    write_zip(tmp_path / "val.zip")
    write_npz(tmp_path / "val.npz")
    with pytest.raises(DatasetError, match=r"holds val\.npz and val\.zip; name one of them"):
        open_dataset(str(tmp_path), "classification")


def test_an_archive_outside_the_data_folder_is_refused(tmp_path: Path) -> None:
    outside = write_zip(tmp_path / "elsewhere" / "pets.zip")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "val.zip").symlink_to(outside)
    with pytest.raises(DatasetError, match="outside the data folder"):
        open_dataset(str(tmp_path / "data"), "classification")


def test_archives_by_class_are_not_for_detectors(tmp_path: Path) -> None:
    write_zip(tmp_path / "val.zip")
    with pytest.raises(DatasetError, match="has no boxes, masks or key points"):
        open_dataset(f"archive:{tmp_path}", "detection")


@pytest.mark.skipif(not (SHARED_DATA / "cifar10").is_dir(), reason="needs the images of cifar10/ and mnist/")
def test_the_shared_archives_are_read() -> None:
    cifar, mnist = (open_dataset(str(SHARED_DATA / name), "classification") for name in ("cifar10", "mnist"))
    assert (cifar.name, len(cifar), cifar.class_names[3]) == ("cifar10/val", 5000, "cat")
    assert (mnist.name, len(mnist), mnist.class_names) == ("mnist/val", 1000, tuple("0123456789"))
    assert decode(mnist.load(0).image).size == (28, 28)
