"""A runtime whose networks ONNX Runtime runs, to measure it beside the others."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from torch import nn

from models.entries import LetterboxPreprocessing, Preprocessing
from models.execution.external import ExternalRuntime, NetworkExecutor
from models.export.agreement import photo_batches
from models.export.captured_network import capture
from models.export.onnx_network import OnnxExecutor, export_onnx, require_exporter


@dataclass(frozen=True, kw_only=True)
class OnnxRuntime(ExternalRuntime):
    """A runtime of one model.

    Attributes:
        network: Its exported network.
    """

    network: NetworkExecutor

    @classmethod
    def of(cls, name: str, threads: int) -> OnnxRuntime:
        """Exports a model.

        Args:
            name: A name of the catalog.
            threads: Of one run.

        Raises:
            ExportError: The extra `export` is not installed, or the network cannot be exported.
        """
        return cls(precision="fp32", backend="torch", network=OnnxExecutor(_exported(name), threads))

    def executor(self, network: nn.Module, preprocessing: Preprocessing | LetterboxPreprocessing) -> NetworkExecutor:
        """See `ExternalRuntime.executor`."""
        return self.network


@cache
def _exported(name: str) -> Path:
    """Exports a model; the file stays until this process ends."""
    require_exporter()
    captured = capture(name)
    path = Path(_folder().name, f"{name.replace('/', '-')}.onnx")
    export_onnx(captured, photo_batches(captured.adapter)[0], path)
    return path


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()
