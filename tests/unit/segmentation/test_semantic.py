"""A semantic segmenter says what every pixel of the photo is, whatever the photo's shape and however it was run."""

import weakref
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from torch.nn.functional import interpolate

from models.adapter import ModelInput
from models.entries import LetterboxPreprocessing
from models.execution.executor import executor_for
from models.imaging.letterbox import Letterbox
from models.parameters import SegmentationParameters
from models.predictions import SemanticMask
from models.runtime import Runtime
from models.segmentation.class_maps import class_map_from
from models.segmentation.semantic import SemanticSegmenter
from models.segmentation.tiles import Tiling, logits_by_rows
from tests.photos import encoded, exif_with_orientation
from tests.unit.fake_entries import fake_entry

ZERO, ONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
LETTERBOX = LetterboxPreprocessing(64, 64, ZERO, ONE, stride=8)
NATIVE = LetterboxPreprocessing(4096, 4096, ZERO, ONE, stride=8, enlarge=False)
TILED = replace(NATIVE, tile=64, overlap=24)
FP32 = Runtime(precision="fp32")
NAMES = ("background", "red", "green", "blue")
ASKED = SegmentationParameters(probabilities=True)

pytestmark = pytest.mark.usefixtures("one_thread")


class Colors(nn.Module):
    """Sees red, green and blue where they are above 100, at a stride, and nothing in grey."""

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, images):
        above = images - images.mean(1, keepdim=True) - 50
        logits = torch.cat([torch.zeros_like(above[:, :1]), above], 1) / 10
        return nn.functional.avg_pool2d(logits, self.stride) if self.stride > 1 else logits


class Neighbourhood(nn.Module):
    """Three convolutions of 5 x 5: logits that depend on 6 pixels around."""

    def __init__(self, class_count: int = 4) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        widths = (3, 8, 8, class_count)
        self.layers = nn.Sequential(*(nn.Conv2d(*pair, 5, padding=2) for pair in pairwise(widths)))
        for layer in self.layers:
            assert isinstance(layer, nn.Conv2d) and layer.bias is not None
            layer.weight.data = torch.randn(layer.weight.shape, generator=generator) / 8
            layer.bias.data.zero_()

    def forward(self, images):
        return self.layers(images / 128 - 1)


def segmenter(
    network: nn.Module | None = None,
    preprocessing: LetterboxPreprocessing = LETTERBOX,
    names: tuple[str, ...] = NAMES,
    runtime: Runtime = FP32,
) -> SemanticSegmenter:
    entry = fake_entry("segmentation", preprocessing, names, segmentation="semantic")
    executor = executor_for((network or Colors()).eval(), preprocessing, runtime)
    return SemanticSegmenter(entry, names, runtime, executor, "0" * 64)


def scene(height: int, width: int, red: tuple[int, int, int, int]) -> Image.Image:
    """Grey, with one red box."""
    pixels = np.full((height, width, 3), 114, np.uint8)
    pixels[red[1] : red[3], red[0] : red[2]] = (255, 0, 0)
    return Image.fromarray(pixels)


def noise(height: int, width: int, smooth: int = 8) -> np.ndarray:
    cells = torch.rand(1, 3, -(-height // smooth), -(-width // smooth), generator=torch.Generator().manual_seed(3))
    large = interpolate(cells * 255, scale_factor=smooth, mode="bilinear")
    return large[0, :, :height, :width].permute(1, 2, 0).to(torch.uint8).contiguous().numpy()


def likely(found: SemanticMask) -> np.ndarray:
    assert found.probabilities is not None
    return found.probabilities


def run(adapter: SemanticSegmenter, pixels: np.ndarray, parameters: SegmentationParameters = ASKED):
    (found,) = adapter.predict([encoded(Image.fromarray(pixels), "PNG")], parameters)
    return found


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("size", [(300, 500), (500, 300), (60, 50), (1000, 800), (2000, 200)])
def test_a_class_lies_where_its_pixels_are(size, stride):
    height, width = size
    box = (width // 4, height // 5, width // 2, height // 2)
    (found,) = segmenter(Colors(stride)).predict([encoded(scene(height, width, box), "PNG")])
    truth = np.zeros(size, np.uint8)
    truth[box[1] : box[3], box[0] : box[2]] = 1
    pixel = max(1, max(size) / 64) * stride
    assert found.image_size == size and found.class_ids.tolist() == [1] and found.probabilities is None
    perimeter = 2 * (box[2] - box[0] + box[3] - box[1])
    assert (found.class_map != truth).sum() <= perimeter * pixel * 0.75
    rows, columns = np.nonzero(found.class_map)
    edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(edges, box, atol=1.5 * pixel)


def test_what_an_image_of_the_networks_own_size_shows_is_found_to_the_pixel():
    pixels = noise(64, 48)
    (expected,) = (Colors()(torch.as_tensor(pixels[None]).permute(0, 3, 1, 2).float())).argmax(1).numpy()
    np.testing.assert_array_equal(run(segmenter(), pixels).class_map, expected)


def test_the_answer_belongs_to_the_upright_photo():
    stored = scene(200, 400, (300, 50, 400, 100))
    data = encoded(stored, "PNG", exif=exif_with_orientation(6).tobytes())  # to be turned clockwise by 90 degrees
    (found,) = segmenter().predict([data])
    rows, columns = np.nonzero(found.class_map)
    assert found.image_size == (400, 200)
    np.testing.assert_allclose(
        [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], [100, 300, 150, 400], atol=10
    )


def test_images_of_several_shapes_come_back_in_their_order_and_do_not_mix():
    sizes = [(300, 500), (500, 300), (300, 510), (400, 400), (500, 300)]
    scenes = [scene(*size, (10 + 30 * index, 20, 250, 200)) for index, size in enumerate(sizes)]
    adapter = segmenter()
    together = adapter.predict([encoded(one, "PNG") for one in scenes], ASKED)
    assert [answer.image_size for answer in together] == sizes
    for one, answer in zip(scenes, together, strict=True):
        (alone,) = adapter.predict([encoded(one, "PNG")], ASKED)
        np.testing.assert_array_equal(answer.class_map, alone.class_map)
        np.testing.assert_allclose(likely(answer), likely(alone), rtol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 5000), (7, 5)])
@pytest.mark.parametrize("preprocessing", [LETTERBOX, TILED])
def test_the_strangest_shapes_do_no_harm(size, preprocessing):
    height, width = size
    found = run(segmenter(preprocessing=preprocessing), np.asarray(scene(height, width, (0, 0, width, height))))
    assert found.class_ids.tolist() == [1] and (found.class_map == 1).all()


def test_nothing_but_background_is_an_answer():
    found = run(segmenter(), np.full((30, 40, 3), 99, np.uint8))
    assert found.class_ids.shape == likely(found).shape == (0,) and not found.class_map.any()


def test_classes_that_nobody_asks_for_become_background():
    pixels = noise(100, 80)
    everything = run(segmenter(), pixels)
    some = run(segmenter(), pixels, SegmentationParameters(class_ids=(3, 1, 77), probabilities=True))
    assert everything.class_ids.tolist() == [1, 2, 3] and some.class_ids.tolist() == [1, 3]
    np.testing.assert_array_equal(some.class_map, np.where(everything.class_map == 2, 0, everything.class_map))
    np.testing.assert_array_equal(likely(some), likely(everything)[[0, 2]])
    nothing = run(segmenter(), pixels, SegmentationParameters(class_ids=()))
    assert not nothing.class_map.any() and nothing.class_ids.shape == (0,)


def test_the_probability_of_a_class_is_the_mean_over_its_own_pixels():
    pixels = np.full((64, 64, 3), 114, np.uint8)
    pixels[:, :16], pixels[:, 16:48] = (255, 0, 0), (190, 100, 100)  # 120 and 10 above what is grey enough
    found = run(segmenter(), pixels)
    sure, unsure = (1 / (1 + np.exp(-logit) + 2 * np.exp(-other)) for logit, other in ((12.0, 25.5), (1.0, 9.0)))
    assert likely(found).tolist() == pytest.approx([(sure + 2 * unsure) / 3], rel=1e-5)


def test_a_shifted_image_gives_the_shifted_answer():
    pixels = noise(200, 240)
    for preprocessing in (NATIVE, TILED):
        adapter = segmenter(Neighbourhood(), preprocessing)
        whole, part = run(adapter, pixels), run(adapter, np.ascontiguousarray(pixels[24:, 16:]))
        np.testing.assert_array_equal(part.class_map[8:-8, 8:-8], whole.class_map[32:-8, 24:-8])


def test_three_classes_on_a_line_are_told_apart_between_the_cells():
    """Between two cells a third class may be the greatest; what is computed at the cells alone would miss it."""
    logits = torch.tensor([[9.0, -9.0], [-9.0, 9.0], [5.0, 5.0]])[:, None]
    letterbox = Letterbox((1, 20), (1, 2), (1, 2))
    assert class_map_from([logits], 1, letterbox, False).class_map.tolist() == [[0] * 7 + [2] * 6 + [1] * 7]


@pytest.mark.parametrize("stride", [1, 2, 8])
@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize(("size", "resized"), [((150, 210), (40, 56)), ((40, 56), (40, 56)), ((20, 25), (48, 56))])
def test_logits_are_enlarged_as_torch_does_it(size, resized, probabilities, stride):
    padded = (48, 64)
    cells = torch.randn(5, padded[0] // stride, padded[1] // stride, generator=torch.Generator().manual_seed(1))
    inside = cells[:, : resized[0] // stride, : resized[1] // stride]
    expected = interpolate(inside[None], size, mode="bilinear", align_corners=False)[0]
    letterbox = Letterbox(size, resized, padded)
    blocks = cells.split([1, len(cells[0]) - 1], 1)
    found = class_map_from(blocks, len(cells[0]), letterbox, probabilities)
    best = expected.topk(2, 0).values
    clear = (best[0] - best[1] > 1e-4).numpy()
    np.testing.assert_array_equal(found.class_map[clear], expected.argmax(0).numpy()[clear])
    np.testing.assert_array_equal(found.pixel_counts, np.bincount(found.class_map.ravel(), minlength=5))
    if probabilities:
        assert found.probability_sums is not None
        greatest = expected.softmax(0).max(0).values.numpy()
        sums = [greatest[found.class_map == class_id].sum() for class_id in range(5)]
        np.testing.assert_allclose(found.probability_sums, sums, rtol=1e-3)


def test_padding_says_nothing_about_the_image():
    cells = torch.zeros(2, 8, 8)
    cells[0, :4, :6], cells[1, 4:], cells[1, :, 6:] = 1, 100, 100
    found = class_map_from([cells], 8, Letterbox((40, 60), (4, 6), (8, 8)), True)
    assert not found.class_map.any()
    coarse = class_map_from([cells], 8, Letterbox((45, 65), (34, 50), (64, 64)), False)  # three quarters of a cell are
    assert not coarse.class_map.any()


def test_rows_that_are_done_are_forgotten():
    """However long an image is, no more than a few blocks of its logits are held."""
    held: list[weakref.ref[torch.Tensor]] = []
    most = 0

    def rows():
        nonlocal most
        for _ in range(40):
            block = torch.zeros(3, 8, 50)
            held.append(weakref.ref(block))
            most = max(most, sum(one() is not None for one in held))
            yield block
            del block

    found = class_map_from(rows(), 320, Letterbox((640, 100), (320, 50), (320, 50)), True)
    assert found.class_map.shape == (640, 100)
    assert most <= 3


sides = st.integers(1, 60)


@settings(deadline=None)
@given(sides, sides, st.integers(0, 30))
def test_tiles_cover_a_side_and_share_every_pixel_out(cells, tile_cells, overlap_cells):
    overlap_cells = min(overlap_cells, (tile_cells - 1) // 2)
    tiling = Tiling(8 * tile_cells, 8 * overlap_cells, 8, 1)
    length, side = 8 * cells, min(8 * cells, 8 * tile_cells)
    starts, weights = tiling.starts(length), tiling.weights(length)
    assert starts[0] == 0 and starts[-1] + side == length and all(start % 8 == 0 for start in starts)
    assert all(8 * overlap_cells <= start + side - after and start < after for start, after in pairwise(starts))
    assert len(starts) == 1 + max(0, -(-(cells - tile_cells) // (tile_cells - overlap_cells)))
    total = np.zeros(length)
    for start, share in zip(starts, weights, strict=True):
        assert share.min() >= 0
        total[start : start + side] += share
    np.testing.assert_allclose(total, 1, atol=1e-6)
    for share in weights[1:]:
        assert not share[: 3 * overlap_cells].any(), "three eighths of the overlap do not count"


@pytest.mark.parametrize("size", [(64, 72), (72, 64), (200, 240), (56, 304), (128, 1000)])
@pytest.mark.parametrize("at_once", [1, 64 * 64 * 3])
def test_tiles_give_the_logits_of_the_whole_image_where_their_overlap_suffices(size, at_once):
    """Of 24 pixels of overlap 9 do not count at either side, and the network looks 6 pixels around."""
    network, pixels = Neighbourhood(), noise(*size)
    shapes: list[tuple[int, ...]] = []

    def logits_of(batch: np.ndarray) -> torch.Tensor:
        shapes.append(batch.shape)
        with torch.inference_mode():
            return network(torch.as_tensor(batch).permute(0, 3, 1, 2).float())

    blocks = list(logits_by_rows(logits_of, pixels, Tiling(64, 24, 8, at_once)))
    assert {shape[1:] for shape in shapes} == {(min(64, size[0]), min(64, size[1]), 3)}
    assert max(shape[0] for shape in shapes) <= max(1, at_once // 64**2)
    torch.testing.assert_close(torch.cat(blocks, 1), logits_of(pixels[None])[0], atol=1e-5, rtol=1e-5)


def test_a_large_image_gets_the_same_answer_in_tiles():
    pixels = noise(203, 331)
    network = Neighbourhood()
    whole, tiled = run(segmenter(network, NATIVE), pixels), run(segmenter(network, TILED), pixels)
    assert (whole.class_map == tiled.class_map).mean() > 0.9999
    np.testing.assert_allclose(likely(whole), likely(tiled), rtol=1e-4)


def test_coarse_logits_of_tiles_are_those_of_the_whole_image():
    pixels = np.asarray(scene(160, 200, (37, 21, 150, 99)))
    whole, tiled = (run(segmenter(Colors(4), preprocessing), pixels) for preprocessing in (NATIVE, TILED))
    np.testing.assert_array_equal(whole.class_map, tiled.class_map)


def test_tiled_images_above_the_largest_size_come_back_in_their_own():
    preprocessing = replace(TILED, short_side=96, long_side=128)
    box = (100, 100, 400, 250)
    found = run(segmenter(preprocessing=preprocessing), np.asarray(scene(300, 600, box)))
    rows, columns = np.nonzero(found.class_map)
    assert found.image_size == (300, 600)
    np.testing.assert_allclose([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], box, atol=5)


def test_images_in_tiles_do_not_mix_either():
    adapter = segmenter(Neighbourhood(), TILED)
    pixels = [noise(80, 120), np.ascontiguousarray(noise(80, 120)[::-1])]
    inputs = [ModelInput(image, (80, 120)) for image in pixels]
    found = adapter.postprocess(adapter.forward(inputs), inputs, [SegmentationParameters()] * 2)
    for image, answer in zip(pixels, found, strict=True):
        np.testing.assert_array_equal(answer.class_map, run(adapter, image).class_map)


def test_a_request_that_asks_for_probabilities_may_share_a_batch_with_one_that_does_not():
    adapter = segmenter()
    inputs = [ModelInput(noise(64, 64), (64, 64))] * 2
    some, other = adapter.postprocess(adapter.forward(inputs), inputs, [ASKED, SegmentationParameters()])
    assert some.probabilities is not None and other.probabilities is None
    np.testing.assert_array_equal(some.class_map, other.class_map)


def test_a_class_map_tells_256_classes_apart_and_no_more():
    names = tuple(f"class {index}" for index in range(256))
    found = run(segmenter(Neighbourhood(256), LETTERBOX, names), noise(40, 40))
    assert found.class_ids.max() > 127
    with pytest.raises(ValueError, match="257 classes"):
        segmenter(names=(*names, "one more"))


def sizes_seen(adapter: SemanticSegmenter, monkeypatch) -> set[tuple[int, ...]]:
    seen: set[tuple[int, ...]] = set()
    original = adapter.network.run
    monkeypatch.setattr(adapter.network, "run", lambda pixels: (seen.add(pixels.shape[1:3]), original(pixels))[1])
    return seen


def test_warming_up_sees_the_usual_shapes_or_whole_tiles(monkeypatch):
    for preprocessing, expected in ((LETTERBOX, {(48, 64), (64, 48), (64, 64)}), (TILED, {(64, 64)})):
        adapter = segmenter(preprocessing=preprocessing)
        seen = sizes_seen(adapter, monkeypatch)
        adapter.warm_up(2)
        assert expected <= seen and (preprocessing.tile is None or seen == expected)


@pytest.mark.parametrize("preprocessing", [LETTERBOX, TILED])
def test_a_compiled_network_sees_one_shape(preprocessing, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda network, dynamic: network)
    adapter = segmenter(preprocessing=preprocessing, runtime=replace(FP32, compile=True))
    seen = sizes_seen(adapter, monkeypatch)
    for size in ((30, 40), (64, 50), (50, 200), (130, 100)):
        found = run(adapter, np.asarray(scene(*size, (0, 0, size[1] // 2, size[0]))))
        assert found.image_size == size
        assert found.class_map.mean() == pytest.approx(0.5, abs=0.02)
    assert seen == {(64, 64)}
