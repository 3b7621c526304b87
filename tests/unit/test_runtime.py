"""`auto` is settled by what the machine can do, and what it cannot do is refused."""

import pytest
import torch

from models import runtime
from models.errors import UnsupportedRuntime
from models.runtime import Runtime, cpu_has_bf16


@pytest.mark.parametrize(("has_bf16", "precision"), [(True, "bf16"), (False, "fp32")])
def test_auto_on_a_cpu_is_bf16_where_the_cpu_has_it(monkeypatch, has_bf16, precision):
    monkeypatch.setattr(runtime, "cpu_has_bf16", lambda: has_bf16)
    assert Runtime().resolve().precision == precision


def test_bf16_on_a_cpu_without_it_is_refused(monkeypatch):
    monkeypatch.setattr(runtime, "cpu_has_bf16", lambda: False)
    with pytest.raises(UnsupportedRuntime, match="fp32"):
        Runtime(precision="bf16").resolve()


def test_fp16_on_a_cpu_is_refused():
    with pytest.raises(UnsupportedRuntime, match="GPU"):
        Runtime(precision="fp16").resolve()


@pytest.mark.parametrize("device", ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cudaa", "cpu:0", "cpu "])
def test_an_unknown_device_is_refused_at_once(device):
    with pytest.raises(UnsupportedRuntime):
        Runtime(device=device)


def test_an_unknown_precision_is_refused_at_once():
    with pytest.raises(UnsupportedRuntime, match="int8"):
        Runtime(precision="int8")  # type: ignore[arg-type]


def test_an_unknown_backend_is_refused_at_once():
    with pytest.raises(UnsupportedRuntime, match="tensorflow"):
        Runtime(backend="tensorflow")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "is_installed", "backend"),
    [
        ({}, True, "openvino"),
        ({}, False, "torch"),
        ({"fuse": False}, True, "torch"),
        ({"channels_last": False}, True, "torch"),
        ({"compile": True}, True, "torch"),
    ],
)
def test_auto_is_openvino_where_it_is_installed_and_no_option_of_torch_is_set(
    monkeypatch, options, is_installed, backend
):
    monkeypatch.setattr(runtime, "find_spec", lambda name: object() if is_installed else None)
    assert Runtime(backend="auto", **options).resolve().backend == backend


def test_openvino_that_is_not_installed_or_gets_options_of_torch_is_refused(monkeypatch):
    monkeypatch.setattr(runtime, "find_spec", lambda name: object())
    with pytest.raises(UnsupportedRuntime, match="compile"):
        Runtime(backend="openvino", compile=True).resolve()
    monkeypatch.setattr(runtime, "find_spec", lambda name: None)
    with pytest.raises(UnsupportedRuntime, match="Python package openvino"):
        Runtime(backend="openvino").resolve()


@pytest.mark.parametrize(
    ("options", "installed", "backend"),
    [
        ({}, ("openvino", "onnxruntime"), "openvino"),
        ({}, ("onnxruntime",), "onnxruntime"),
        ({"compile": True, "fuse": False, "channels_last": False}, ("openvino",), "openvino"),
        ({"backend": "onnxruntime"}, ("openvino", "onnxruntime"), "onnxruntime"),
        ({"device": "cuda:0"}, ("openvino", "onnxruntime"), "onnxruntime"),
    ],
)
def test_onnx_files_run_by_openvino_on_cpus_and_else_by_onnxruntime(monkeypatch, options, installed, backend):
    monkeypatch.setattr(runtime, "find_spec", lambda name: object() if name in installed else None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    resolved = Runtime(**options).resolve_for_onnx()
    assert resolved.backend == backend
    assert (resolved.compile, resolved.fuse, resolved.channels_last) == (False, True, True)
    assert backend == "openvino" or resolved.precision == "fp32"


@pytest.mark.parametrize(
    ("options", "installed", "message"),
    [
        ({}, (), "ONNX files on cpu need onnxruntime: pip install"),
        ({"device": "cuda"}, ("openvino",), "ONNX files on cuda need onnxruntime"),
        ({"backend": "onnxruntime"}, ("openvino",), "needs the Python package onnxruntime"),
        ({"backend": "openvino"}, ("onnxruntime",), "needs the Python package openvino"),
        ({"backend": "openvino", "device": "cuda"}, ("openvino",), "sees no GPU"),
        ({"backend": "torch"}, ("openvino",), "backend torch runs no ONNX files"),
        ({"backend": "onnxruntime", "precision": "fp16"}, ("onnxruntime",), "not in fp16"),
    ],
)
def test_what_cannot_run_an_onnx_file_is_refused(monkeypatch, options, installed, message):
    monkeypatch.setattr(runtime, "find_spec", lambda name: object() if name in installed else None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UnsupportedRuntime, match=message):
        Runtime(**options).resolve_for_onnx()


def test_onnxruntime_is_for_onnx_files_only():
    with pytest.raises(UnsupportedRuntime, match="backend onnxruntime is for ONNX files; take auto, torch or openvino"):
        Runtime(backend="onnxruntime").resolve()


def test_predictions_depend_on_the_backend_but_not_on_the_number_of_threads():
    assert Runtime(num_threads=1, num_streams=2).to_dict() == Runtime().to_dict()
    assert Runtime(backend="openvino").to_dict() != Runtime(backend="torch").to_dict()


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UnsupportedRuntime, match="no GPU"):
        Runtime(device="cuda").resolve()


@pytest.mark.parametrize(
    ("capability", "auto", "after_fp16"), [((6, 1), "fp32", "fp32"), ((7, 5), "fp16", "fp32"), ((9, 0), "fp16", "bf16")]
)
def test_half_precision_on_a_gpu_depends_on_its_compute_capability(monkeypatch, capability, auto, after_fp16):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    resolved = Runtime(device="cuda:0").resolve()
    assert (resolved.precision, resolved.backend) == (auto, "torch")
    assert Runtime(device="cuda:0", precision="fp16").resolve().more_precise().precision == after_fp16


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16", True),
        ("flags\t\t: fpu amx_bf16", True),
        ("Features\t: fp asimd bf16", True),
        ("flags\t\t: fpu avx2 avx512f", False),
        ("model name\t: bf16", False),
    ],
)
def test_bf16_is_read_off_the_cpu_flags(tmp_path, line, expected):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\n{line}\nbugs\t: none\n")
    assert cpu_has_bf16(cpuinfo) is expected


def test_a_system_without_cpuinfo_has_no_known_bf16(tmp_path):
    assert cpu_has_bf16(tmp_path / "absent") is False
