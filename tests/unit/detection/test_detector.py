"""A detector answers in the pixels of the photo that came, whatever its shape and however it was decoded."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from math import log

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from models.adapter import ModelInput
from models.detection.candidates import MAX_CANDIDATES, SCORE_FLOOR, Candidates
from models.detection.detector import Detector
from models.detection.lite_backbone import build_yolox_lite
from models.detection.selection import iou
from models.detection.yolox import Yolox
from models.detection.yolox_candidates import YoloxCandidates, candidates_from
from models.detection.yolox_family import build_yolox
from models.entries import LetterboxPreprocessing
from models.execution.executor import Executor
from models.parameters import DetectionParameters
from models.runtime import Runtime, cpu_has_bf16
from tests.photos import encoded, exif_with_orientation, photo
from tests.unit.fake_entries import fake_entry

pytestmark = pytest.mark.slow

PREPROCESSING = LetterboxPreprocessing(416, 416, (127.0, 127.0, 127.0), (128.0, 128.0, 128.0))
SMALL = LetterboxPreprocessing(128, 128, (127.0, 127.0, 127.0), (128.0, 128.0, 128.0))
DEFAULTS = {"score_threshold": 0.6, "iou_threshold": 0.5, "max_detections": 100}
ENTRY = fake_entry("detection", PREPROCESSING, ("bright", "dark"), defaults=DEFAULTS)
FP32 = Runtime(precision="fp32")
PLAIN = Runtime(precision="fp32", fuse=False, channels_last=False)


class BrightThings:
    """A candidate network that finds the one region of an image that is brighter than its padding, twice."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def candidates(self, pixels: np.ndarray) -> list[Candidates]:
        self.shapes.append(pixels.shape)
        return [self._found(image) for image in pixels]

    def _found(self, image: np.ndarray) -> Candidates:
        rows, columns = np.nonzero(image.min(2) > 180)
        if not len(rows):
            return Candidates.none()
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        boxes = torch.tensor([box, [side + 1 for side in box]], dtype=torch.float32)
        return Candidates(boxes, torch.tensor([0.9, 0.5]), torch.tensor([0, 0]))


def detector(runtime: Runtime = FP32) -> tuple[Detector, BrightThings]:
    network = BrightThings()
    return Detector(ENTRY, ("bright", "dark"), runtime, network, "0" * 64), network


def scene(height: int, width: int, box: tuple[int, int, int, int]) -> Image.Image:
    """Black, with one white box."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = 255
    return Image.fromarray(pixels)


@pytest.mark.parametrize("image_format", ["PNG", "JPEG"])
@pytest.mark.parametrize("size", [(300, 500), (500, 300), (60, 50), (3000, 2400), (2000, 200)])
def test_a_thing_is_found_where_it_is(size, image_format):
    height, width = size
    box = (width // 4, height // 5, width // 2, height // 2)
    (found,) = detector()[0].predict([encoded(scene(height, width, box), image_format)])
    pixel = max(1.5, 1.5 * max(size) / 416)
    np.testing.assert_allclose(found.boxes, [box], atol=2 * pixel)
    assert found.image_size == size and found.class_ids.tolist() == [0]
    assert found.scores.tolist() == pytest.approx([0.9])


def test_boxes_are_in_pixels_of_the_upright_photo():
    stored = scene(200, 400, (300, 50, 400, 100))
    data = encoded(stored, "JPEG", exif=exif_with_orientation(6).tobytes())  # to be turned clockwise by 90 degrees
    (found,) = detector()[0].predict([data])
    assert found.image_size == (400, 200)
    np.testing.assert_allclose(found.boxes, [[100, 300, 150, 400]], atol=3)


def test_nothing_gives_an_empty_answer():
    (found,) = detector()[0].predict([encoded(scene(100, 100, (0, 0, 0, 0)), "PNG")])
    assert found.boxes.shape == (0, 4) and found.scores.shape == found.class_ids.shape == (0,)


def test_without_parameters_the_models_own_are_taken():
    data = encoded(scene(400, 400, (100, 100, 110, 110)), "PNG")
    adapter, _ = detector()
    assert len(adapter.predict([data])[0].scores) == 1, "0.5 is below the model's own threshold"
    assert len(adapter.predict([data], DetectionParameters(0.3, iou_threshold=1))[0].scores) == 2


def test_images_of_several_shapes_come_back_in_their_order():
    sizes = [(300, 500), (500, 300), (300, 510), (400, 400), (500, 300)]
    adapter, network = detector()
    data = [encoded(scene(*size, (10 + 20 * index, 20, 200, 200)), "PNG") for index, size in enumerate(sizes)]
    answers = adapter.predict(data)
    assert [answer.image_size for answer in answers] == sizes
    assert [round(float(answer.boxes[0, 0]), -1) for answer in answers] == [10, 30, 50, 70, 90]
    assert sorted(network.shapes) == [(1, 416, 416, 3), (2, 256, 416, 3), (2, 416, 256, 3)]


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 20_000), (7, 5)])
def test_the_strangest_shapes_do_no_harm(size):
    height, width = size
    (found,) = detector()[0].predict([encoded(scene(height, width, (0, 0, width, height)), "PNG")])
    np.testing.assert_allclose(found.boxes, [[0, 0, width, height]], atol=0.02 * max(size))


def test_a_large_jpeg_is_decoded_small_and_a_small_one_in_full():
    adapter, _ = detector()
    large, small = (encoded(photo("astronaut").resize((side, side)), "JPEG") for side in (4000, 640))
    assert adapter.decode(large).pixels.shape == (1000, 1000, 3)
    assert adapter.decode(large).size == (4000, 4000)
    assert adapter.decode(small).pixels.shape == (640, 640, 3)


def test_boxes_in_the_padding_are_dropped_and_those_across_the_edge_are_cut():
    adapter, _ = detector()
    item = ModelInput(np.zeros((224, 416, 3), np.uint8), (208, 416))
    boxes = torch.tensor([[10.0, 210, 50, 220], [380, 190, 900, 300], [float("nan"), 0, 9, 9], [9, 9, 5, 5]])
    raw = [Candidates(boxes, torch.full((4,), 0.9), torch.zeros(4, dtype=torch.int64))]
    (found,) = adapter.postprocess(raw, [item], [DetectionParameters()])
    assert found.boxes.tolist() == [[380, 190, 416, 208]]


def test_a_compiled_network_sees_squares_only():
    adapter, network = detector(Runtime(precision="fp32", compile=True))
    adapter.predict([encoded(scene(100, 400, (0, 0, 9, 9)), "PNG")])
    assert network.shapes == [(1, 416, 416, 3)]


def test_warming_up_tries_the_usual_shapes_and_batches_up_to_the_largest():
    adapter, network = detector()
    adapter.warm_up(6)
    assert {shape[0] for shape in network.shapes} == {1, 2, 4, 6}
    assert {(1, 320, 416, 3), (1, 416, 320, 3), (6, 416, 416, 3)} <= set(network.shapes)


@cache
def network_of(kind: str) -> Yolox:
    """A small network whose answers differ from cell to cell, as a trained one's do."""
    torch.manual_seed(4)
    network = build_yolox_lite(2, width=16, head_width=8) if kind == "lite" else build_yolox("nano", 3)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.uniform_(module.bias, -0.2, 0.2)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.bias, -0.2, 0.2)
            module.state_dict()["running_mean"].uniform_(-0.2, 0.2)
            module.state_dict()["running_var"].uniform_(0.8, 1.2)
    return network.eval()


@cache
def yolox(runtime: Runtime) -> YoloxCandidates:
    return YoloxCandidates(network_of("lite"), SMALL, runtime)


def noise(count: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def by_score(candidates: Candidates) -> Candidates:
    return candidates[candidates.scores.argsort(descending=True, stable=True)]


def test_permuting_a_batch_permutes_the_answers():
    network, pixels = yolox(FP32), noise(4, 96, 128)
    order = [2, 0, 3, 1]
    straight, permuted = network.candidates(pixels), network.candidates(np.ascontiguousarray(pixels[order]))
    for position, index in enumerate(order):
        some, other = by_score(straight[index]), by_score(permuted[position])
        torch.testing.assert_close(some.scores, other.scores)
        torch.testing.assert_close(some.boxes, other.boxes, atol=1e-3, rtol=1e-4)


def test_several_threads_may_share_a_network():
    network = yolox(FP32)
    batches = [noise(1, 96, 128), noise(2, 128, 96), noise(1, 64, 64)] * 4
    expected = [network.candidates(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(network.candidates, batches))
    for some, others in zip(found, expected, strict=True):
        for one, other in zip(some, others, strict=True):
            torch.testing.assert_close(by_score(one).scores, by_score(other).scores)


def levels_of(objectness: list[float], class_logits: list[list[float]]) -> list[torch.Tensor]:
    """Maps of one image of 64 × 32 pixels, of 8 × 4, 4 × 2 and 2 × 1 cells; cells that are not given are empty."""
    raw = torch.zeros(42, 5 + len(class_logits[0]))
    raw[:, 4] = -30
    raw[: len(objectness), 4] = torch.tensor(objectness)
    raw[: len(class_logits), 5:] = torch.tensor(class_logits)
    return [part.T.reshape(1, -1, rows, 2 * rows) for part, rows in zip(raw.split([32, 8, 2]), (4, 2, 1), strict=True)]


def test_scores_and_boxes_are_those_of_the_formula():
    (found,) = candidates_from(levels_of([log(3), -8, 0.0], [[0.0, log(9)], [9.0, 9.0], [0.0, -9.0]]))
    found = by_score(found)
    torch.testing.assert_close(found.scores, torch.tensor([0.75 * 0.9, 0.5 * 0.5]))
    assert found.class_ids.tolist() == [1, 0]
    assert found.boxes.tolist() == [[-4, -4, 4, 4], [12, -4, 20, 4]], "of the first and third cell, of 8 pixels a side"


def test_what_is_below_the_floor_is_dropped_and_no_more_than_the_most_are_given():
    generator = torch.Generator().manual_seed(1)
    levels = [torch.randn(2, 6, side, side, generator=generator) for side in (52, 26, 13)]
    many, few = candidates_from([torch.stack([level[0], level[1] - 4]) for level in levels])
    assert len(many) == MAX_CANDIDATES and 0 < len(few) < MAX_CANDIDATES
    assert few.scores.min() >= SCORE_FLOOR
    everything = torch.cat([level[0].flatten(1) for level in levels], 1)
    assert many.scores.max() == pytest.approx(float((everything[4].sigmoid() * everything[5].sigmoid()).max()))
    (none,) = candidates_from([torch.full((1, 6, side, side), -20.0) for side in (4, 2, 1)])
    assert len(none) == 0 and none.boxes.shape == (0, 4)


@pytest.mark.parametrize("kind", ["lite", "nano"])
def test_a_detector_gives_the_same_however_it_is_run(kind):
    network = network_of(kind)
    runtimes = {FP32: 1e-4, **({Runtime(precision="bf16"): 0.2} if cpu_has_bf16() else {})}
    plain = Executor(network, SMALL, PLAIN)
    others = [(Executor(network, SMALL, runtime), tolerance) for runtime, tolerance in runtimes.items()]
    for count, height, width in ((1, 96, 96), (3, 64, 128), (2, 128, 32)):
        pixels = noise(count, height, width)
        expected = plain.run_all(pixels)
        assert [output.shape[2:] for output in expected] == [(height // side, width // side) for side in (8, 16, 32)]
        for executor, tolerance in others:
            for got, wanted in zip(executor.run_all(pixels), expected, strict=True):
                assert got.shape == wanted.shape and got.dtype == torch.float32
                assert (got - wanted).square().mean().sqrt() <= tolerance * wanted.std()


@pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU has no bf16 arithmetic")
def test_the_last_layers_stay_in_float32():
    """A bf16 number has 8 bits: answers that all are bf16 numbers were rounded."""
    for output in Executor(network_of("lite"), SMALL, Runtime(precision="bf16")).run_all(noise(1, 64, 64)):
        assert not torch.equal(output, output.bfloat16().float())


def test_answers_keep_to_the_threshold_of_overlap():
    adapter = Detector(ENTRY, ("bright", "dark"), FP32, yolox(FP32), "0" * 64)
    (found,) = adapter.predict([encoded(photo("astronaut"), "JPEG")], DetectionParameters(0.01, 0.4, 1000))
    boxes, class_ids = torch.tensor(found.boxes), torch.tensor(found.class_ids)
    overlap = iou(boxes, boxes).fill_diagonal_(0)
    assert len(found.scores) > 1
    assert torch.all(overlap[class_ids[:, None] == class_ids] <= 0.4 + 1e-5)
