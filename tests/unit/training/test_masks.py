"""What a segmenter learns from and is measured by: masks of every kind, examples, losses, accuracy."""

import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models.datasets.object_masks import UNKNOWN, CocoMasks, read_numbers
from models.datasets.photo_dataset import DatasetError, Photo, PhotoDataset
from models.datasets.samples import ObjectTarget, RegionTarget, Sample
from models.geometry.masks import Mask
from models.predictions import InstanceMasks, SemanticMask
from models.segmentation.lite_mask_rcnn import build_mask_rcnn_lite
from models.training.augmentation import Augmentation, ExampleMaker
from models.training.average_precision import average_precision
from models.training.mask_rcnn_loss import cut_masks, mask_rcnn_loss
from models.training.photo_data import read_photo_data
from models.training.photo_recipe import PhotoSettings
from models.training.photos import PhotoReader
from models.training.segmentation_loss import segmentation_loss
from models.training.semantic_accuracy import semantic_accuracy
from models.training.targets import Target

pytestmark = pytest.mark.usefixtures("one_thread")

PLAIN = Augmentation(mosaic=0, scale=(1, 1), flip=0, brightness=0, contrast=0, saturation=0, tint=0)


def rectangle(top: int, left: int, bottom: int, right: int, size: tuple[int, int] = (40, 60)) -> np.ndarray:
    pixels = np.zeros(size, np.bool_)
    pixels[top:bottom, left:right] = True
    return pixels


def read(folder: Path, **options: Any) -> PhotoDataset:
    """What a U-Net learns from."""
    return read_photo_data([folder], "semantic", **options).training


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """Two pictures of numbers: cells 7 and 300 of 16 bits in the first, nothing in the second."""
    folder = tmp_path / "cells"
    for part in ("images", "labels"):
        (folder / "train" / part).mkdir(parents=True)
    numbers = np.zeros((40, 60), np.uint16)
    numbers[rectangle(5, 10, 15, 30)] = 7
    numbers[rectangle(20, 40, 40, 60)] = 300
    for name, label in (("one", numbers), ("two", np.zeros((40, 60), np.uint16))):
        Image.fromarray((label > 0).astype(np.uint8) * 200).save(folder / "train" / "images" / f"{name}.png")
        Image.fromarray(label).save(folder / "train" / "labels" / f"{name}.png")
    return folder


def test_numbered_pictures_become_objects_with_boxes_and_masks(cells: Path) -> None:
    dataset = read(cells, class_name="cell")
    one, two = dataset.photos
    assert (dataset.class_names, len(two.boxes)) == (("cell",), 0)
    assert one.boxes.tolist() == [[10, 5, 30, 15], [40, 20, 60, 40]]
    assert one.masks is not None
    assert [mask.area for mask in one.masks.objects()] == [200, 400]
    assert np.unique(one.masks.id_map()).tolist() == [0, 1, 2]


def test_with_a_list_of_classes_numbers_are_classes_and_255_is_unknown(cells: Path) -> None:
    (cells / "classes.txt").write_text("background\nroad\nsky\n")
    label = np.zeros((40, 60), np.uint8)
    label[:10], label[30:], label[20:22] = 2, 1, 255
    for name in ("one", "two"):
        Image.fromarray(label).save(cells / "train" / "labels" / f"{name}.png")
    dataset = read(cells)
    assert (dataset.class_names, dataset.photos[0].class_ids.tolist()) == (("road", "sky"), [0, 1])
    ids = PhotoReader(dataset.photos, 60).read_ids(0)
    assert (ids[0, 0], ids[35, 0], ids[21, 0], ids[15, 0]) == (2, 1, UNKNOWN, 0)
    Image.fromarray(np.full((40, 60), 9, np.uint8)).save(cells / "train" / "labels" / "two.png")
    data = read_photo_data([cells], "semantic")
    assert [str(problem).partition("labels/")[2] for problem in data.problems] == [
        "two.png: pixels of 9 are none of 3 classes"
    ]
    assert (PhotoReader(data.training.photos, 60).read_ids(1) == UNKNOWN).all()


def test_labels_that_do_not_fit_are_listed_and_their_photos_left_out(cells: Path) -> None:
    labels = cells / "train" / "labels"
    found: list[str] = []
    for save in (Image.new("RGB", (60, 40)).save, Image.new("L", (10, 10)).save, lambda path: path.unlink()):
        save(labels / "one.png")
        data = read_photo_data([cells], "semantic")
        assert [photo.path.name for photo in data.training.photos] == ["two.png"]
        found += [str(problem).partition("labels/")[2] for problem in data.problems]
    assert found == [
        "one.png: pixels must be numbers of 8 or 16 bits, not colours (RGB)",
        "one.png: is 10 x 10 (height x width), and its photo is 40 x 60",
        "one.png: there is no such file",
    ]


def test_polygons_and_both_kinds_of_run_lengths_are_the_same_mask() -> None:
    wanted = rectangle(5, 10, 15, 30)
    compressed = Mask.from_array(wanted).to_coco()
    changes = np.flatnonzero(np.diff(wanted.T.ravel().astype(int))) + 1
    counts = np.diff([0, *changes.tolist(), wanted.size]).tolist()
    segments = [[[10, 5, 30, 5, 30, 15, 10, 15]], compressed, {"size": [40, 60], "counts": counts}]
    masks = CocoMasks((40, 60), segments, ()).objects()
    assert all(np.array_equal(mask.to_array(), wanted) for mask in masks)


def test_the_smaller_object_is_on_top_and_crowds_are_unknown() -> None:
    large, small = (Mask.from_array(rectangle(*place)).to_coco() for place in ((0, 0, 20, 20), (5, 5, 10, 10)))
    crowd = Mask.from_array(rectangle(30, 30, 40, 40)).to_coco()
    ids = CocoMasks((40, 60), [small, large], [crowd]).id_map()
    assert (ids[7, 7], ids[15, 15], ids[35, 35], ids[25, 25]) == (1, 2, UNKNOWN, 0)


@pytest.mark.parametrize(
    "segment",
    [[[1, 2, 3]], [["a"] * 6], "polygon", {"size": [40, 60]}, {"size": [40, 60], "counts": None}],
)
def test_segmentations_that_are_none_are_told_with_the_photo(tmp_path: Path, segment: object) -> None:
    broken = replace(photo_of(rectangle(0, 0, 20, 20), tmp_path / "a.png"), masks=CocoMasks((40, 60), [segment]))
    with pytest.raises(DatasetError, match=r"a\.png: no masks: a segmentation is neither polygons nor run lengths"):
        PhotoReader([broken], 60).read_ids(0)


def test_run_lengths_of_another_photo_are_refused(tmp_path: Path) -> None:
    photo = photo_of(rectangle(0, 0, 20, 20), tmp_path / "a.png")
    other = Mask.from_array(rectangle(0, 0, 2, 2, size=(60, 40))).to_coco()
    with pytest.raises(DatasetError, match=r"size must be that of the image, \[40, 60\]"):
        PhotoReader([replace(photo, masks=CocoMasks((40, 60), [other]))], 60).read_ids(0)


@pytest.mark.parametrize("changes", [{"epochs": 0}, {"batch_size": 0}, {"side": 40}, {"early_side": 0}])
def test_settings_that_train_nothing_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(changes))} must be"):
        PhotoSettings(**changes)


def test_a_class_map_of_other_types_is_refused() -> None:
    pixels: Any = np.ones((2, 2), np.uint8)
    present: Any = np.array([1])
    with pytest.raises(ValueError, match=r"must be \(2, 2\) of uint8, not \(2, 2\) of int64"):
        SemanticMask(pixels.astype(np.int64), present, None, (2, 2))
    for class_ids, probabilities in ((present.astype(np.uint8), None), (present, np.array([0.5]))):
        with pytest.raises(ValueError, match="class_ids must be int64, and probabilities float32"):
            SemanticMask(pixels, class_ids, probabilities, (2, 2))


def test_photos_with_boxes_only_are_unknown_within_them(tmp_path: Path) -> None:
    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    rows = [{"id": 1, "file_name": "a.png", "width": 60, "height": 40, "has_masks": False}]
    boxes = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 5, 20, 10], "iscrowd": 0}]
    document = {"images": rows, "annotations": boxes, "categories": [{"id": 1, "name": "person"}]}
    (tmp_path / "instances_train.json").write_text(json.dumps(document))
    dataset = read(tmp_path)
    assert dataset.photos[0].masks is None
    example = ExampleMaker(PhotoReader(dataset.photos, 60), PLAIN, seed=0, masks=True).make(0, 0, 60, mosaic=False)
    assert example.masked.tolist() == [False]
    assert np.count_nonzero(example.class_map == 255) == 200


@pytest.mark.parametrize("seed", range(8))
def test_masks_stay_with_their_boxes_through_scales_mosaics_mirrors_and_turns(cells: Path, seed: int) -> None:
    photos = read(cells).photos[:1]
    augmentation = replace(Augmentation(mosaic=0.5, scale=(0.7, 1.5)).turned(), flip=0.5)
    example = ExampleMaker(PhotoReader(photos, 64), augmentation, seed, masks=True).make(0, 0, 64, mosaic=True)
    assert example.ids.shape == example.class_map.shape == (64, 64)
    assert np.count_nonzero(example.class_map) >= np.count_nonzero(example.ids)
    for number, box in enumerate(example.boxes, 1):
        rows, columns = np.nonzero(example.ids == number)
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.abs(box - found).max() <= 1.5


def test_at_native_size_photos_are_not_scaled_to_fit(cells: Path) -> None:
    photos = read(cells).photos
    example = ExampleMaker(PhotoReader(photos, 1 << 20), PLAIN, 0, masks=True, native=True).make(0, 0, 96, False)
    assert np.count_nonzero(example.class_map) == 600


def test_cells_of_a_mask_hold_the_share_that_the_object_covers() -> None:
    ids = torch.zeros(8, 8, dtype=torch.int32)
    ids[:, :4] = 1
    ids[:, 4:] = 2
    masks = cut_masks(ids, torch.tensor([[0.0, 0.0, 8.0, 8.0], [3.0, 0.0, 5.0, 8.0]]), torch.tensor([1, 2]), 4)
    assert masks[0].tolist() == [[1, 1, 0, 0]] * 4
    assert masks[1].tolist() == [[0, 0, 1, 1]] * 4
    assert cut_masks(ids, torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), 4).shape == (0, 4, 4)


def test_objects_without_masks_teach_boxes_and_no_mask() -> None:
    torch.manual_seed(0)
    network: Any = build_mask_rcnn_lite(2, width=16, region_width=16, mask_width=8).train()
    ids = torch.zeros(64, 64, dtype=torch.int32)
    ids[8:40, 8:40] = 1
    boxes, classes = torch.tensor([[8.0, 8.0, 40.0, 40.0]]), torch.tensor([1])
    masked = Target(boxes, classes, torch.zeros(0, 4), ids, torch.zeros(0, 0), torch.tensor([True]))
    empty = Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4), ids * 0)
    images = torch.randn(2, 3, 64, 64)
    losses = mask_rcnn_loss(network, images, [masked, empty])
    assert float(losses["loss_mask"].detach()) > 0.1
    torch.stack(list(losses.values())).sum().backward()
    assert network.roi_heads.mask_head[0][0].weight.grad.abs().sum() > 0
    boxes_only = replace(masked, masked=torch.tensor([False]))
    assert float(mask_rcnn_loss(network, images, [boxes_only, empty])["loss_mask"].detach()) == 0


def total(logits: torch.Tensor, class_maps: torch.Tensor) -> float:
    return torch.stack(list(segmentation_loss(logits, class_maps).values())).sum().item()


def test_the_loss_of_classes_is_nought_where_all_is_right_or_unknown() -> None:
    wanted = torch.zeros(2, 8, 8, dtype=torch.int64)
    wanted[:, :4] = 1
    right = torch.stack([(wanted == index) * 40.0 - 20 for index in range(2)], 1)
    assert total(right, wanted) == pytest.approx(0, abs=1e-4)
    assert total(-right, wanted) > 20
    half_known = wanted.clone()
    half_known[:, 4:] = 255
    everywhere = torch.stack([torch.full((2, 8, 8), -20.0), torch.full((2, 8, 8), 20.0)], 1)
    assert total(everywhere, half_known) == pytest.approx(0, abs=1e-4)
    assert total(right, torch.full_like(wanted, 255)) == pytest.approx(0, abs=1e-4)


def photo_of(mask: np.ndarray, path: Path) -> Photo:
    masks = CocoMasks((40, 60), [Mask.from_array(mask).to_coco()])
    boxes = np.array([[0, 0, 60, 40]], np.float32)
    return Photo(path, 1, (40, 60), boxes, np.zeros(1, np.int64), np.zeros((0, 4), np.float32), masks)


def test_intersection_over_union_comes_from_one_confusion_matrix() -> None:
    truth, found = (rectangle(0, left, 20, left + 20).astype(np.uint8) for left in (0, 10))
    sample = Sample(1, "a.png", b"", RegionTarget(truth))
    figures = semantic_accuracy([(sample, SemanticMask(found, np.array([1]), None, (40, 60)))], 2)
    assert figures["iou"] == pytest.approx(200 / 600)
    assert figures["dice"] == pytest.approx(400 / 800)
    assert figures["pixel_accuracy"] == pytest.approx(2000 / 2400)
    assert figures["miou"] == pytest.approx((200 / 600 + 1800 / 2200) / 2)


def test_average_precision_of_masks_goes_by_masks_and_counts_more_than_a_hundred() -> None:
    truth = [rectangle(row * 4, column * 4, row * 4 + 2, column * 4 + 2) for row in range(10) for column in range(15)]
    masks = tuple(Mask.from_array(mask) for mask in truth)
    count, class_ids = len(masks), np.zeros(len(masks), np.int64)
    boxes = np.tile([0.0, 0.0, 60.0, 40.0], (count, 1))
    target = ObjectTarget(boxes, class_ids, np.full(count, 4.0), np.zeros(count, np.bool_), masks)
    scores = np.linspace(0.9, 0.5, count, dtype=np.float32)
    found = InstanceMasks(np.zeros((count, 4), np.float32), scores, class_ids, (40, 60), masks)  # boxes of no use
    pairs = [(Sample(1, "a.png", b"", target), found)]
    assert average_precision(pairs, 1, masks=True, max_detections=150)["map"] == pytest.approx(1)
    assert average_precision(pairs, 1, masks=True)["map"] == pytest.approx(67 / 101)  # recall of 100 in 150
    assert average_precision(pairs, 1)["map_50"] == 0


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_numbers_in_shades_of_few_bits_are_read_as_they_stand_in_the_file(tmp_path: Path, bits: int) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = sum(value << (32 - bits * (place + 1)) for place, value in enumerate((0, 1, 2, 3)))
    header = struct.pack(">IIBBBBB", 4, 1, bits, 0, 0, 0, 0)
    data = zlib.compress(b"\0" + row.to_bytes(4, "big")[: (4 * bits + 7) // 8])
    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    (tmp_path / "label.png").write_bytes(file)
    assert read_numbers(tmp_path / "label.png").tolist() == [[0, 1, 2, 3]]
