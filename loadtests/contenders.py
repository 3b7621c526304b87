"""The systems that are compared: how each is started, when it is ready, and how it is asked."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import orjson
import yaml

from loadtests.processes import LOOPBACK, START_TIMEOUT_S, RunningSystem, free_port
from loadtests.workloads import CLASSIFICATION, Workload
from models.catalog.lookup import find
from services.local.stack import DEFAULT_CONFIG
from services.serve_file import read_serve_file

ROOT = Path(__file__).parent.parent
JPEG = {"Content-Type": "image/jpeg"}
PAST_THE_CACHE = {"Cache-Control": "no-store"}

FLOOR = "floor"
TAPETUM = "Tapetum"
TAPETUM_SPLIT = "Tapetum, split"
"""With the models in replicas of their own, where that is not the default."""
FASTAPI = "FastAPI"
LITSERVE = "LitServe"
MOSEC = "mosec"
FASTAPI_REDIS = "FastAPI + Redis"
BEFORE = "Tapetum before"
ADAPTER = "adapter"


def _as_it_is(photo: bytes) -> bytes:
    return photo


@dataclass(frozen=True)
class Contender:
    """One system.

    Attributes:
        name: For tables.
        command: Program and arguments; the port comes last.
        path: Where it takes photos.
        headers: Of every request.
        encode: From a photo to a request's body.
        ready_path: A GET of it answers 200 once the system can be asked.
        environment: Variables besides those of this process.
    """

    name: str
    command: Sequence[str]
    path: str = CLASSIFICATION.path
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


def tapetum_program() -> str:
    """Path of the command `tapetum` in this environment."""
    return str(Path(sys.executable).parent / "tapetum")


def tapetum(config: Path, topology: Literal["auto", "split", "colocated"] | None = None) -> Contender:
    """Tapetum as `tapetum serve --config` starts it, asked to classify.

    Args:
        config: Serve configuration file.
        topology: In place of that of the file.
    """
    options = [] if topology is None else ["--topology", topology]
    name = TAPETUM_SPLIT if topology == "split" else TAPETUM
    return Contender(name, [tapetum_program(), "serve", "--config", str(config), *options, "--port"])


def tapetum_of(checkout: Path) -> Contender:
    """Tapetum of another checkout, with the configuration that it ships, on the packages of this one.

    Args:
        checkout: Its folder.
    """
    contender = tapetum(checkout / DEFAULT_CONFIG.relative_to(ROOT))
    return replace(contender, name=BEFORE, environment={"PYTHONPATH": str(checkout)})


def tapetum_with_grpc(config: Path, grpc_port: int) -> Contender:
    """The same with a port for gRPC.

    Args:
        config: Serve configuration file.
        grpc_port: The port.
    """
    contender = tapetum(config)
    *command, port = contender.command
    return replace(contender, command=[*command, "--grpc-port", str(grpc_port), port])


def tapetum_without_cache(config: Path, workload: Workload) -> Contender:
    """Tapetum, asked for what it must find out anew each time.

    Args:
        config: Serve configuration file.
        workload: What it is asked for.
    """
    return replace(tapetum(config), path=workload.path, headers={**JPEG, **PAST_THE_CACHE})


def fastapi(workload: Workload) -> Contender:
    """FastAPI, uvicorn and torch, one request at a time."""
    return Contender(FASTAPI, [*_module("fastapi_server"), workload.task], path=workload.path)


def bare_fastapi() -> Contender:
    """FastAPI and uvicorn without a model."""
    return Contender(FASTAPI, _module("noop_server"))


def fastapi_with_redis() -> Contender:
    """FastAPI in front of Redis, without a model."""
    return Contender(FASTAPI_REDIS, _module("cache_server"))


def litserve(python: Path, workload: Workload) -> Contender:
    """LitServe with batching.

    Args:
        python: The interpreter of the environment that it is installed in.
        workload: What it is asked for.
    """
    return Contender(
        LITSERVE,
        [str(python), *_module("litserve_server")[1:], workload.task],
        path=workload.path,
        headers={"Content-Type": "application/json"},
        encode=lambda photo: orjson.dumps({"image_data": base64.b64encode(photo).decode()}),
        ready_path="/health",
    )


def mosec(python: Path, config: Path) -> Contender:
    """mosec with Tapetum's adapter.

    Args:
        python: The interpreter of the environment that it is installed in.
        config: Serve configuration file, whose first model it serves.
    """
    options = [str(config), "--address", LOOPBACK, "--timeout", str(round(START_TIMEOUT_S * 1e3)), "--port"]
    command = [str(python), *_module("mosec_server")[1:], *options]
    return Contender(MOSEC, command, path="/inference", ready_path="/")


def with_one_model(config: Path, model: str, target: Path) -> Path:
    """Write a configuration that differs from another in nothing but its models.

    Args:
        config: The other. Its first deployment of the model's task is kept, or where there is none its very first, with
            another task; the others go.
        model: What that one is to serve.
        target: File to write.

    Returns:
        `target`.

    Raises:
        services.configuration.TopologyError: either configuration cannot be served.
    """
    read_serve_file(config)
    document: dict[str, Any] = yaml.safe_load(config.read_text(encoding="utf-8"))
    args = document["applications"][0]["args"]
    task = find(model).task
    of_task = [deployment for deployment in args["deployments"] if deployment["task"] == task]
    kept = of_task[0] if of_task else {**args["deployments"][0], "name": task, "task": task}
    args["deployments"] = [{**kept, "models": [model]}]
    args.pop("preload", None)
    target.write_text(yaml.safe_dump(document), encoding="utf-8")
    read_serve_file(target)
    return target


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", f"loadtests.systems.{name}"]
