"""The systems that are compared: how each is started, when it is ready, and how it is asked."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import yaml

from loadtests.processes import RunningSystem, free_port
from services.topology import read_serve_file

ROOT = Path(__file__).parent.parent
PREDICT_PATH = "/v1/classify"
JPEG = {"Content-Type": "image/jpeg"}
PAST_THE_CACHE = {"Cache-Control": "no-store"}

FLOOR = "floor"
TAPETUM = "Tapetum"
FASTAPI = "FastAPI"
LITSERVE = "LitServe"
FASTAPI_REDIS = "FastAPI + Redis"


def _as_it_is(photo: bytes) -> bytes:
    return photo


@dataclass(frozen=True)
class Contender:
    """One system.

    Attributes:
        name: For tables.
        command: Program and arguments; the port comes last.
        headers: Of every request.
        encode: From a photo to a request's body.
        ready_path: A GET of it answers 200 once the system can be asked.
        environment: Variables besides those of this process.
    """

    name: str
    command: Sequence[str]
    headers: Mapping[str, str] = field(default_factory=lambda: dict(JPEG))
    encode: Callable[[bytes], bytes] = _as_it_is
    ready_path: str = "/readyz"
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    @contextmanager
    def running(self, folder: Path) -> Iterator[tuple[RunningSystem, int]]:
        """Start the system, and end it.

        Args:
            folder: Takes its log.

        Yields:
            The system, and its port.

        Raises:
            SystemFailed: it did not start.
        """
        port = free_port()
        log = folder / f"{self.name.replace(' ', '-')}.log"
        environment = {"PYTHONPATH": str(ROOT), **self.environment}
        with RunningSystem(self.name, [*self.command, str(port)], environment, log) as system:
            system.wait_until_ready(port, self.ready_path)
            yield system, port


def tapetum(config: Path, headers: Mapping[str, str] | None = None) -> Contender:
    """Tapetum as `tapetum serve --config` starts it.

    Args:
        config: Serve configuration file.
        headers: Besides the content type, of every request.
    """
    program = str(Path(sys.executable).parent / "tapetum")
    command = [program, "serve", "--config", str(config), "--port"]
    return Contender(TAPETUM, command, headers={**JPEG, **(headers or {})})


def fastapi() -> Contender:
    """FastAPI, uvicorn and torch, one request at a time."""
    return Contender(FASTAPI, _module("fastapi_server"))


def bare_fastapi() -> Contender:
    """FastAPI and uvicorn without a model."""
    return Contender(FASTAPI, _module("noop_server"))


def fastapi_with_redis() -> Contender:
    """FastAPI in front of Redis, without a model."""
    return Contender(FASTAPI_REDIS, _module("cache_server"))


def litserve(python: Path) -> Contender:
    """LitServe with batching.

    Args:
        python: The interpreter of the environment that it is installed in.
    """
    return Contender(
        LITSERVE,
        [str(python), *_module("litserve_server")[1:]],
        headers={"Content-Type": "application/json"},
        encode=lambda photo: orjson.dumps({"image_data": base64.b64encode(photo).decode()}),
        ready_path="/health",
    )


def with_one_model(config: Path, model: str, target: Path) -> Path:
    """Write a configuration that differs from another in nothing but its models.

    Args:
        config: The other.
        model: The one model of the first deployment; the other deployments go.
        target: File to write.

    Returns:
        `target`.

    Raises:
        services.topology.TopologyError: either configuration cannot be served.
    """
    read_serve_file(config)
    document: dict[str, Any] = yaml.safe_load(config.read_text(encoding="utf-8"))
    args = document["applications"][0]["args"]
    args["deployments"] = [{**args["deployments"][0], "models": [model]}]
    target.write_text(yaml.safe_dump(document), encoding="utf-8")
    read_serve_file(target)
    return target


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", f"loadtests.systems.{name}"]
