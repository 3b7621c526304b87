"""Masks for photos with boxes only, from a model that is told where to look."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.datasets.object_masks import UNKNOWN, CocoMasks
from models.datasets.photo_dataset import DatasetError, Photo, PhotoDataset
from models.errors import UnknownModel
from models.runtime import Runtime
from models.training.photos import PhotoReader
from models.training.teacher import with_taught_masks
from tests.unit.segmenter_cards import write_segmenter

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

FP32 = Runtime(precision="fp32")
SIZE = (50, 70)
NOTHING = np.zeros((0, 4), np.float32)
DOGS = np.array([[5, 5, 45, 45], [40, 10, 70, 50]], np.float32)
TEACHER = "segments-anything"
"""It sees a dog in all of every box, and a cat in less."""


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cards")
    write_segmenter(folder, "mask-rcnn-efficientnet-lite0", TEACHER)
    write_segmenter(folder, "unet", "classes-only")
    return folder


@pytest.fixture
def album(cards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for photos, beside a catalog of teachers."""
    monkeypatch.setenv("TAPETUM_CATALOG", str(cards))
    return tmp_path


def photo(folder: Path, boxes: np.ndarray = DOGS, crowds: np.ndarray = NOTHING, masks: CocoMasks | None = None):
    path = folder / "photo.png"
    noise = np.random.default_rng(2).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return Photo(path, 1, SIZE, boxes, np.zeros(len(boxes), np.int64), crowds, masks)


def dataset(*photos: Photo, class_names: tuple[str, ...] = ("dog",)) -> PhotoDataset:
    return PhotoDataset("dogs", photos, class_names, tuple(range(1, len(class_names) + 1)))


def test_every_box_gets_a_mask_within_it(album: Path) -> None:
    (taught,) = with_taught_masks(dataset(photo(album)), TEACHER, FP32).photos
    assert taught.masks is not None
    masks = taught.masks.objects()
    assert [mask.size for mask in masks] == [SIZE, SIZE]
    for mask, (left, top, right, bottom) in zip(masks, DOGS, strict=True):
        x_min, y_min, x_max, y_max = mask.bounds
        assert mask.area > 0.8 * (right - left) * (bottom - top)
        assert x_min >= left - 2 and y_min >= top - 2 and x_max <= right + 2 and y_max <= bottom + 2


def test_a_class_is_taught_by_its_name_whatever_its_number(album: Path) -> None:
    """The data set's class 0 is the teacher's class 1."""
    as_dogs, as_cats = (
        with_taught_masks(dataset(photo(album), class_names=(name,)), TEACHER, FP32).photos[0].masks
        for name in ("dog", "cat")
    )
    assert as_dogs is not None and as_cats is not None
    dogs, cats = (sum(mask.area for mask in masks.objects()) for masks in (as_dogs, as_cats))
    assert cats < dogs


def test_masks_by_hand_stay_and_crowds_stay_unknown(album: Path) -> None:
    by_hand = CocoMasks(SIZE, [[[5, 5, 45, 5, 45, 45]], [[40, 10, 70, 10, 70, 50]]])
    crowd = np.array([[0, 40, 4, 50]], np.float32)
    photos = (photo(album, masks=by_hand), photo(album, crowds=crowd), photo(album, boxes=NOTHING))
    kept, taught, empty = with_taught_masks(dataset(*photos), TEACHER, FP32).photos
    assert kept.masks is by_hand
    ids = PhotoReader([taught, empty], 64).read_ids(0)
    assert np.all(ids[40:, :4] == UNKNOWN)
    assert ids[25, 15] == 1
    assert empty.masks is not None and empty.masks.objects() == []


def test_what_cannot_teach_is_refused(album: Path) -> None:
    with pytest.raises(ValueError, match="classes-only finds no objects with masks"):
        with_taught_masks(dataset(photo(album)), "classes-only", FP32)
    with pytest.raises(ValueError, match=f"{TEACHER} cannot teach 'cow'; it knows cat, dog"):
        with_taught_masks(dataset(photo(album), class_names=("dog", "cow")), TEACHER, FP32)
    with pytest.raises(UnknownModel):
        with_taught_masks(dataset(photo(album)), "nobody", FP32)


def test_photos_that_cannot_be_shown_are_told_by_name(album: Path) -> None:
    lying = photo(album)
    Image.new("RGB", SIZE).save(lying.path)
    with pytest.raises(DatasetError, match=r"photo\.png: is \(70, 50\), but its annotation says \(50, 70\)"):
        with_taught_masks(dataset(lying), TEACHER, FP32)
    lying.path.write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"photo\.png: "):
        with_taught_masks(dataset(lying), TEACHER, FP32)
