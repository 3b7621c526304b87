"""Starts the real stack as a user does, and looks at it from outside."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

READY_TIMEOUT_S = 120.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def write_config(
    folder: Path,
    *,
    models: tuple[str, ...] = ("efficientnet-lite0", "noop"),
    detectors: tuple[str, ...] = (),
    segmenters: tuple[str, ...] = (),
    poses: tuple[str, ...] = (),
    gateways: int = 1,
    topology: str = "auto",
    grpc_port: int | None = None,
    preload: tuple[str, ...] | None = None,
    **deployment: Any,
) -> Path:
    """A Serve configuration with a deployment of classifiers, and those of other tasks that are named.

    Args:
        folder: For the file.
        models: Of the classifiers.
        detectors: Models of a deployment for detection.
        segmenters: Models of a deployment for segmentation.
        poses: Models of a deployment for key points.
        gateways: Replicas of the gateway.
        topology: `colocated`, `split`, or what `tapetum serve` chooses.
        grpc_port: Port of gRPC; None: none.
        preload: Models that are loaded at the start; None: all.
        deployment: Further keys of every deployment.
    """
    each = {"num_cpus": 0.5, "max_batch_size": 8, **deployment}
    deployments = [{"name": "Classifier", "task": "classification", "models": list(models), **each}]
    if detectors:
        deployments.append({"name": "Detector", "task": "detection", "models": list(detectors), **each})
    if segmenters:
        deployments.append({"name": "Segmenter", "task": "segmentation", "models": list(segmenters), **each})
    if poses:
        deployments.append({"name": "Pose", "task": "keypoints", "models": list(poses), **each})
    grpc_options = {"port": grpc_port, "grpc_servicer_functions": ["services.grpc_services:add_services"]}
    document = {
        **({"grpc_options": grpc_options} if grpc_port else {}),
        "applications": [
            {
                "name": "tapetum",
                "route_prefix": "/",
                "import_path": "services.app:build",
                "args": {
                    "topology": topology,
                    "gateway": {"num_replicas": gateways, "num_cpus": 0.5},
                    "deployments": deployments,
                    **({"preload": list(preload)} if preload is not None else {}),
                },
            }
        ],
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


class RunningStack:
    """`tapetum serve` in a process of its own.

    Attributes:
        url: Where it answers.
        lines: What it has printed so far.
    """

    def __init__(self, config: Path, port: int, *options: str, **environment: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("TAPETUM_", "RAY_"))}
        self.url = f"http://127.0.0.1:{port}"
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [
                str(Path(sys.executable).parent / "tapetum"),
                "serve",
                "--config",
                str(config),
                "--port",
                str(port),
                *options,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            env={**clean, "TAPETUM_LOG_FORMAT": "json", **environment},
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_until_ready(self) -> None:
        give_up_at = time.monotonic() + READY_TIMEOUT_S
        while not any("ready" in line and "✓" in line for line in self.lines):
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.output}"
            assert time.monotonic() < give_up_at, f"not ready:\n{self.output}"
            time.sleep(0.05)

    def processes(self) -> list[psutil.Process]:
        """All processes of the stack, itself first; Ray's workers are its descendants too."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def replicas(self, deployment: str) -> list[psutil.Process]:
        """The living replicas of a deployment."""
        return [
            process
            for process in self.processes()
            if process.status() != psutil.STATUS_ZOMBIE
            and f"ServeReplica:tapetum:{deployment}" in " ".join(process.cmdline())
        ]

    def replica(self, deployment: str) -> psutil.Process:
        """A living replica of a deployment."""
        for process in self.replicas(deployment):
            return process
        raise LookupError(deployment)

    def haproxy(self) -> psutil.Process:
        """The HAProxy that runs, and not one that a reload is about to end."""
        running = [process for process in self.processes() if _is_running_haproxy(process)]
        return max(running, key=lambda process: process.create_time())

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 60.0) -> int:
        """Send a signal, wait for the end, and return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = 60.0) -> int:
        """Wait for the end, and return the exit status."""
        status = self.process.wait(timeout_s)
        self._reader.join(5)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    def metric(self, name: str, **labels: str) -> float:
        """Sum of a metric's samples that carry these labels."""
        total = 0.0
        for line in httpx.get(f"{self.url}/metrics").text.splitlines():
            series, _, value = line.rpartition(" ")
            if series.partition("{")[0] == name and all(f'{key}="{text}"' in series for key, text in labels.items()):
                total += float(value)
        return total


def _is_running_haproxy(process: psutil.Process) -> bool:
    return process.status() != psutil.STATUS_ZOMBIE and process.name() == "haproxy"


@contextmanager
def running_stack(config: Path, *options: str, **environment: str) -> Iterator[RunningStack]:
    """A stack that is ready; ended with everything that belongs to it."""
    stack = RunningStack(config, free_port(), *options, **environment)
    family = []
    try:
        stack.wait_until_ready()
        yield stack
    finally:
        if stack.process.poll() is None:
            family = stack.processes()
        stack.stop()
        for process in family:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                process.kill()


def alive(processes: list[psutil.Process], within_s: float = 5.0) -> list[str]:
    """Command lines of those that still run after a moment."""
    _, left = psutil.wait_procs(processes, timeout=within_s)
    return [" ".join(process.cmdline())[:120] for process in left if process.status() != psutil.STATUS_ZOMBIE]


def listening_beyond_loopback(processes: list[psutil.Process]) -> list[str]:
    """Ports of these processes that other machines could reach."""
    loopback = ("127.", "::1", "::ffff:127.")
    return [
        f"{process.name()} {connection.laddr.ip}:{connection.laddr.port}"
        for process in processes
        if process.status() != psutil.STATUS_ZOMBIE
        for connection in process.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN and not connection.laddr.ip.startswith(loopback)
    ]
