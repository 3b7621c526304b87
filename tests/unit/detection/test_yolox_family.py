"""The YOLOX family is that of the official checkpoints: names, shapes, counts, colours, and the way of a file."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import max_pool2d

from models.adapter import ModelInput
from models.catalog.loading import load
from models.catalog.lookup import find
from models.detection.coco_classes import COCO_CLASSES
from models.detection.csp_darknet import Focus, PooledPyramid
from models.detection.yolox_candidates import candidates_from
from models.detection.yolox_entries import _PUBLISHED, find_yolox, yolox_names
from models.detection.yolox_family import SIZES, build_yolox, from_official
from models.errors import WeightsCorrupt
from models.files import file_digest
from models.runtime import Runtime
from models.sources.weights_files import fetch, load_into, locate, read_state_dict

STEM = "backbone.backbone.stem.conv.conv.weight"


pytestmark = pytest.mark.usefixtures("one_thread")


def empty(size):
    with torch.device("meta"):
        return build_yolox(size)


def shapes(size):
    return {key: tuple(value.shape) for key, value in empty(size).state_dict().items()}


@pytest.mark.parametrize(
    ("size", "parameters", "published_millions"),
    [
        ("nano", 912_159, 0.91),
        ("tiny", 5_055_855, 5.06),
        ("s", 8_968_255, 9.0),
        ("m", 25_326_495, 25.3),
        ("l", 54_208_895, 54.2),
        ("x", 99_071_455, 99.1),
    ],
)
def test_a_network_has_as_many_parameters_as_its_paper_says(size, parameters, published_millions):
    """Table of https://github.com/Megvii-BaseDetection/YOLOX#benchmark; the paper has the same figures."""
    count = sum(parameter.numel() for parameter in empty(size).parameters())
    assert count == parameters
    assert count / 1e6 == pytest.approx(published_millions, abs=0.05)


SMALL_SHAPES = {
    STEM: (32, 12, 3, 3),
    "backbone.backbone.stem.conv.bn.running_mean": (32,),
    "backbone.backbone.dark2.0.conv.weight": (64, 32, 3, 3),
    "backbone.backbone.dark2.1.conv1.conv.weight": (32, 64, 1, 1),
    "backbone.backbone.dark2.1.conv2.bn.bias": (32,),
    "backbone.backbone.dark2.1.conv3.conv.weight": (64, 64, 1, 1),
    "backbone.backbone.dark2.1.m.0.conv1.conv.weight": (32, 32, 1, 1),
    "backbone.backbone.dark2.1.m.0.conv2.conv.weight": (32, 32, 3, 3),
    "backbone.backbone.dark3.0.conv.weight": (128, 64, 3, 3),
    "backbone.backbone.dark3.1.m.2.conv2.bn.weight": (64,),
    "backbone.backbone.dark4.1.conv3.conv.weight": (256, 256, 1, 1),
    "backbone.backbone.dark4.1.m.2.conv2.conv.weight": (128, 128, 3, 3),
    "backbone.backbone.dark5.0.conv.weight": (512, 256, 3, 3),
    "backbone.backbone.dark5.1.conv1.conv.weight": (256, 512, 1, 1),
    "backbone.backbone.dark5.1.conv2.conv.weight": (512, 1024, 1, 1),
    "backbone.backbone.dark5.2.conv1.conv.weight": (256, 512, 1, 1),
    "backbone.backbone.dark5.2.m.0.conv2.bn.num_batches_tracked": (),
    "backbone.lateral_conv0.conv.weight": (256, 512, 1, 1),
    "backbone.C3_p4.conv1.conv.weight": (128, 512, 1, 1),
    "backbone.C3_p4.conv3.conv.weight": (256, 256, 1, 1),
    "backbone.C3_p4.m.0.conv1.conv.weight": (128, 128, 1, 1),
    "backbone.reduce_conv1.conv.weight": (128, 256, 1, 1),
    "backbone.C3_p3.conv2.conv.weight": (64, 256, 1, 1),
    "backbone.C3_p3.m.0.conv2.conv.weight": (64, 64, 3, 3),
    "backbone.bu_conv2.conv.weight": (128, 128, 3, 3),
    "backbone.C3_n3.conv1.conv.weight": (128, 256, 1, 1),
    "backbone.C3_n3.conv3.conv.weight": (256, 256, 1, 1),
    "backbone.bu_conv1.conv.weight": (256, 256, 3, 3),
    "backbone.C3_n4.conv2.conv.weight": (256, 512, 1, 1),
    "backbone.C3_n4.conv3.bn.running_var": (512,),
    "head.stems.0.conv.weight": (128, 128, 1, 1),
    "head.stems.2.conv.weight": (128, 512, 1, 1),
    "head.cls_convs.0.0.conv.weight": (128, 128, 3, 3),
    "head.cls_convs.2.1.bn.weight": (128,),
    "head.reg_convs.1.1.conv.weight": (128, 128, 3, 3),
    "head.cls_preds.1.weight": (80, 128, 1, 1),
    "head.cls_preds.2.bias": (80,),
    "head.reg_preds.0.weight": (4, 128, 1, 1),
    "head.obj_preds.2.bias": (1,),
}
NANO_SHAPES = {
    STEM: (16, 12, 3, 3),
    "backbone.backbone.dark2.0.dconv.conv.weight": (16, 1, 3, 3),
    "backbone.backbone.dark2.0.dconv.bn.weight": (16,),
    "backbone.backbone.dark2.0.pconv.conv.weight": (32, 16, 1, 1),
    "backbone.backbone.dark2.1.m.0.conv1.conv.weight": (16, 16, 1, 1),
    "backbone.backbone.dark2.1.m.0.conv2.dconv.conv.weight": (16, 1, 3, 3),
    "backbone.backbone.dark5.1.conv1.conv.weight": (128, 256, 1, 1),
    "backbone.C3_p4.m.0.conv2.dconv.bn.running_var": (64,),
    "backbone.bu_conv2.dconv.conv.weight": (64, 1, 3, 3),
    "backbone.bu_conv1.pconv.bn.bias": (128,),
    "head.stems.1.conv.weight": (64, 128, 1, 1),
    "head.cls_convs.0.0.dconv.conv.weight": (64, 1, 3, 3),
    "head.reg_convs.2.1.pconv.conv.weight": (64, 64, 1, 1),
}
LARGEST_SHAPES = {
    STEM: (80, 12, 3, 3),
    "backbone.backbone.dark2.1.m.3.conv2.conv.weight": (80, 80, 3, 3),
    "backbone.backbone.dark3.1.m.11.conv1.conv.weight": (160, 160, 1, 1),
    "backbone.backbone.dark5.2.m.3.conv2.conv.weight": (640, 640, 3, 3),
    "backbone.C3_n4.m.3.conv2.conv.weight": (640, 640, 3, 3),
    "head.cls_preds.0.weight": (80, 320, 1, 1),
}


@pytest.mark.parametrize(("size", "known"), [("s", SMALL_SHAPES), ("nano", NANO_SHAPES), ("x", LARGEST_SHAPES)])
def test_parameters_have_the_official_names_and_shapes(size, known):
    found = shapes(size)
    assert {key: found.get(key) for key in known} == known


@pytest.mark.parametrize(("size", "deepest"), [("nano", 0), ("tiny", 0), ("s", 0), ("m", 1), ("l", 2), ("x", 3)])
def test_no_size_is_deeper_than_the_official_one(size, deepest):
    last = {
        prefix: f"{prefix}.m.{deepest}.conv1.conv.weight" for prefix in ("backbone.C3_p4", "backbone.backbone.dark5.2")
    }
    found = shapes(size)
    for prefix, key in last.items():
        assert key in found and f"{prefix}.m.{deepest + 1}.conv1.conv.weight" not in found
    assert f"backbone.backbone.dark3.1.m.{3 * deepest + 2}.conv1.conv.weight" in found


def test_the_maps_have_strides_8_16_and_32():
    network = build_yolox("nano", class_count=3).eval()
    with torch.inference_mode():
        levels = network(torch.zeros(2, 3, 32, 64))
    assert [tuple(level.shape) for level in levels] == [(2, 8, 4, 8), (2, 8, 2, 4), (2, 8, 1, 2)]


def test_the_stem_takes_pixels_in_the_official_order():
    """Three channels each for the top left, the bottom left, the top right and the bottom right pixel."""
    stem: Any = Focus(12, nn.Identity).eval()
    stem.conv.bn = nn.Identity()
    kernel = torch.zeros(12, 12, 3, 3)
    kernel[range(12), range(12), 1, 1] = 1.0
    stem.conv.conv.weight = nn.Parameter(kernel)
    image = torch.arange(3 * 4 * 4, dtype=torch.float32).view(1, 3, 4, 4)
    seen = stem(image)[0]
    for first, (row, column) in zip((0, 3, 6, 9), ((0, 0), (1, 0), (0, 1), (1, 1)), strict=True):
        assert torch.equal(seen[first : first + 3], image[0, :, row::2, column::2])


def test_stacked_pooling_is_pooling_over_5_9_and_13_cells():
    torch.manual_seed(2)
    pyramid = PooledPyramid(8, nn.SiLU).eval()
    features = torch.randn(1, 8, 20, 17)
    reduced = pyramid.conv1(features)
    pooled = [max_pool2d(reduced, side, stride=1, padding=side // 2) for side in (5, 9, 13)]
    assert torch.equal(pyramid(features), pyramid.conv2(torch.cat([reduced, *pooled], 1)))


def test_official_weights_see_red_green_blue_as_they_saw_blue_green_red():
    torch.manual_seed(3)
    official: Any = build_yolox("nano").double().eval()
    ours: Any = build_yolox("nano").double().eval()
    ours.load_state_dict(from_official(official.state_dict()))
    rgb = torch.rand(1, 3, 8, 8, dtype=torch.float64) * 255
    expected, seen = official.backbone.backbone.stem(rgb.flip(1)), ours.backbone.backbone.stem(rgb)
    torch.testing.assert_close(seen, expected)
    assert not torch.allclose(seen, ours.backbone.backbone.stem(rgb.flip(1)), atol=0.1)


def test_the_catalog_lists_all_sizes():
    assert yolox_names() == tuple(f"yolox/{size}" for size in SIZES)
    assert [find(name).name for name in yolox_names()] == list(yolox_names())
    assert find_yolox("yolox/xl") is find_yolox("yolov5/s") is find_yolox("yolox") is None


def test_an_entry_tells_where_its_figures_come_from():
    entry = find("yolox/m")
    assert entry.weights.location.endswith("/YOLOX/releases/download/0.1.1rc0/yolox_m.pth")
    assert [(figure.dataset, figure.value) for figure in entry.accuracy] == [
        ("COCO val2017", 0.469),
        ("COCO test-dev2017", 0.472),
    ]
    assert all("not measured here" in figure.note for figure in entry.accuracy)
    assert [find(f"yolox/{size}").preprocessing.largest_size for size in ("m", "nano")] == [(640, 640), (416, 416)]


def test_coco_has_its_80_classes_in_order():
    assert len(COCO_CLASSES) == len(set(COCO_CLASSES)) == 80
    assert [COCO_CLASSES[index] for index in (0, 15, 39, 79)] == ["person", "cat", "bottle", "toothbrush"]


@pytest.fixture
def entry():
    """That of YOLOX-nano, as if no digest were known."""
    published = find("yolox/nano")
    return replace(published, weights=replace(published.weights, sha256=None))


def write_checkpoint(entry, seed=5, **more):
    """Puts a training checkpoint of random weights where the official one would be kept."""
    torch.manual_seed(seed)
    network = build_yolox("nano")
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    content = {"start_epoch": 300, "model": network.state_dict(), "optimizer": optimiser.state_dict(), **more}
    torch.save(content, locate(entry))
    return network.state_dict()


@pytest.mark.usefixtures("hub_cache")
def test_an_official_checkpoint_comes_through_whole(entry):
    written = write_checkpoint(entry)
    path = fetch(entry)
    state, digest = read_state_dict(entry, path)
    network = build_yolox("nano")
    load_into(network, from_official(state), entry, path)
    loaded = network.state_dict()
    assert path.name == "yolox_nano.pth" and len(digest) == 64
    assert loaded.keys() == written.keys()
    assert all(torch.equal(loaded[key], value) for key, value in written.items() if key != STEM)
    assert torch.equal(loaded[STEM][:, [2, 1, 0, 5, 4, 3, 8, 7, 6, 11, 10, 9]], written[STEM])


@pytest.mark.usefixtures("hub_cache")
def test_a_model_is_loaded_by_name_and_sees_what_the_official_network_sees(entry, monkeypatch):
    torch.manual_seed(4)
    official: Any = build_yolox("nano").eval()
    for last in (*official.head.obj_preds, *official.head.cls_preds):
        nn.init.normal_(last.weight, std=3.0)
        nn.init.zeros_(last.bias)
    torch.save({"model": official.state_dict()}, locate(entry))
    published = _PUBLISHED["nano"]._replace(sha256=file_digest(locate(entry)))
    monkeypatch.setitem(_PUBLISHED, "nano", published)
    adapter = load("yolox/nano", Runtime(precision="fp32", fuse=False))
    pixels = np.random.default_rng(8).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    with torch.inference_mode():
        blue_green_red = torch.from_numpy(pixels).flip(2).permute(2, 0, 1)[None].float()
        (expected,) = candidates_from(official(blue_green_red))
    (found,) = adapter.forward([ModelInput(pixels, (96, 128))])
    assert adapter.class_names[0] == "person" and len(found) == len(expected) == 252
    torch.testing.assert_close(found.boxes, expected.boxes, rtol=1e-3, atol=1e-2)


@pytest.mark.usefixtures("hub_cache")
def test_another_sizes_checkpoint_is_refused(entry):
    write_checkpoint(entry)
    state, _ = read_state_dict(entry, fetch(entry))
    with pytest.raises(WeightsCorrupt, match="another network's weights"):
        load_into(build_yolox("tiny"), from_official(state), entry, locate(entry))


@pytest.mark.usefixtures("hub_cache")
def test_a_checkpoint_that_would_run_code_is_refused_and_runs_none(entry):
    class Intruder:
        def __reduce__(self):
            return (pytest.fail, ("code from the file was run",))

    write_checkpoint(entry, best_ap=Intruder())
    with pytest.raises(WeightsCorrupt, match="truncated or corrupt"):
        read_state_dict(entry, locate(entry))


def test_the_first_files_digest_is_written_down_and_held(hub_cache, entry):
    write_checkpoint(entry)
    path = fetch(entry)
    _, digest = read_state_dict(entry, path)
    record = hub_cache / "yolox_nano.pth.sha256"
    assert record.read_text() == f"{digest}\n"
    assert read_state_dict(entry, path)[1] == digest
    write_checkpoint(entry, seed=6)
    with pytest.raises(WeightsCorrupt) as caught:
        read_state_dict(entry, path)
    message = str(caught.value)
    assert digest in message and str(record) in message and "tapetum models pull yolox/nano" in message
    record.unlink()
    assert read_state_dict(entry, path)[1] != digest


def test_a_file_that_cannot_be_read_leaves_no_digest_behind(hub_cache, entry):
    (hub_cache / "yolox_nano.pth").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(WeightsCorrupt, match="truncated or corrupt"):
        read_state_dict(entry, locate(entry))
    assert [path.name for path in hub_cache.iterdir()] == ["yolox_nano.pth"]


def test_a_later_download_with_another_digest_is_not_kept(hub_cache, entry, monkeypatch):
    class Answer:
        headers = {}  # noqa: RUF012
        chunks = iter((b"another file", b""))

        def read(self, _):
            return next(self.chunks)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    write_checkpoint(entry)
    path = fetch(entry)
    read_state_dict(entry, path)
    path.unlink()
    monkeypatch.setattr("models.sources.downloads.urlopen", lambda *_, **__: Answer())
    with pytest.raises(WeightsCorrupt, match="came altered"):
        fetch(entry)
    assert [path.name for path in hub_cache.iterdir()] == ["yolox_nano.pth.sha256"]


def test_a_file_that_is_not_the_published_one_is_refused(hub_cache):
    entry = find("yolox/nano")
    write_checkpoint(entry)
    with pytest.raises(WeightsCorrupt, match="expected cd28f55fbbc1") as caught:
        read_state_dict(entry, fetch(entry))
    assert f"remove {hub_cache / 'yolox_nano.pth'}" in str(caught.value)
