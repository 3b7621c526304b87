"""A gateway on loopback in front of real replicas that load and unload versions of a detector, without Ray."""

from __future__ import annotations

import asyncio
import io
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from services.answers.wire import Item, Outcome
from services.deployments.host import ModelHost
from services.gateway.app import create_app
from services.gateway.open_inference.grpc_methods import OpenInferenceMethods
from services.gateway.serving.registry import Registry
from services.grpc_services import add_services
from services.rollout.plan_store import MemoryPlanStore
from services.rollout.serving_plan import ServingPlan
from services.settings import Settings, read_settings
from services.topology import check_topology
from tests.unit.detector_cards import write_detector
from tests.unit.gateway_fakes import MemoryCache
from tests.unit.serving import serving_grpc

MODEL = "finds-anything"
ADMIN = {"x-api-key": "an-admin"}


class Replicas:
    """Calls one of some model hosts, at random."""

    def __init__(self, hosts: Sequence[ModelHost]) -> None:
        self.hosts = list(hosts)
        self.asked: list[Item] = []

    async def predict(self, items: list[Item]) -> Sequence[Outcome]:
        self.asked += [item._replace(image=b"") for item in items]
        return await random.choice(self.hosts).predict(items)

    async def describe(self) -> list[dict[str, Any]]:
        return random.choice(self.hosts).describe()


@dataclass(frozen=True)
class VersionStack:
    """The stack.

    Attributes:
        url: Of the gateway.
        grpc_port: Of its gRPC services, on loopback.
        catalog: Folder of the cards.
        replicas: The model hosts.
        config: The deployment of the replicas.
        store: Of serving plans.
        plans: The first ones.
    """

    url: str
    grpc_port: int
    catalog: Path
    replicas: Replicas
    config: dict[str, Any]
    store: MemoryPlanStore
    plans: list[dict[str, Any]]

    def admin(self, action: str, version: str, **headers: str) -> httpx.Response:
        """Load or unload a version."""
        url = f"{self.url}/v1/models/{MODEL}/{action}"
        return httpx.post(url, json={"version": version}, headers={**ADMIN, **headers}, timeout=60)

    def detect(self, image: bytes, model: str | None = None) -> httpx.Response:
        """Ask for the objects in an image."""
        params = {} if model is None else {"model": model}
        return httpx.post(
            f"{self.url}/v1/detect", content=image, params=params, headers={"content-type": "image/png"}, timeout=60
        )

    def versions(self) -> dict[str, str]:
        """The state of each version, as `/v1/models` says."""
        return {each["version"]: each["state"] for each in httpx.get(f"{self.url}/v1/models").json()["versions"]}

    def start_replica(self) -> ModelHost:
        """One more replica, that takes requests once it is ready."""
        host = ModelHost(self.config, self.store, self.plans)
        self.replicas.hosts.append(host)
        return host


@contextmanager
def version_stack(folder: Path, names: Sequence[str], replicas: int = 2, **args: Any) -> Iterator[VersionStack]:
    """Versions 1 and 2 of a detector in the catalog, and replicas of the models that are named.

    Plans are read more often than in a real stack, in the same proportions.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.deployments.host.configure_logging", lambda _: None)  # it is for the whole process
        patch.setattr("services.deployments.plan_follower.POLL_S", 0.2)
        patch.setattr("services.deployments.plan_follower.GRACE_S", 0.6)
        patch.setattr("services.gateway.serving.registry.READ_INTERVAL_S", 0.2)
        patch.setattr("services.gateway.serving.on_demand.SETTLED_S", 0.4)
        patch.setenv("TAPETUM_CATALOG", str(folder))
        read_settings.cache_clear()
        for version in ("1", "2"):
            write_detector(folder, MODEL, version)
        deployment = {"name": "Detector", "task": "detection", "models": list(names), "num_threads": 1}
        topology = check_topology({"deployments": [deployment], **args}).with_versions()
        config, store = topology.deployments[0].model_dump(), MemoryPlanStore()
        models = dict.fromkeys(spec.model for spec in topology.deployments[0].models)
        plans = [ServingPlan.of(topology, model).model_dump() for model in models]
        behind = Replicas([ModelHost(config, store, plans) for _ in range(replicas)])
        registry = Registry(topology, {"Detector": behind}, store=store)
        asyncio.run(registry.readiness())
        app = create_app(Settings(admin_keys="an-admin"), registry, MemoryCache())  # pyright: ignore[reportArgumentType]
        methods = OpenInferenceMethods()
        methods.grpc_front = app.state.grpc_front
        with serving_grpc(app, lambda server: add_services(methods, server)) as (url, grpc_port):
            yield VersionStack(url, grpc_port, folder, behind, config, store, plans)
        for host in behind.hosts:
            host.close()
    read_settings.cache_clear()


@dataclass
class Load:
    """Requests from several threads, each for an image of its own.

    Attributes:
        failures: Answers that are no predictions, and exceptions.
        mislabelled: Answers whose label is not the version that their classes are of.
        versions: Answers by the label of their version, in turns of a second.
    """

    failures: list[str] = field(default_factory=list)
    mislabelled: list[str] = field(default_factory=list)
    versions: list[tuple[float, str]] = field(default_factory=list)

    @property
    def by_version(self) -> Counter[str]:
        """Number of answers by version."""
        return Counter(version for _, version in self.versions)

    def last_version(self) -> str:
        """Version of the latest answer."""
        return max(self.versions)[1]

    def see(self, response: httpx.Response) -> None:
        """Record an answer."""
        if response.status_code != 200:
            self.failures.append(f"{response.status_code} {response.text}")
            return
        body = response.json()
        found = {row["class_name"].rpartition(" of ")[2] for row in body["predictions"]}
        if found != {body["version"]}:
            self.mislabelled.append(f"{found} as {body['version']}")
        self.versions.append((time.monotonic(), body["version"]))


@contextmanager
def load_on(url: str, threads: int = 2, path: str = "/v1/detect") -> Iterator[Load]:
    """Requests without a pause until the block ends; some images are repeated, so that the cache answers, too."""
    load, stopped = Load(), threading.Event()

    def ask(seed: int) -> None:
        generator = np.random.default_rng(seed)
        with httpx.Client(base_url=url, timeout=30) as client:
            while not stopped.is_set():
                image = photo(int(generator.integers(0, 200)))
                try:
                    load.see(client.post(path, content=image, headers={"content-type": "image/png"}))
                except Exception as error:
                    load.failures.append(repr(error))

    callers = [threading.Thread(target=ask, args=(seed,)) for seed in range(threads)]
    for caller in callers:
        caller.start()
    try:
        yield load
    finally:
        stopped.set()
        for caller in callers:
            caller.join()


def photo(shade: int) -> bytes:
    """A PNG file with noise of its own."""
    pixels = np.random.default_rng(shade).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
