"""A runtime whose networks AOTInductor compiles (torch.export, then C++), to measure it beside the others."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.entries import LetterboxPreprocessing, Preprocessing
from models.execution.executor import Executor
from models.execution.external import ExternalRuntime, NetworkExecutor
from models.runtime import Runtime

Network = Callable[[Tensor], Tensor | tuple[Tensor, ...] | list[Tensor]]


@dataclass(frozen=True, kw_only=True)
class AotRuntime(ExternalRuntime):
    """A runtime of networks that AOTInductor compiles, with the options of torch's own."""

    @classmethod
    def of(cls, runtime: Runtime) -> AotRuntime:
        """The same runtime; resolved, for networks are not compared with float32."""
        return cls(**vars(runtime.resolve()))

    def executor(self, network: nn.Module, preprocessing: Preprocessing | LetterboxPreprocessing) -> NetworkExecutor:
        """See `ExternalRuntime.executor`."""
        return _AotExecutor(network, preprocessing, replace(self))


class _AotExecutor(Executor):
    """Compiles a network at its first run with images of a size; the number of images is dynamic."""

    def __init__(
        self, network: nn.Module, preprocessing: Preprocessing | LetterboxPreprocessing, runtime: Runtime
    ) -> None:
        super().__init__(network, preprocessing, runtime)
        self._eager, self._network = self._network, self._run
        self._compiled: dict[torch.Size, Network] = {}

    def _run(self, images: Tensor) -> Tensor | tuple[Tensor, ...] | list[Tensor]:
        size = images.shape[2:]
        if size not in self._compiled:
            self._compiled[size] = _compiled(self._eager, images)
        return self._compiled[size](images)


def _compiled(network: Any, images: Tensor) -> Network:
    inductor = import_module("torch._inductor")
    example = torch.cat([images, images])  # a dimension of 1 would not be dynamic
    program = torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    package = Path(_folder().name, f"{len(list(Path(_folder().name).iterdir()))}.pt2")
    return inductor.aoti_load_package(inductor.aoti_compile_and_package(program, package_path=str(package)))


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()
