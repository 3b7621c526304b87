"""Device, backend, precision and options of a network, and how `auto` is resolved on this machine.

Measured with EfficientNet-Lite0 at 224 x 224 on one thread of an AMD Zen 3 core (AVX2) in fp32, in CPU ms per image at
batch 1 / 4 / 8 (medians of one run; `loadtests/device.py` measures any machine):

    torch, eager                                   32.4 / 30.7 / 34.3
    torch, batch norms folded, channels last       25.7 / 20.3 / 20.0
    OpenVINO                                       17.1 / 12.9 / 12.9

So on a CPU `auto` is OpenVINO, and the defaults of torch are `fuse`, `channels_last`, no `compile`. On a CPU with
native bf16 arithmetic `auto` is bf16: with folded batch norms a Zen 4 core takes 15.0 / 13.7 / 17.6 ms in fp32 and
10.8 / 7.5 / 6.9 in bf16. A CPU without it emulates bf16 slowly, so there `auto` is fp32. On a GPU `auto` is fp16: as
fast as bf16, with eight times its resolution. Loading compares a network in half precision with float32, on its device
(`models.execution.precision`).
"""

from dataclasses import dataclass, fields, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, get_args

from models.errors import UnsupportedRuntime

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Backend = Literal["auto", "torch", "openvino", "onnxruntime"]
_NATIVE_BF16: Final = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Names in /proc/cpuinfo: the first two of x86-64, the last of ARM."""
_CPUINFO: Final = Path("/proc/cpuinfo")
_ONNX_BACKENDS: Final[tuple[Backend, ...]] = ("openvino", "onnxruntime")
"""Packages that run ONNX files; on a CPU the first is the faster one."""
ONNXRUNTIME_REMEDY: Final = "pip install 'tapetum[export]'"
"""How to install onnxruntime for CPUs."""
_WITHOUT_EFFECT: Final = ("num_threads", "num_threads_alone", "num_streams", "cuda_graphs")
"""Options on which predictions do not depend."""


@dataclass(frozen=True)
class Runtime:
    """Device, precision and graph options of a network.

    Attributes:
        device: `cpu`, `cuda` (the current GPU) or `cuda:N`.
        precision: Of weights and activations; `auto` is the fastest that keeps the predictions, see above.
        channels_last: Keep activations as (N, H, W, C) in memory.
        fuse: Fold batch norms into convolutions.
        compile: Compile with torch.compile at the first call, which takes seconds to a minute; worth it on GPUs.
        cuda_graphs: Record a CUDA graph of each input shape on a GPU, see `models.execution.cuda_graphs`; only for
            networks that torch.fx traces (`fuse`).
        backend: What runs the network: `torch`, or on a CPU `openvino`, with which `channels_last`, `fuse` and
            `compile` must have their defaults; `auto` is `openvino` where it is installed and possible. Of a network
            from an ONNX file, `openvino` or `onnxruntime`, see `resolve_for_onnx`.
        num_threads: Threads of one run by OpenVINO or onnxruntime; None: as many as torch has in the thread that loads
            the model. Torch takes as many as are set for the thread that runs the network.
        num_threads_alone: The same by OpenVINO for an image that is alone, see `models.execution.alone`; None: no
            others. OpenVINO keeps a second copy of a network for them.
        num_streams: Runs that OpenVINO computes side by side; further ones wait.

    Raises:
        UnsupportedRuntime: On construction, where an option is not one of those named here.
    """

    device: str = "cpu"
    precision: Precision = "auto"
    channels_last: bool = True
    fuse: bool = True
    compile: bool = False
    cuda_graphs: bool = False
    backend: Backend = "auto"
    num_threads: int | None = None
    num_threads_alone: int | None = None
    num_streams: int = 1

    def __post_init__(self) -> None:
        family, colon, index = self.device.partition(":")
        if self.device != "cpu" and not (family == "cuda" and index.isdecimal() == bool(colon)):
            raise UnsupportedRuntime(f"device {self.device!r} is none of cpu, cuda and cuda:N")
        if self.precision not in get_args(Precision):
            raise UnsupportedRuntime(f"precision {self.precision!r} is none of {', '.join(get_args(Precision))}")
        if self.backend not in get_args(Backend):
            raise UnsupportedRuntime(f"backend {self.backend!r} is none of {', '.join(get_args(Backend))}")

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device != "cpu"

    def to_dict(self) -> dict[str, Any]:
        """Returns everything that predictions depend on, JSON-able."""
        return {field.name: getattr(self, field.name) for field in fields(Runtime) if field.name not in _WITHOUT_EFFECT}

    def resolve(self) -> "Runtime":
        """Resolves `auto` and checks that this machine has the device and supports the precision.

        Returns:
            The same runtime with an explicit backend and precision and, for `cuda`, an explicit index.

        Raises:
            UnsupportedRuntime: The device does not exist, or does not support the precision or the backend.
        """
        if self.cuda_graphs and (self.compile or not (self.on_gpu and self.fuse)):
            raise UnsupportedRuntime("cuda_graphs is for GPUs, with fuse and without compile")
        resolved = self._resolve_gpu() if self.on_gpu else self._resolve_cpu()
        return replace(resolved, backend=self._resolve_backend())

    def resolve_for_onnx(self) -> "Runtime":
        """Resolves `auto` for a network from an ONNX file: on CPUs OpenVINO where it is installed, else onnxruntime.

        Returns:
            The same as `resolve`, with the options of torch at their defaults: they have no effect. With onnxruntime
            the precision is `fp32`, for it computes in the types of the file.

        Raises:
            UnsupportedRuntime: The device does not exist, or the backend is not installed or does not support the
                device, the precision or ONNX files.
        """
        plain = replace(self, channels_last=True, fuse=True, compile=False, cuda_graphs=False)
        backend = plain._resolve_onnx_backend()
        if backend == "openvino":
            return replace(plain, backend=backend).resolve()
        if self.precision not in ("auto", "fp32"):
            raise UnsupportedRuntime(f"onnxruntime computes in the types of an ONNX file, not in {self.precision}")
        return replace(replace(plain, backend="torch", precision="fp32").resolve(), backend=backend)

    def _resolve_onnx_backend(self) -> Backend:
        installed: list[Backend] = [name for name in _ONNX_BACKENDS if find_spec(name) is not None]
        if self.backend == "auto":
            possible: list[Backend] = [name for name in installed if name != "openvino" or not self.on_gpu]
            if not possible:
                raise UnsupportedRuntime(f"ONNX files on {self.device} need onnxruntime: {ONNXRUNTIME_REMEDY}")
            return possible[0]
        if self.backend == "torch":
            raise UnsupportedRuntime("backend torch runs no ONNX files; take auto, openvino or onnxruntime")
        if self.backend == "onnxruntime" and "onnxruntime" not in installed:
            raise UnsupportedRuntime(f"backend onnxruntime needs the Python package onnxruntime: {ONNXRUNTIME_REMEDY}")
        return self.backend

    def _resolve_backend(self) -> Backend:
        is_installed = find_spec("openvino") is not None
        is_possible = not (self.on_gpu or self.compile) and self.fuse and self.channels_last
        if self.backend == "auto":
            return "openvino" if is_installed and is_possible else "torch"
        if self.backend == "onnxruntime":
            raise UnsupportedRuntime("backend onnxruntime is for ONNX files; take auto, torch or openvino")
        if self.backend == "openvino" and not is_possible:
            raise UnsupportedRuntime("backend openvino is for the CPU; fuse, channels_last and compile are for torch")
        if self.backend == "openvino" and not is_installed:
            raise UnsupportedRuntime("backend openvino needs the Python package openvino; install it, or take torch")
        return self.backend

    def _resolve_cpu(self) -> "Runtime":
        if self.precision == "auto":
            return replace(self, precision="bf16" if cpu_has_bf16() else "fp32")
        if self.precision == "fp16":
            raise UnsupportedRuntime("fp16 needs a GPU; on a CPU take fp32 or bf16")
        if self.precision == "bf16" and not cpu_has_bf16():
            raise UnsupportedRuntime("this CPU has no bf16 arithmetic; take fp32")
        return self

    def _resolve_gpu(self) -> "Runtime":
        import torch  # here, so that a process that only reads settings does not load torch

        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            raise UnsupportedRuntime(f"device {self.device!r} was asked for, but torch sees no GPU; take cpu")
        index = int(self.device.partition(":")[2] or torch.cuda.current_device())
        if index >= count:
            raise UnsupportedRuntime(f"device {self.device!r} was asked for, but there are {count} GPUs")
        capability = torch.cuda.get_device_capability(index)
        if self.precision == "bf16" and capability < (8, 0):
            raise UnsupportedRuntime("this GPU has no bf16 arithmetic; take fp16 or fp32")
        precision = self.precision
        if precision == "auto":
            precision = "fp16" if capability >= (7, 0) else "fp32"  # older ones compute in fp16 no faster
        return replace(self, device=f"cuda:{index}", precision=precision)

    def more_precise(self) -> "Runtime":
        """Returns the same with the next precision that this machine supports: after fp16 bf16, then fp32.

        Their range is that of float32: a network whose activations overflow in fp16 may run in bf16.
        """
        try:
            return replace(self, precision="bf16" if self.precision == "fp16" else "fp32").resolve()
        except UnsupportedRuntime:
            return replace(self, precision="fp32")


def cpu_has_bf16(cpuinfo: Path = _CPUINFO) -> bool:
    """Returns whether the CPU has native bf16 arithmetic.

    Args:
        cpuinfo: The kernel's description of the CPU.

    Returns:
        False also where there is no such file.
    """
    return not _NATIVE_BF16.isdisjoint(cpu_flags(cpuinfo))


@cache
def cpu_flags(cpuinfo: Path = _CPUINFO) -> frozenset[str]:
    """Returns the features of the CPU, as the kernel calls them.

    Args:
        cpuinfo: The kernel's description of the CPU.

    Returns:
        Empty where there is no such file.
    """
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return frozenset(flags.partition(":")[2].split())
