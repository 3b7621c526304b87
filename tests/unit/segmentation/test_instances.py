"""Objects and their masks are those of torchvision's own Mask R-CNN, in the pixels of the photo that came."""

from __future__ import annotations

import tracemalloc
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.models
from PIL import Image
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.roi_heads import paste_masks_in_image

from models.adapter import ModelInput
from models.detection.candidates import Candidates
from models.detection.selection import iou
from models.entries import CatalogEntry, LetterboxPreprocessing
from models.geometry.masks import Mask
from models.parameters import SegmentationParameters
from models.runtime import Runtime, cpu_has_bf16
from models.segmentation.instances import InstanceSegmenter
from models.segmentation.lite_mask_rcnn import build_mask_rcnn_lite
from models.segmentation.mask_rcnn_regions import MAX_OBJECTS, OVERLAP, SCORE_FLOOR, MaskRcnnRegions, RegionMasks
from models.segmentation.pasting import paste
from tests.photos import encoded
from tests.unit.fake_entries import fake_entry
from tests.unit.untrained_networks import settle_norms, spread, torchvisions_own

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

PLAIN = Runtime(precision="fp32", fuse=False, channels_last=False)
FP32 = Runtime(precision="fp32")
SIDES = (96, 160)
CLASSES = ("__background__", "cat", "dog", "bird")
EVERYTHING = SegmentationParameters(SCORE_FLOOR, MAX_OBJECTS)


def entry_for(preprocessing: LetterboxPreprocessing, class_names: tuple[str, ...] = CLASSES) -> CatalogEntry:
    defaults = {"score_threshold": 0.6, "max_detections": 3}
    return fake_entry("segmentation", preprocessing, class_names, segmentation="instance", defaults=defaults)


IMAGENET = LetterboxPreprocessing(*SIDES, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), stride=1, antialias=False)
SQUARE = LetterboxPreprocessing(64, 64, (127.0, 127.0, 127.0), (128.0, 128.0, 128.0))


def pixels(count: int = 1, width: int = SIDES[1]) -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (count, SIDES[0], width, 3), dtype=np.uint8)


@cache
def untrained(kind: str) -> Any:
    """A Mask R-CNN of random weights that sees things all over noise, in regular shapes or not."""
    torch.manual_seed(7)
    few = {"rpn_post_nms_top_n_test": 50, "rpn_pre_nms_top_n_test": 100, "min_size": SIDES[0], "max_size": SIDES[1]}
    if kind == "lite":
        network: Any = build_mask_rcnn_lite(3, width=16, region_width=16, mask_width=16, max_regions=50).eval()
        network.transform.min_size, network.transform.max_size = (SIDES[0],), SIDES[1]
    else:
        network = torchvision.models.get_model(kind, weights=None, weights_backbone=None, num_classes=4, **few).eval()
    settle_norms(network, pixels(4))
    return spread(network, pixels())


def adapter_of(network: Any, runtime: Runtime = PLAIN) -> InstanceSegmenter:
    regions = MaskRcnnRegions(network, IMAGENET, runtime)
    return InstanceSegmenter(entry_for(IMAGENET), CLASSES, runtime, regions, "0" * 64)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 1.0


@pytest.mark.parametrize("kind", ["maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2", "lite"])
def test_boxes_classes_and_masks_are_those_of_torchvision(kind):
    """Of an image of twice the size of the input whose pixels come in fours, so that every resize gives the same."""
    network = untrained(kind)
    image = pixels(width=160 if kind == "lite" else 139)[0].repeat(2, 0).repeat(2, 1)
    (found,) = adapter_of(network).predict([encoded(Image.fromarray(image), "PNG")], EVERYTHING)
    (wanted,) = torchvisions_own(network, image[None], SCORE_FLOOR, OVERLAP)
    assert 20 < len(found.scores) <= len(wanted["scores"]) <= len(found.scores) + 1
    near = np.abs(found.boxes[:, None] - wanted["boxes"].numpy()).max(2) < 0.1
    alike = np.abs(found.scores[:, None] - wanted["scores"].numpy()) < 1e-4
    pairs = np.argwhere(near & alike & (found.class_ids[:, None] == wanted["labels"].numpy()))
    # Which of many like proposals survive depends on rounding, which differs between processors.
    assert len({ours for ours, _ in pairs}) >= 0.9 * len(wanted["scores"])
    overlaps = [overlap(found.masks[a].to_array(), (wanted["masks"][b, 0] > 0.5).numpy()) for a, b in pairs]
    assert np.mean(overlaps) > 0.995
    assert len({mask.area for mask in found.masks}) > 10


def test_default_backend_changes_nothing():
    network = untrained("lite")
    (plain,) = MaskRcnnRegions(network, IMAGENET, PLAIN).region_masks(pixels())
    (found,) = MaskRcnnRegions(network, IMAGENET, FP32.resolve()).region_masks(pixels())
    torch.testing.assert_close(found.objects.boxes[:10], plain.objects.boxes[:10], rtol=1e-3, atol=5e-2)
    torch.testing.assert_close(first_masks(found), first_masks(plain), rtol=0, atol=5e-3)


def all_masks(found: RegionMasks) -> torch.Tensor:
    return found.masks_of(torch.arange(len(found.objects)))


def first_masks(found: RegionMasks) -> torch.Tensor:
    return found.masks_of(torch.arange(10))


def test_mask_of_an_object_does_not_depend_on_the_others_that_are_wanted():
    (found,) = MaskRcnnRegions(untrained("lite"), IMAGENET, PLAIN).region_masks(pixels())
    wanted = torch.tensor([17, 3])
    torch.testing.assert_close(found.masks_of(wanted), all_masks(found)[wanted], rtol=0, atol=1e-5)


@pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU has no bf16 arithmetic")
@pytest.mark.parametrize("fuse", [True, False])
def test_bf16_draws_the_same_masks(fuse):
    """The boxes are those that it finds itself: which of many like proposals are looked at depends on rounding."""
    network = untrained("maskrcnn_resnet50_fpn_v2")
    (rough,) = MaskRcnnRegions(network, IMAGENET, Runtime(precision="bf16", fuse=fuse)).region_masks(pixels())
    wanted, masks = drawn_in_float32(network, rough.objects), all_masks(rough)
    assert len(wanted) > 10 and masks.dtype == torch.float32
    assert float((masks - wanted).abs().mean()) < 0.02


@torch.inference_mode()
def drawn_in_float32(network: Any, objects: Candidates) -> torch.Tensor:
    """The masks that torchvision's own parts give to some boxes of the first image."""
    image = (torch.from_numpy(pixels()[0]).float() - torch.tensor(IMAGENET.mean)) / torch.tensor(IMAGENET.std)
    heads = network.roi_heads
    regions = heads.mask_roi_pool(network.backbone(image.permute(2, 0, 1)[None]), [objects.boxes], [SIDES])
    logits = heads.mask_predictor(heads.mask_head(regions))
    return logits[torch.arange(len(objects)), objects.class_ids].sigmoid()


def test_an_image_is_seen_alike_alone_and_in_a_batch():
    network = MaskRcnnRegions(untrained("lite"), IMAGENET, PLAIN)
    together, alone = network.region_masks(pixels(3))[1], network.region_masks(pixels(3)[1:2])[0]
    torch.testing.assert_close(together.objects.scores, alone.objects.scores, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(all_masks(together), all_masks(alone), rtol=0, atol=1e-3)


def test_the_branch_sees_what_is_likely_and_overlaps_little():
    (found,) = MaskRcnnRegions(untrained("lite"), IMAGENET, PLAIN).region_masks(pixels())
    objects = found.objects
    overlaps = iou(objects.boxes, objects.boxes).fill_diagonal_(0)
    assert 20 < len(objects) <= MAX_OBJECTS and all_masks(found).shape == (len(objects), 28, 28)
    assert float(objects.scores.min()) >= SCORE_FLOOR and bool((objects.scores.diff() <= 0).all())
    assert bool((overlaps[objects.class_ids[:, None] == objects.class_ids] <= OVERLAP).all())


def test_nothing_to_see_gives_no_masks():
    network: Any = build_mask_rcnn_lite(3, width=16, region_width=16, mask_width=16).eval()
    torch.nn.init.constant_(network.roi_heads.box_predictor.cls_score.bias[0], 50)
    (found,) = MaskRcnnRegions(network, SQUARE, FP32).region_masks(np.zeros((1, 64, 64, 3), np.uint8))
    assert len(found.objects) == 0 and all_masks(found).shape == (0, 28, 28)
    adapter = InstanceSegmenter(entry_for(SQUARE), CLASSES, FP32, MaskRcnnRegions(network, SQUARE, FP32), "0" * 64)
    (answer,) = adapter.predict([encoded(Image.new("RGB", (30, 40)), "PNG")])
    assert answer.masks == () and answer.boxes.shape == (0, 4) and answer.image_size == (40, 30)


def test_class_ids_count_from_the_first_label_and_masks_stay():
    network = untrained("lite")
    (counted,) = MaskRcnnRegions(network, IMAGENET, PLAIN).region_masks(pixels())
    (shifted,) = MaskRcnnRegions(network, IMAGENET, PLAIN, first_label=1).region_masks(pixels())
    assert set(counted.objects.class_ids.tolist()) == {1, 2, 3}
    assert torch.equal(shifted.objects.class_ids, counted.objects.class_ids - 1)
    assert torch.equal(all_masks(shifted), all_masks(counted))


def test_the_network_is_left_as_it_was():
    network = untrained("lite")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    MaskRcnnRegions(network, IMAGENET, FP32)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_a_detector_is_refused():
    network = torchvision.models.detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)
    assert not isinstance(network, MaskRCNN)
    with pytest.raises(TypeError, match="SSD is no Mask R-CNN"):
        MaskRcnnRegions(network, IMAGENET, PLAIN)


def test_a_pasted_mask_is_torchvisions_to_the_pixel():
    generator = torch.Generator().manual_seed(3)
    for trial in range(200):
        height, width = torch.randint(1, 200, (2,), generator=generator).tolist()
        corners = torch.rand(2, 2, generator=generator) * torch.tensor([width, height])
        box = torch.cat([corners.amin(0), corners.amax(0)])
        if trial % 5 == 0:
            box = torch.tensor([0.0, 0.0, width, height])
        cells = torch.rand(1, 1, 14 if trial % 2 else 28, 14 if trial % 2 else 28, generator=generator)
        wanted = (paste_masks_in_image(cells, box[None], (height, width))[0, 0] > 0.5).numpy()
        found = paste(cells[0, 0].numpy(), box.numpy(), (height, width))
        assert np.count_nonzero(found.to_array() != wanted) <= 1, "where rounding decides"
        if np.array_equal(found.to_array(), wanted):
            assert found == Mask.from_array(wanted)


@pytest.mark.parametrize(
    "box", [(0, 0, 40, 30), (39.99, 29.99, 40, 30), (0, 0, 1e-3, 30), (39.999998, 0, 40, 30), (0, 29.5, 40, 30)]
)
def test_boxes_at_the_edges_do_no_harm(box):
    wanted = (paste_masks_in_image(torch.ones(1, 1, 28, 28), torch.tensor([box]), (30, 40))[0, 0] > 0.5).numpy()
    found = paste(np.ones((28, 28), np.float32), np.array(box, np.float32), (30, 40))
    assert found == Mask.from_array(wanted)


def test_a_mask_of_nothing_and_one_of_the_whole_image():
    box = np.array([0, 0, 50, 20], np.float32)
    assert paste(np.zeros((28, 28), np.float32), box, (20, 50)).area == 0
    assert paste(np.ones((28, 28), np.float32), box, (20, 50)).area > 0.9 * 1000, "all but the outermost pixels"


def test_a_box_that_moves_takes_its_mask_along():
    cells = np.random.default_rng(1).random((28, 28), np.float32)
    box = np.array([10.25, 20.5, 70.75, 60.125], np.float32)
    here, there = (paste(cells, box + [7 * step, 5 * step] * 2, (200, 200)).to_array() for step in (0, 3))
    assert here.any() and np.array_equal(there[15:, 21:], here[:-15, :-21])


class OneOfEach:
    """A network that sees four things of three classes in every image of 64 × 64, all of them discs."""

    def region_masks(self, pixels: np.ndarray) -> list[RegionMasks]:
        boxes = torch.tensor([[8.0, 8, 24, 24], [40, 8, 56, 24], [8, 20, 24, 28], [30, 50, 60, 63]])
        scores, class_ids = torch.tensor([0.9, 0.8, 0.7, 0.3]), torch.tensor([1, 2, 1, 3])
        return [RegionMasks(Candidates(boxes, scores, class_ids), disc().expand(4, -1, -1).__getitem__)] * len(pixels)

    def masks_in(self, pixels: np.ndarray, boxes: torch.Tensor, class_ids: torch.Tensor) -> torch.Tensor:
        return disc().expand(len(boxes), -1, -1)


DISC_SHARE = np.pi / 4 * (27 / 28) ** 2
"""Of a box that a disc fills: it goes from the middle of the first cell to the middle of the last one."""


def disc() -> torch.Tensor:
    row = torch.linspace(-1, 1, 28)
    return (1.5 - (row[:, None].square() + row.square()).sqrt()).clamp(0, 1)


def discs() -> InstanceSegmenter:
    return InstanceSegmenter(entry_for(SQUARE), CLASSES, FP32, OneOfEach(), "0" * 64)


def photo_of(height: int, width: int) -> bytes:
    return encoded(Image.new("RGB", (width, height)), "PNG")


@pytest.mark.parametrize("size", [(64, 64), (640, 640), (900, 450), (200, 1000)])
def test_masks_lie_within_their_boxes_in_the_pixels_of_the_photo(size):
    """The last two are long: what lies in the padding is gone, what reaches into it is cut."""
    (found,) = discs().predict([photo_of(*size)], EVERYTHING)
    scale = 64 / max(size)
    assert found.image_size == size and len(found.masks) == len(found.boxes)
    for box, mask in zip(found.boxes, found.masks, strict=True):
        rows, columns = np.nonzero(mask.to_array())
        x_min, y_min, x_max, y_max = box
        assert mask.size == size
        assert columns.min() >= x_min - 2 / scale and columns.max() <= x_max + 2 / scale
        assert rows.min() >= y_min - 2 / scale and rows.max() <= y_max + 2 / scale
    if min(size) >= 640:
        assert found.masks[0].area == pytest.approx(DISC_SHARE * (16 / scale) ** 2, rel=0.02)
    assert len(found.boxes) == {64: 4, 640: 4, 900: 3, 200: 2}[size[0]]


def test_threshold_classes_and_number_are_the_requests():
    adapter = discs()
    data = photo_of(64, 64)
    assert adapter.predict([data])[0].class_ids.tolist() == [1, 2, 1], "as the entry says"
    assert adapter.predict([data], SegmentationParameters(0.75))[0].class_ids.tolist() == [1, 2]
    assert adapter.predict([data], SegmentationParameters(0.2, class_ids=(3, 2)))[0].class_ids.tolist() == [2, 3]
    assert adapter.predict([data], SegmentationParameters(0.2, class_ids=()))[0].masks == ()
    (one,) = adapter.predict([data], SegmentationParameters(0.2, 1))
    assert one.scores.tolist() == pytest.approx([0.9]) and len(one.masks) == 1


def test_every_image_of_a_batch_has_its_own_parameters():
    adapter = discs()
    inputs = [
        ModelInput(np.zeros((64, 64, 3), np.uint8), (64, 64)),
        ModelInput(np.zeros((64, 64, 3), np.uint8), (8, 8)),
    ]
    answers = adapter.postprocess(
        adapter.forward(inputs), inputs, [SegmentationParameters(0.85), SegmentationParameters(0.1)]
    )
    assert [len(answer.masks) for answer in answers] == [1, 4]
    assert [answer.masks[0].size for answer in answers] == [(64, 64), (8, 8)]


def test_a_hundred_masks_on_a_photo_of_12_megapixels_take_little_memory():
    """Every one as large as the photo; its pixels alone are 12 MB."""
    cells = disc().numpy()
    box = np.array([0, 0, 4000, 3000], np.float32)
    tracemalloc.start()
    masks = [paste(cells, box, (3000, 4000)) for _ in range(100)]
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert masks[0].area == pytest.approx(DISC_SHARE * 12e6, rel=0.002)
    assert peak_bytes < 20e6


def test_objects_whose_boxes_are_known_are_given_masks_there():
    image = discs().decode(photo_of(128, 128))
    boxes = np.array([[16, 16, 48, 48], [80, 16, 112, 32]], np.float32)
    masks = discs().masks_in(image, boxes, np.array([1, 2]))
    shares = [mask.area / ((box[2] - box[0]) * (box[3] - box[1])) for mask, box in zip(masks, boxes, strict=True)]
    assert shares == pytest.approx([DISC_SHARE] * 2, abs=0.1)
    assert discs().masks_in(image, np.zeros((0, 4), np.float32), np.zeros(0, np.int64)) == ()
