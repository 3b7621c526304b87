"""A real NVIDIA Triton server on loopback, with its python backend: for tests and for measurements.

The wheel of `nvidia-pytriton` holds `tritonserver` and one backend, python; it runs on a CPU, and is ready within two
seconds.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final

import psutil

from loadtests.environments import TRITON
from loadtests.processes import LOOPBACK, RunningSystem, SystemFailed, free_port

_SHARED_MEMORY: Final = Path("/dev/shm")
_CPU_ONLY: Final = {"CUDA_VISIBLE_DEVICES": ""}


class TritonServer:
    """A Triton server of a model repository; a context manager that leaves nothing behind.

    It keeps its ports when it is stopped or killed and started again.

    Args:
        repository: The model repository.
        log: File that takes its log.
        options: Further options of `tritonserver`, such as `--model-control-mode=explicit`.
        say: Takes lines of progress, where its environment has to be made first.

    Raises:
        loadtests.environments.NoEnvironment: On construction, where it cannot be had on this machine.
    """

    def __init__(
        self, repository: Path, log: Path, options: Sequence[str] = (), say: Callable[[str], None] = print
    ) -> None:
        self.http_port, self.grpc_port, self.metrics_port = free_port(), free_port(), free_port()
        self._log = log
        self._regions = f"tapetum_triton_{uuid.uuid4().hex}"
        python = TRITON.python(say)
        packages = python.parent.parent / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}"
        packages /= "site-packages"
        home = packages / "pytriton" / "tritonserver"
        _add_stub(home)
        self._command = [
            str(home / "bin" / "tritonserver"),
            f"--model-repository={repository}",
            f"--backend-directory={home / 'backends'}",
            f"--backend-config=python,shm-region-prefix-name={self._regions}",
            *(f"--{protocol}-address={LOOPBACK}" for protocol in ("http", "grpc", "metrics")),
            f"--http-port={self.http_port}",
            f"--grpc-port={self.grpc_port}",
            f"--metrics-port={self.metrics_port}",
            "--allow-gpu-metrics=false",
            *options,
        ]
        libraries = (sysconfig.get_config_var("LIBDIR"), packages / "nvidia_pytriton.libs")
        self._environment = {
            "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
            "PATH": f"{python.parent}:{os.environ['PATH']}",  # another Python here, and outputs have no bytes
            "PYTHONPATH": str(packages),
            **_CPU_ONLY,
        }
        self._system: RunningSystem | None = None

    @property
    def url(self) -> str:
        """Address of its gRPC port, as `tritonclient.grpc` takes it."""
        return f"{LOOPBACK}:{self.grpc_port}"

    def __enter__(self) -> TritonServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and return when it and all of its models are ready.

        Raises:
            loadtests.processes.SystemFailed: it ended, as it does where a model cannot be loaded; holds its errors.
        """
        system = self._system = RunningSystem("Triton", self._command, self._environment, self._log)
        try:
            system.__enter__()
            system.wait_until_ready(self.http_port, "/v2/health/ready")
        except BaseException as error:
            self.stop()
            if isinstance(error, SystemFailed):
                raise SystemFailed(f"Triton did not start:\n{self.errors() or error}") from None
            raise

    def stop(self) -> None:
        """Stop it and return when it has ended; nothing happens where it does not run."""
        system, self._system = self._system, None
        if system is not None:
            system.__exit__(None, None, None)
        for region in _SHARED_MEMORY.glob(f"{self._regions}*"):  # a server that is killed leaves its own behind
            region.unlink(missing_ok=True)

    def kill(self) -> None:
        """End it and the processes of its models by SIGKILL."""
        assert self._system is not None
        processes = self._system.processes()
        for process in processes:
            with suppress(psutil.Error):
                process.kill()
        self.stop()
        psutil.wait_procs(processes, timeout=10)

    def errors(self) -> str:
        """The lines of its log that are errors."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(line for line in lines if re.match(r"E\d{4} |error:", line))

    def cpu_s(self) -> dict[int, float]:
        """See `loadtests.processes.RunningSystem.cpu_s`."""
        assert self._system is not None
        return self._system.cpu_s()


def _add_stub(home: Path) -> None:
    """Put the python backend's program for this version of Python where the server looks for it."""
    stub = home / "backends" / "python" / "triton_python_backend_stub"
    if stub.exists():
        return
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    part = stub.with_name(uuid.uuid4().hex)
    shutil.copy(home / "python_backend_stubs" / version / stub.name, part)
    part.replace(stub)
