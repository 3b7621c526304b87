"""The images of docker-compose.yml, real or stood in for, and a project of them that is up."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.checkout import ROOT
from tests.deploy.podman import FOLDER, FREE_BYTES, Podman

COMPOSE_FILE = ROOT / "docker-compose.yml"
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))["services"]
DOCKERFILE = ROOT / "deploy/docker/Dockerfile"
BASE = "docker.io/library/python:3.11-slim-bookworm"
IMAGE = "localhost/tapetum:latest"
REUSE = "TAPETUM_TEST_REUSE_IMAGES"
"""Where this variable is set, images that are there are taken as they are, whatever has changed since."""
READY_WITHIN_S = 420.0
"""Of a machine whose two cores do other work, too; alone it takes about a minute."""

_REDIS = """\
FROM {base}
RUN apt-get update && apt-get install --yes --no-install-recommends redis-server \\
    && ln -s /usr/bin/redis-server /usr/local/bin/valkey-server && ln -s /usr/bin/redis-cli /usr/local/bin/valkey-cli
"""
_PROMETHEUS = """\
FROM {base}
RUN apt-get update && apt-get install --yes --no-install-recommends prometheus wget \\
    && install --directory --owner=65534 --group=65534 /prometheus
ENTRYPOINT ["/usr/bin/prometheus"]
"""
"""Debian's own, under the names that the compose file has: no registry of images is reached here."""


def build_images(podman: Podman) -> None:
    """Build Tapetum's image with the torch of the package index, and the stand-ins; what is there is used again."""
    if shutil.disk_usage(FOLDER).free < FREE_BYTES and not podman.has_image(IMAGE):
        pytest.skip(f"the image: {FOLDER} has less than {FREE_BYTES / 1e9:.0f} GB free")
    if os.environ.get(REUSE) and podman.has_image(IMAGE):
        return
    podman.make_base(BASE)
    podman.share_uv_cache()
    for service, dockerfile in (("redis", _REDIS), ("prometheus", _PROMETHEUS)):
        name = SERVICES[service]["image"]
        if not podman.has_image(name):
            path = FOLDER / f"{service}.Dockerfile"
            path.write_text(dockerfile.format(base=BASE))
            podman.build(path, name, context=FOLDER / "networks", timeout_s=300)
    podman.build(DOCKERFILE, IMAGE, "--build-arg=TORCH=", context=ROOT)


class Project:
    """The composed stack, by podman-compose.

    Args:
        podman: Where the images are.
        name: Of the project; containers, networks and volumes begin with it.
        files: Compose files, the first one first.
        environment: Ports and other variables of the compose file.
    """

    def __init__(self, podman: Podman, name: str, *files: Path, **environment: str) -> None:
        self._podman = podman
        self._name = name
        self._files = files or (COMPOSE_FILE,)
        self._environment = environment

    def compose(self, *arguments: str, timeout_s: float = 180) -> str:
        """Run podman-compose on the project."""
        files = [part for file in self._files for part in ("--file", str(file))]
        return self._podman.run(
            self._podman.compose, "--project-name", self._name, *files, *arguments,
            check=True, timeout_s=timeout_s, **self._environment,
        )  # fmt: skip

    def container(self, service: str) -> str:
        """Name of the container of a service."""
        return f"{self._name}_{service}_1"

    def execute(self, service: str, *command: str, check: bool = True) -> str:
        """Run a command in the container of a service."""
        return self._podman.run("podman", "exec", self.container(service), *command, check=check)

    def health_check(self, service: str) -> bool:
        """Run the health check of a service once, as systemd's timers would where there is systemd."""
        said = self._podman.run("podman", "healthcheck", "run", self.container(service), check=False)
        return "unhealthy" not in said and self.inspect(service)["State"]["Health"]["Status"] == "healthy"

    def inspect(self, service: str) -> dict[str, Any]:
        """What podman knows of the container of a service."""
        return self._podman.inspect(self.container(service))

    def leftovers(self) -> list[str]:
        """Containers, networks and volumes of the project that are there."""
        lists = (["ps", "--all", "--format={{.Names}}"], ["network", "ls", "--format={{.Name}}"])
        found = [name for words in (*lists, ["volume", "ls", "--format={{.Name}}"])
                 for name in self._podman.run("podman", *words).split()]  # fmt: skip
        return [name for name in found if name.startswith(self._name)]

    def logs(self, service: str) -> str:
        """What a service has written."""
        return self._podman.run("podman", "logs", "--tail=80", self.container(service), check=False)


@contextmanager
def up(project: Project, *services: str) -> Iterator[Project]:
    """The project while it is up; everything of it is removed at the end."""
    project.compose("down", "--volumes")
    try:
        project.compose("up", "--detach", "--no-build", *services)
        yield project
    finally:
        project.compose("down", "--volumes")


def wait_for(what: str, is_so: Callable[[], bool], within_s: float, explain: Callable[[], str] = str) -> float:
    """Wait until something is so, and return how many seconds it took; fails by name after a while."""
    begun = time.monotonic()
    while not is_so():
        assert time.monotonic() - begun < within_s, f"{what}: not within {within_s} s\n{explain()}"
        time.sleep(0.5)
    return time.monotonic() - begun
