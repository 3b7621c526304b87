"""What a detector learns from: data sets, examples, assignment and loss."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models.datasets.photo_dataset import DatasetError, PhotoDataset
from models.detection.grid import boxes_of, cells, flatten
from models.detection.lite_backbone import build_yolox_lite
from models.training.assignment import assign
from models.training.augmentation import Augmentation, ExampleMaker
from models.training.photo_data import read_photo_data
from models.training.photo_recipe import coloured
from models.training.photos import PhotoReader
from models.training.yolox_loss import Target, yolox_loss

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

PLAIN = Augmentation(mosaic=0, scale=(1, 1), flip=0, brightness=0, contrast=0, saturation=0, tint=0)


def read(*data: Path, **options: Any) -> PhotoDataset:
    """What a detector learns from."""
    return read_photo_data(data, "detection", **options).training


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photos: a red square of 20 pixels at (30, 10) on black, and an empty one."""
    (tmp_path / "images").mkdir()
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[10:30, 30:50] = (255, 0, 0)
    for name, array in (("square.png", pixels), ("empty.png", np.zeros((60, 80, 3), np.uint8))):
        Image.fromarray(array).save(tmp_path / "images" / name)
    rows = [{"id": 5, "file_name": "square.png"}, {"id": 9, "file_name": "empty.png"}]
    document = {
        "images": [{**row, "width": 80, "height": 60} for row in rows],
        "categories": [{"id": 3, "name": "square"}, {"id": 1, "name": "disc"}],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 3, "bbox": [30, 10, 20, 20], "iscrowd": 0},
            {"id": 2, "image_id": 5, "category_id": 3, "bbox": [60, 40, 40, 10], "iscrowd": 1},
            {"id": 3, "image_id": 5, "category_id": 1, "bbox": [1, 1, 0, 4], "iscrowd": 0},
        ],
    }
    (tmp_path / "instances_train.json").write_text(json.dumps(document))
    return tmp_path


def test_reads_corners_class_indices_and_crowds(folder: Path) -> None:
    dataset = read(folder)
    assert (dataset.class_names, dataset.category_ids) == (("disc", "square"), (1, 3))
    first, second = dataset.photos
    assert first.boxes.tolist() == [[30, 10, 50, 30]]
    assert first.class_ids.tolist() == [1]
    assert first.crowds.tolist() == [[60, 40, 80, 50]]  # cut at the right edge
    assert second.boxes.shape == (0, 4)


def test_keeps_only_the_classes_that_are_asked_for(folder: Path) -> None:
    dataset = read(folder, classes=("disc",))
    assert [len(photo.boxes) for photo in dataset.photos] == [0, 0]
    with pytest.raises(DatasetError, match=r"no class 'cat'; it has disc, square"):
        read(folder, classes=("cat",))


@pytest.mark.parametrize(
    ("text", "problem"),
    [("{", "not JSON"), ("[]", "neither in COCO's format"), ('{"images": []}', "neither in COCO's format")],
)
def test_a_broken_annotation_file_is_told_by_name(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "instances_train.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match=f"instances_train.json: .*{problem}"):
        read(path)


def test_wrong_labels_are_listed_and_left_out(folder: Path) -> None:
    path = folder / "instances_train.json"
    document = json.loads(path.read_text())
    document["annotations"][0]["bbox"] = [30, 10, "wide", 20]
    document["images"].append({"id": 11, "file_name": "absent.png", "width": 80, "height": 60})
    path.write_text(json.dumps(document))
    data = read_photo_data([folder], "detection")
    assert {problem.kind for problem in data.problems} == {
        "bad_number",
        "missing_file",
        "zero_area",  # of a disc
        "outside_image",  # a crowd, which is cut
    }
    assert [len(photo.boxes) for photo in data.training.photos] == [0, 0]


def test_names_and_links_that_lead_out_of_the_folder_need_the_option(folder: Path) -> None:
    outside = folder.parent / f"{folder.name}-private.png"
    (folder / "images" / "empty.png").rename(outside)
    path = folder / "instances_train.json"
    text = path.read_text()
    for name in (f"../../{outside.name}", str(outside)):
        path.write_text(text.replace("empty.png", name))
        with pytest.raises(DatasetError, match=r"images\[1\]: .*-private.png is outside .*--allow-outside"):
            read(folder)
        assert read(folder, allow_outside=True).photos[1].path.read_bytes() == outside.read_bytes()
    path.write_text(text)
    (folder / "images" / "empty.png").symlink_to(outside)
    with pytest.raises(DatasetError, match="--allow-outside"):
        read(folder)


def test_an_annotation_of_another_size_than_its_photo_is_refused(folder: Path) -> None:
    Image.new("RGB", (60, 80)).save(folder / "images" / "square.png")
    reader = PhotoReader(read(folder).photos, longest_side=96)
    with pytest.raises(DatasetError, match=r"square\.png: is \(80, 60\), but its annotation says \(60, 80\)"):
        reader.read(0)


def make_maker(folder: Path, augmentation: Augmentation) -> ExampleMaker:
    return ExampleMaker(PhotoReader(read(folder).photos, 64), augmentation, seed=1)


def test_the_box_stays_around_its_square_whatever_is_done(folder: Path) -> None:
    maker = make_maker(folder, Augmentation(mosaic=0.5, brightness=0, contrast=0, saturation=0, tint=0))
    seen = 0
    for epoch in range(30):
        example = maker.make(epoch, 0, side=128, mosaic=True)
        red = (example.pixels[..., 0] > 160) & (example.pixels[..., 1] < 60)
        inside = np.zeros_like(red)
        for x_min, y_min, x_max, y_max in example.boxes.round().astype(int):
            inside[y_min:y_max, x_min:x_max] = True
            assert red[y_min + 1 : y_max - 1, x_min + 1 : x_max - 1].mean() > 0.9
            seen += 1
        # What is red outside every box belongs to squares that are cut to a sliver.
        assert (red & ~inside).sum() < 0.02 * red.size
    assert seen > 20


def test_the_same_seed_epoch_and_index_give_the_same_example(folder: Path) -> None:
    first, second = (make_maker(folder, Augmentation()).make(3, 0, 96, mosaic=True) for _ in range(2))
    assert np.array_equal(first.pixels, second.pixels)
    assert np.array_equal(first.boxes, second.boxes)
    assert np.array_equal(first.colour, second.colour)
    other = make_maker(folder, Augmentation()).make(4, 0, 96, mosaic=True)
    assert not np.array_equal(first.pixels, other.pixels)


def test_a_plain_example_is_the_photo_at_the_size_that_fits(folder: Path) -> None:
    example = make_maker(folder, PLAIN).make(0, 0, side=160, mosaic=True)
    assert example.boxes[:, 2:].tolist() == (example.boxes[:, :2] + 40).tolist()
    assert np.allclose(example.colour, np.eye(3, 4), atol=1e-6)


def test_the_change_of_colour_is_the_affine_map_it_says() -> None:
    pixels = torch.tensor([[[[10, 20, 30]]]], dtype=torch.uint8)
    colour = torch.tensor([[[2.0, 0, 0, 1], [0, 0, 1, 0], [0, -1, 0, 5]]])
    assert coloured(pixels, colour)[0, :, 0, 0].tolist() == [21, 30, 0]


def test_cells_are_counted_level_by_level_and_row_by_row() -> None:
    levels = [torch.zeros(1, 6, 64 // stride, 96 // stride) for stride in (8, 16, 32)]
    places = cells(levels)
    assert len(places) == 8 * 12 + 4 * 6 + 2 * 3
    assert places[13].tolist() == [1, 1, 8]
    assert places[-1].tolist() == [2, 1, 32]
    levels[1][0, 4, 2, 5] = 7.0
    assert flatten(levels)[0, 8 * 12 + 2 * 6 + 5, 4] == 7.0


def test_a_box_is_decoded_around_its_cell() -> None:
    raw = torch.tensor([[0.5, 0.25, np.log(3), np.log(2)]], dtype=torch.float32)
    # Cell (4, 2) of stride 16: centre (4.5 · 16, 2.25 · 16), 48 wide and 32 high.
    assert boxes_of(raw, torch.tensor([[4.0, 2.0, 16.0]]))[0].tolist() == pytest.approx([48, 20, 96, 52])


def test_an_object_goes_to_the_cells_that_frame_it_best_and_a_cell_to_one_object() -> None:
    centres = torch.tensor([[8.0, 8], [24, 8], [40, 8], [200, 200]])
    boxes = torch.tensor([[0.0, 0, 30, 30], [0, 0, 32, 32], [30, 0, 60, 30], [0, 0, 32, 32]])
    targets = torch.tensor([[0.0, 0, 32, 32], [30, 0, 62, 32]])
    found = assign(boxes, torch.full((4, 1), 0.5), centres, targets, torch.tensor([0, 0]))
    assert dict(zip(found.cells.tolist(), found.objects.tolist(), strict=True)) == {0: 0, 1: 0, 2: 1}
    quality = dict(zip(found.cells.tolist(), found.quality.tolist(), strict=True))
    assert quality[1] == pytest.approx(1.0)  # the best cell of an object is worth its IoU
    assert quality[2] == pytest.approx(30 * 30 / 32**2)
    assert quality[0] == pytest.approx((30 * 30 / 32**2) ** 6)  # the score is the same, so IoU⁶ decides


def test_without_objects_nothing_is_assigned_and_only_objectness_is_learned() -> None:
    levels = [torch.zeros(1, 6, 64 // stride, 64 // stride, requires_grad=True) for stride in (8, 16, 32)]
    empty = Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4))
    losses = yolox_loss(levels, [empty])
    assert (losses["box"].item(), losses["class"].item()) == (0, 0)
    assert losses["objectness"].item() == pytest.approx((64 + 16 + 4) * np.log(2), rel=1e-5)
    sum(losses.values(), torch.zeros(())).backward()


def test_cells_in_a_crowd_are_not_told_that_there_is_nothing() -> None:
    levels = [torch.zeros(1, 6, 64 // stride, 64 // stride) for stride in (8, 16, 32)]
    crowd = Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.tensor([[0.0, 0, 32, 64]]))
    assert yolox_loss(levels, [crowd])["objectness"].item() == pytest.approx((32 + 8 + 2) * np.log(2), rel=1e-5)


def test_a_network_learns_one_picture_by_heart() -> None:
    torch.manual_seed(0)
    network = build_yolox_lite(class_count=2, width=16, head_width=16)
    images = torch.zeros(2, 3, 64, 64)
    images[0, 0, 8:40, 8:40] = 2.0
    images[1, 1, 24:56, 16:48] = 2.0
    targets = [
        Target(torch.tensor([[8.0, 8, 40, 40]]), torch.tensor([0]), torch.zeros(0, 4)),
        Target(torch.tensor([[16.0, 24, 48, 56]]), torch.tensor([1]), torch.zeros(0, 4)),
    ]
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    totals: list[float] = []
    for _ in range(50):
        total = torch.stack(list(yolox_loss(network(images), targets).values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert totals[-1] < 0.35 * totals[0]
