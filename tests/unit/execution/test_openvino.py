"""A network that OpenVINO runs gives what torch gives, or is refused."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.catalog import loading
from models.catalog.cards import write_card
from models.entries import CatalogEntry, LetterboxPreprocessing, Preprocessing, WeightsSource
from models.errors import NonFiniteOutput, NotConvertible, UnsupportedRuntime
from models.execution.alone import computing_alone, is_alone
from models.execution.executor import Executor, executor_for
from models.execution.head import head_for
from models.execution.memory import release_activations
from models.runtime import Runtime, cpu_has_bf16

pytest.importorskip("openvino")

from models.execution import openvino_cache
from models.execution.openvino_network import OpenVinoNetwork

LETTERBOX = LetterboxPreprocessing(96, 96, (123.0, 117.0, 104.0), (58.0, 57.0, 56.0))
CROP = Preprocessing(64, 64, "bilinear", (123.0, 117.0, 104.0), (58.0, 57.0, 56.0))
TORCH = Runtime(precision="fp32")
OPENVINO = Runtime(precision="fp32", backend="openvino", num_threads=1, num_streams=2)


class TwoMaps(nn.Module):
    """Two outputs of different sizes, batch norms, a turned image, and a resize to the size of another map."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.SiLU())
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU6())
        self.one, self.other = nn.Conv2d(8, 2, 1), nn.Conv2d(8, 3, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.stem(images.flip(2, 3))
        coarse = self.deep(fine)
        fine = fine + functional.interpolate(coarse, size=fine.shape[2:])
        return torch.cat([self.one(fine), self.other(fine)], 1), coarse.flip(3)


class Branching(nn.Module):
    """A classifier whose control flow depends on the image."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, images: Tensor) -> Tensor:
        means = images.mean((2, 3))
        return self.head(means if means.sum() > 0 else -means)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of compiled networks."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "openvino"


def two_maps(seed: int = 6) -> nn.Module:
    torch.manual_seed(seed)
    network = TwoMaps()
    network(torch.rand(4, 3, 32, 32))  # batch norms get statistics of their own
    return network.eval()


def pixels(count: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def assert_same(found: tuple[Tensor, ...], expected: tuple[Tensor, ...], tolerance: float = 1e-5) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape and one.dtype == torch.float32
        assert (one - other).abs().max() <= tolerance * other.abs().max()


def files(cache: Path) -> list[Path]:
    return sorted(cache.iterdir())


@pytest.mark.parametrize("precision", ["fp32", *(["bf16"] if cpu_has_bf16() else [])])
def test_outputs_are_those_of_torch_for_batches_and_inputs_of_any_size(precision):
    network = two_maps()
    expected = Executor(network, LETTERBOX, TORCH)
    found = executor_for(network, LETTERBOX, Runtime(precision=precision, backend="openvino"))
    for count, height, width in ((1, 64, 64), (3, 32, 96), (5, 96, 64), (7, 256, 256)):
        images = pixels(count, height, width)
        assert_same(found.run_all(images), expected.run_all(images), 1e-5 if precision == "fp32" else 0.05)


def test_network_of_one_input_size_gives_what_torch_gives():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 62 * 62, 5)).eval()
    images = pixels(3, 64, 64)
    found = executor_for(network, CROP, OPENVINO).run(images)
    assert_same((found,), (Executor(network, CROP, TORCH).run(images),))


def test_given_network_is_not_changed_and_its_later_changes_are_not_seen():
    network = two_maps()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    executor, images = executor_for(network, LETTERBOX, OPENVINO), pixels(1, 64, 64)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    expected = executor.run_all(images)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert_same(executor.run_all(images), expected, 0.0)


def test_outputs_of_a_run_stay_when_the_next_one_begins():
    executor = executor_for(two_maps(), LETTERBOX, OPENVINO)
    kept = executor.run_all(pixels(1, 64, 64))
    copies = tuple(output.clone() for output in kept)
    executor.run_all(255 - pixels(1, 64, 64))
    assert_same(kept, copies, 0.0)


def test_threads_that_run_one_network_at_once_get_the_outputs_of_one():
    executor = executor_for(two_maps(), LETTERBOX, OPENVINO)
    images = [pixels(count, 64, 32 * count) for count in (1, 2, 3)]
    expected = [executor.run_all(each) for each in images]
    with ThreadPoolExecutor(4) as pool:
        for turn, found in enumerate(pool.map(executor.run_all, images * 20)):
            assert_same(found, expected[turn % 3], 0.0)


def test_activations_that_are_released_between_and_during_runs_change_no_outputs():
    executor, images = executor_for(two_maps(), LETTERBOX, OPENVINO), pixels(3, 256, 256)
    expected = executor.run_all(images)
    with ThreadPoolExecutor(2) as pool:
        for turn, found in enumerate(pool.map(executor.run_all, [images] * 20)):
            release_activations(idle_s=60.0 * (turn % 2))
            assert_same(found, expected, 0.0)


def test_head_of_a_second_stage_gives_what_torch_gives_also_without_regions():
    layers = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(), nn.ConvTranspose2d(8, 8, 2, 2)).eval()
    expected, found = head_for(layers, (4, 6, 6), TORCH), head_for(layers, (4, 6, 6), OPENVINO)
    for count in (5, 1, 0):
        regions = torch.rand(count, 4, 6, 6)
        with torch.inference_mode():
            torch.testing.assert_close(found(regions), expected(regions))


def test_batch_with_numbers_that_are_not_finite_is_refused():
    class Reciprocal(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return 1 / images.sum((1, 2, 3))

    executor = executor_for(Reciprocal(), Preprocessing(8, 8, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), OPENVINO)
    bright = np.full((2, 8, 8, 3), 9, np.uint8)
    assert_same((executor.run(bright),), (torch.full((2,), 1 / (9 * 192)),))
    bright[1] = 0
    with pytest.raises(NonFiniteOutput):
        executor.run(bright)


def test_network_whose_control_flow_depends_on_data_is_refused(cache):
    with pytest.raises(NotConvertible, match="its graph depends on data"):
        executor_for(Branching().eval(), CROP, OPENVINO)
    assert not cache.exists()


def test_network_whose_converted_outputs_differ_is_refused(cache):
    class Random(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.mean((2, 3)) + torch.randn(3)

    with pytest.raises(NotConvertible, match="something else"):
        executor_for(Random(), CROP, OPENVINO)
    assert not cache.exists()


def test_model_that_openvino_cannot_run_is_run_by_torch_unless_openvino_is_asked_for(tmp_path, monkeypatch, caplog):
    network = Branching().eval()
    weights = WeightsSource("card", "", None, "CC0-1.0", "a test")
    classes = ("dark", "bright")
    entry = CatalogEntry(
        "day", "1", "classification", "branching", weights, CROP, 2, "CC0-1.0", (), "Day or night.", class_names=classes
    )
    write_card(tmp_path / "cards", entry, network.state_dict())
    monkeypatch.setenv("TAPETUM_CATALOG", str(tmp_path / "cards"))
    monkeypatch.setattr(loading, "known_classifiers", lambda: ("branching",))
    monkeypatch.setattr(loading, "build_classifier", lambda *_: Branching())
    adapter = loading.load("day", Runtime(backend="auto"))
    assert adapter.runtime.to_dict()["backend"] == "torch"
    assert "day runs by torch" in caplog.text
    with pytest.raises(UnsupportedRuntime):
        loading.load("day", Runtime(backend="openvino"))


def test_compiled_network_is_read_from_the_cache(cache, caplog):
    caplog.set_level(logging.INFO)
    network, images = two_maps(), pixels(2, 64, 64)
    expected = executor_for(network, LETTERBOX, OPENVINO).run_all(images)
    assert caplog.text.count("converted PixelNetwork") == 1
    read = executor_for(two_maps(), LETTERBOX, OPENVINO)
    gc.collect()  # the weights of the network that was read are mapped into memory, and must stay
    assert_same(read.run_all(images), expected, 0.0)
    assert caplog.text.count("converted") == 1 and len(files(cache)) == 1


def test_other_weights_sources_and_precisions_have_files_of_their_own(tmp_path, monkeypatch):
    examples = torch.zeros(1, 2), torch.zeros(2, 2)

    def path(network: nn.Module, precision: str = "fp32") -> Path:
        return openvino_cache.cached_path(network, examples, precision)

    network = two_maps()
    paths = {path(network), path(two_maps(7)), path(network, "bf16"), path(nn.Linear(2, 2)), path(nn.Identity())}
    assert len(paths) == 5 and path(two_maps()) in paths
    source = tmp_path / "user_networks.py"
    monkeypatch.syspath_prepend(tmp_path)
    source.write_text("from torch import nn\nclass Own(nn.Module):\n    def forward(self, x):\n        return x\n")
    import user_networks  # pyright: ignore[reportMissingImports]

    before = path(user_networks.Own())
    source.write_text(source.read_text().replace("return x", "return -x"))
    assert path(user_networks.Own()) != before


@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "foreign"])
def test_damaged_file_is_replaced(cache, damage, caplog):
    images = pixels(2, 64, 64)
    expected = executor_for(two_maps(), LETTERBOX, OPENVINO).run_all(images)
    (file,) = files(cache)
    content = bytearray(file.read_bytes())
    file.unlink()
    if damage == "foreign":  # with a checksum that is right
        openvino_cache.write(file, np.frombuffer(b"no network", np.uint8))
    else:
        content[len(content) // 2] ^= 1
        file.write_bytes({"flipped": content, "truncated": content[:-100], "empty": b""}[damage])
    assert_same(executor_for(two_maps(), LETTERBOX, OPENVINO).run_all(images), expected, 0.0)
    assert damage == "empty" or "converted again" in caplog.text
    assert openvino_cache.read(file) is not None and files(cache) == [file]


def test_full_disk_costs_no_more_than_the_cache(small_disk, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("TORCH_HOME", str(small_disk))
    (small_disk / "filler").write_bytes(bytes(2**20 - 2**15))
    executor = executor_for(two_maps(), LETTERBOX, OPENVINO)
    assert executor.run_all(pixels(1, 64, 64))[0].shape == (1, 5, 32, 32)
    assert "could not be kept" in caplog.text
    assert [path for path in small_disk.rglob("*") if path.is_file()] == [small_disk / "filler"]


def test_folder_that_cannot_be_made_costs_no_more_than_the_cache(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    executor = executor_for(two_maps(), LETTERBOX, OPENVINO)
    assert executor.run_all(pixels(1, 64, 64))[0].shape == (1, 5, 32, 32)


def test_files_that_were_not_read_for_long_are_deleted(cache):
    cache.mkdir(parents=True)
    old, read, part = cache / "old.blob", cache / "read.blob", cache / "old.blob.0.part"
    for path in (old, read, part):
        openvino_cache.write(path, np.frombuffer(b"x", np.uint8))
    then_s = time.time() - 40 * 86400
    for path in (old, read, part):
        os.utime(path, (then_s, then_s))
    assert openvino_cache.read(read) is not None
    openvino_cache.write(cache / "new.blob", np.frombuffer(b"y", np.uint8))
    assert files(cache) == [cache / "new.blob", read]


def test_networks_that_are_converted_at_once_do_not_disturb_each_other(cache):
    images = pixels(1, 64, 64)
    expected = [Executor(two_maps(seed), LETTERBOX, TORCH).run_all(images) for seed in (1, 2)]
    networks = [two_maps(seed) for seed in (1, 2, 1, 2)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda network: executor_for(network, LETTERBOX, OPENVINO), networks))
    for turn, executor in enumerate(made):
        assert_same(executor.run_all(images), expected[turn % 2])
    assert len(files(cache)) == 2


def test_threads_and_streams_are_those_of_the_runtime():
    runtime = replace(OPENVINO, num_threads=1, num_threads_alone=2)
    for _ in range(2):  # converted, and read
        network = vars(executor_for(two_maps(), LETTERBOX, runtime))["_network"]
        assert isinstance(network, OpenVinoNetwork)
        usual, alone = (vars(network)[name].compiled for name in ("_usual", "_alone"))
        names = ("NUM_STREAMS", "INFERENCE_NUM_THREADS", "ENABLE_CPU_PINNING")
        assert [int(usual.get_property(name)) for name in names] == [2, 2, 0]
        assert [int(alone.get_property(name)) for name in names] == [1, 2, 0]


def test_image_that_is_alone_gets_the_same_answer_on_more_threads():
    executor = executor_for(two_maps(), LETTERBOX, replace(OPENVINO, num_threads=1, num_threads_alone=2))
    network = vars(executor)["_network"]
    images = pixels(1, 64, 96)
    expected = executor.run_all(images)
    usual, alone = ({id(each) for each in vars(network)[name]._idle} for name in ("_usual", "_alone"))
    assert (len(usual), len(alone)) == (1, 0)
    with computing_alone(True):
        assert_same(executor.run_all(images), expected)
    assert len(vars(network)["_alone"]._idle) == 1
    with computing_alone(False):
        assert_same(executor.run_all(images), expected)
    assert not is_alone()


def test_openvino_is_imported_without_its_telemetry(tmp_path):
    """Telemetry writes the identity of its user to the home directory, before it sends anything."""
    script = "import sys, models.execution.openvino_library; print(sys.modules['openvino_telemetry'])"
    environment = {**os.environ, "HOME": str(tmp_path), "CI": ""}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"
    assert not (tmp_path / "intel").exists()
