"""The stack under test: `tapetum serve` with the configuration that ships, on loopback, and a look at its processes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from loadtests.contenders import tapetum_program
from loadtests.processes import LOOPBACK, RunningSystem, free_port
from services.local.stack import DEFAULT_CONFIG
from services.topology import Layout

MIB = 2**20

PROCESSES: Mapping[str, str] = {
    "Gateway": "ServeReplica:tapetum:Gateway",
    "Classifier": "ServeReplica:tapetum:Classifier",
    "Detector": "ServeReplica:tapetum:Detector",
    "Segmenter": "ServeReplica:tapetum:Segmenter",
    "HAProxy": "haproxy -",
    "cache": "valkey-server",
    "Serve controller": "ServeController",
    "raylet": "raylet/raylet",
}
"""A piece of the command line of each kind of process."""


@dataclass(frozen=True)
class Target:
    """A running stack.

    Attributes:
        system: Its processes.
        port: Where it listens, on loopback.
        key: API key that it asks for; None where it asks for none.
    """

    system: RunningSystem
    port: int
    key: str | None = None

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """Headers that let a request in."""
        return {"authorization": f"Bearer {self.key}"} if self.key else {}

    def client(self, timeout_s: float = 30.0) -> httpx.Client:
        """A client that uses no proxy."""
        return httpx.Client(base_url=self.url, headers=self.headers, timeout=timeout_s, trust_env=False)

    def async_client(self, connections: int, timeout_s: float = 30.0) -> httpx.AsyncClient:
        """Likewise, with so many connections at most."""
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        return httpx.AsyncClient(
            base_url=self.url, headers=self.headers, timeout=timeout_s, trust_env=False, limits=limits
        )

    def find(self, kind: str) -> psutil.Process | None:
        """One living process of a kind of `PROCESSES`; None where there is none just now."""
        return next(self.find_all(kind), None)

    def find_all(self, kind: str) -> Iterator[psutil.Process]:
        """All living processes of a kind of `PROCESSES`."""
        for process in self.system.processes():
            with suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE and PROCESSES[kind] in " ".join(process.cmdline()):
                    yield process

    def rss_mib(self, kind: str) -> float:
        """Resident memory of one process of a kind, in MiB; 0.0 where there is none."""
        process = self.find(kind)
        return process.memory_info().rss / MIB if process else 0.0

    def metric(self, name: str, **labels: str) -> float:
        """Sum of a metric's samples that carry these labels."""
        total = 0.0
        with self.client() as client:
            lines = client.get("/metrics").text.splitlines()
        for line in lines:
            series, _, value = line.rpartition(" ")
            if series.partition("{")[0] == name and all(f'{key}="{text}"' in series for key, text in labels.items()):
                total += float(value)
        return total


@contextmanager
def running_target(
    folder: Path, *, key: str | None = None, topology: Layout = "auto", **environment: str
) -> Iterator[Target]:
    """Start the stack, wait until it is ready, and end it.

    Args:
        folder: Takes its log.
        key: API key that it is to ask for.
        topology: Where its models run; `auto` is colocated.
        environment: More variables.

    Raises:
        SystemFailed: it did not start.
    """
    kept = {name: "" for name in os.environ if name.startswith("TAPETUM_")}
    if kept:
        raise SystemExit(f"unset {', '.join(kept)} first: the run sets what it needs itself")
    port = free_port()
    if key:
        environment["TAPETUM_API_KEYS"] = key
    command = [tapetum_program(), "serve", "--config", str(DEFAULT_CONFIG), "--port", str(port), "--topology", topology]
    system = RunningSystem("Tapetum", command, environment, folder / f"stack-{port}.log")
    with system:
        system.wait_until_ready(port, "/readyz")
        yield Target(system, port, key)
