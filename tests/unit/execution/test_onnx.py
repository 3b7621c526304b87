"""A network from an ONNX file gives the same by every backend, whatever its input is, or is refused in one line."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import Tensor, nn

from models.entries import LetterboxPreprocessing, Preprocessing
from models.errors import NotConvertible, PrecisionTooLow, UnsupportedRuntime
from models.execution import onnxruntime_executor, precision
from models.execution.executor import Executor
from models.execution.finite import require_finite
from models.execution.onnx_executor import open_onnx
from models.export.onnx_network import OnnxExecutor
from models.runtime import Backend, Runtime, cpu_has_bf16
from tests.unit.onnx_files import CROP, expected_logits, image, noise, write_classifier, write_graph

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.usefixtures("one_thread")

BOTH: tuple[Backend, ...] = ("openvino", "onnxruntime")
RAW = Preprocessing(64, 64, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
LETTERBOX = LetterboxPreprocessing(96, 96, (123.0, 117.0, 104.0), (58.0, 57.0, 56.0))
either = pytest.mark.parametrize("backend", BOTH)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of compiled networks."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "openvino"


def by(backend: Backend, threads: int = 1) -> Runtime:
    return Runtime(precision="fp32", backend=backend, num_threads=threads, num_streams=2).resolve_for_onnx()


def assert_close(found: Tensor, expected: NDArray[np.float32], tolerance: float = 1e-4) -> None:
    assert found.dtype == torch.float32 and tuple(found.shape) == expected.shape
    assert np.abs(found.numpy() - expected).max() <= tolerance * np.abs(expected).max()


@either
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("float16", 1e-2), ("uint8", 1e-4)])
def test_images_are_given_in_the_axes_and_the_type_of_the_input(tmp_path, backend, channels_last, dtype, tolerance):
    shape = ("N", 64, 64, 3) if channels_last else ("N", 3, 64, 64)
    path = write_classifier(tmp_path / "net.onnx", shape, dtype, channels_last)
    pixels = noise(5)
    found = open_onnx(path, CROP, by(backend)).run(pixels)
    assert_close(found, expected_logits(pixels, normalised=dtype != "uint8"), tolerance)


@either
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_channels_are_turned_for_a_network_of_bgr(tmp_path, backend, dtype):
    path, pixels = write_classifier(tmp_path / "net.onnx", dtype=dtype), noise(2)
    found = open_onnx(path, CROP, by(backend), "bgr").run(pixels)
    assert_close(found, expected_logits(pixels, bgr=True, normalised=dtype != "uint8"))


@either
@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("count", [1, 4, 6])
def test_batches_of_any_size_run_in_passes_of_the_size_of_the_file(tmp_path, backend, batch_size, count):
    path, pixels = write_classifier(tmp_path / "net.onnx", (batch_size, 3, 64, 64)), noise(count)
    assert_close(open_onnx(path, CROP, by(backend)).run(pixels), expected_logits(pixels))


@either
def test_images_of_any_size_are_taken_where_the_file_fixes_none(tmp_path, backend):
    executor = open_onnx(write_classifier(tmp_path / "net.onnx", ("N", 3, "H", "W")), LETTERBOX, by(backend))
    for pixels in (noise(1, 64, 96), noise(3, 32, 32), noise(2, 300, 320)):
        assert_close(executor.run(pixels), expected_logits(pixels))


class Flipping(nn.Module):
    """Flips, as EfficientNet-Lite does, and has two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.SiLU())

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        values = self.layer(images.flip(2, 3))
        return values.flip(3), values.mean((2, 3))


@either
def test_exported_network_gives_what_torch_gives(tmp_path, backend):
    torch.manual_seed(3)
    network, path = Flipping().eval(), tmp_path / "net.onnx"
    axes = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    example = torch.rand(2, 3, 64, 96)
    program: Any = torch.onnx.export(network, (example,), dynamo=True, dynamic_shapes=(axes,), verbose=False)
    program.save(path)
    executor, plain = open_onnx(path, LETTERBOX, by(backend)), Executor(network, LETTERBOX, Runtime(precision="fp32"))
    for pixels in (noise(3, 64, 64), noise(1, 96, 32)):
        for found, expected in zip(executor.run_all(pixels), plain.run_all(pixels), strict=True):
            assert_close(found, expected.numpy())


@either
def test_sizes_are_given_as_width_and_height_and_integers_stay_integers(tmp_path, backend):
    nodes = [
        helper.make_node("Identity", ["orig_target_sizes"], ["sizes"]),
        helper.make_node("ReduceMax", ["images"], ["most"], keepdims=0),
        helper.make_node("Shape", ["images"], ["shape"], start=0, end=1),
    ]
    inputs = [
        image(("N", 3, "H", "W")),
        helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, ("N", 2)),
    ]
    outputs = [("sizes", TensorProto.INT64), ("most", TensorProto.FLOAT), ("shape", TensorProto.INT64)]
    executor = open_onnx(write_graph(tmp_path / "net.onnx", nodes, inputs, outputs), LETTERBOX, by(backend))
    sizes, _, count = executor.run_all(noise(2, 32, 96))
    assert sizes.dtype == torch.int64 and sizes.tolist() == [[96, 32]] * 2 and count.tolist() == [2]


def test_integers_are_finite():
    require_finite(torch.tensor([1, 2]), torch.tensor([True]))
    require_finite(torch.tensor([2**62]), torch.tensor([0.5]))


@either
def test_threads_that_run_one_network_at_once_get_their_own_outputs(tmp_path, backend):
    executor = open_onnx(write_classifier(tmp_path / "net.onnx", ("N", 3, "H", "W")), LETTERBOX, by(backend))
    batches = [noise(count, 32, 32 * count) for count in (1, 2, 3)]
    with ThreadPoolExecutor(2) as pool:
        for turn, found in enumerate(pool.map(executor.run, batches * 20)):
            assert_close(found, expected_logits(batches[turn % 3]))


def test_compiled_network_is_read_from_the_cache_until_the_file_or_its_use_changes(tmp_path, cache):
    path, pixels = write_classifier(tmp_path / "net.onnx"), noise(2)
    expected = open_onnx(path, CROP, by("openvino")).run(pixels)
    assert torch.equal(open_onnx(path, CROP, by("openvino")).run(pixels), expected)
    assert len(list(cache.iterdir())) == 1
    assert not torch.equal(open_onnx(path, CROP, by("openvino"), "bgr").run(pixels), expected)
    assert not torch.equal(open_onnx(path, RAW, by("openvino")).run(pixels), expected)
    write_classifier(path, dtype="uint8")
    assert_close(open_onnx(path, CROP, by("openvino")).run(pixels), expected_logits(pixels, normalised=False))
    assert len(list(cache.iterdir())) == 4


@pytest.mark.skipif(not cpu_has_bf16(), reason="needs a CPU with bf16")
def test_reduced_precision_that_changes_the_outputs_is_refused(tmp_path, cache, monkeypatch):
    kernels = np.random.default_rng(1).normal(size=(8, 3, 5, 5)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["images", "kernels"], ["outputs"])]
    outputs = [("outputs", TensorProto.FLOAT)]
    path = write_graph(tmp_path / "net.onnx", nodes, [image(("N", 3, 64, 64))], outputs, {"kernels": kernels})
    monkeypatch.setitem(precision.TOLERANCES, "bf16", 1e-6)
    with pytest.raises(PrecisionTooLow, match="bf16 on cpu differs from fp32"):
        open_onnx(path, CROP, Runtime(precision="bf16").resolve_for_onnx())
    assert not cache.exists(), "what is refused is not kept"
    open_onnx(path, CROP, by("openvino"))


@either
@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        (("N", 1, 64, 64), r"takes images float32 \(\?, 1, 64, 64\), not one image"),
        (("N", 3, 64), "not one image"),
        (("N", 3, 96, 96), "takes images of 96 × 96 pixels, but preprocessing makes them 64 × 64: set crop"),
        (("N", 3, "H", 96), "takes images of any × 96 pixels"),
    ],
)
def test_input_that_does_not_fit_is_refused(tmp_path, backend, shape: Sequence[int | str], reason):
    nodes = [helper.make_node("ReduceMean", ["images"], ["mean"])]
    path = write_graph(tmp_path / "net.onnx", nodes, [image(shape)], [("mean", TensorProto.FLOAT)])
    with pytest.raises(ValueError, match=reason):
        open_onnx(path, CROP, by(backend))


@either
def test_fixed_size_needs_preprocessing_that_always_makes_it(tmp_path, backend):
    path = write_classifier(tmp_path / "net.onnx", ("N", 3, 96, 96))
    with pytest.raises(ValueError, match="makes them of several sizes: set short_side, long_side and stride"):
        open_onnx(path, LETTERBOX, by(backend))
    always = LetterboxPreprocessing(96, 96, LETTERBOX.mean, LETTERBOX.std, stride=96)
    stretched = LetterboxPreprocessing(96, 96, LETTERBOX.mean, LETTERBOX.std, keep_aspect=False)
    for preprocessing in (always, stretched):
        assert_close(
            open_onnx(path, preprocessing, by(backend)).run(noise(2, 96, 96)), expected_logits(noise(2, 96, 96))
        )


@either
@pytest.mark.parametrize("domain", [None, "my.operators"])
def test_unknown_operator_is_named(tmp_path, backend, domain):
    nodes = [helper.make_node("Sorcery", ["images"], ["outputs"], domain=domain)]
    outputs = [("outputs", TensorProto.FLOAT)]
    path = write_graph(tmp_path / "net.onnx", nodes, [image(("N", 3, 64, 64))], outputs, domain=domain)
    with pytest.raises(NotConvertible, match=r"cannot run net\.onnx: .*Sorcery") as caught:
        open_onnx(path, CROP, by(backend))
    assert "\n" not in str(caught.value)


@either
@pytest.mark.parametrize("content", [b"", b"no network at all\n" * 9, bytes(500), b"\x89PNG\r\n\x1a\n" + bytes(90)])
def test_file_that_is_no_onnx_is_refused(tmp_path, backend, content):
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is no ONNX file, or a damaged one"):
        open_onnx(path, CROP, by(backend))


@either
def test_truncated_file_is_refused_wherever_it_ends(tmp_path, backend):
    path = write_classifier(tmp_path / "net.onnx")
    content = path.read_bytes()
    for length in range(1, len(content) - 6, 7):  # the end has a version only
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="is no ONNX file, or a damaged one"):
            open_onnx(path, CROP, by(backend))


@either
@pytest.mark.parametrize("is_there", [True, False])
def test_weights_in_other_files_are_named_and_refused(tmp_path, backend, is_there):
    path = write_classifier(tmp_path / "net.onnx")
    options: dict[str, Any] = {"save_as_external_data": True, "location": "net.data", "size_threshold": 0}
    onnx.save(onnx.load(path), path, **options)
    if not is_there:
        (tmp_path / "net.data").unlink()
    with pytest.raises(ValueError, match=r"keeps weights in other files \(net.data\); `tapetum models add`"):
        open_onnx(path, CROP, by(backend))


def test_gpu_without_a_provider_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Runtime, "on_gpu", True)
    runtime = Runtime(precision="fp32", backend="onnxruntime")
    with pytest.raises(UnsupportedRuntime, match="no CUDA provider; install onnxruntime-gpu"):
        onnxruntime_executor.OnnxRuntimeExecutor(write_classifier(tmp_path / "net.onnx"), CROP, runtime)


def test_exported_graphs_run_by_the_same_executor_and_must_normalise_themselves(tmp_path):
    pixels = noise(2)
    executor = OnnxExecutor(write_classifier(tmp_path / "net.onnx", ("N", 64, 64, 3), "uint8", channels_last=True))
    assert executor.input_shape == ["N", 64, 64, 3]
    assert_close(executor.run(pixels), expected_logits(pixels, normalised=False))
    with pytest.raises(ValueError, match="its normalisation must be known"):
        OnnxExecutor(write_classifier(tmp_path / "net.onnx"))
