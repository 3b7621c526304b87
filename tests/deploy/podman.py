"""Buildah and podman without a daemon, with images and containers in a folder of the tests' own."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.debian import need_programs

FOLDER = Path(os.environ.get("TAPETUM_TEST_CONTAINERS", "/var/tmp/tapetum-test-containers"))
"""Kept between runs, so that layers are built once: about 14 GB."""
FREE_BYTES = 20 * 10**9
"""What the file system must have for a first build: torch's CUDA build three times, in stages and layers."""
COMPOSE_VERSION = "1.6.0"

_CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
[network]
network_backend = "netavark"
network_config_dir = "{folder}/networks"
"""
_STORAGE_CONF = """\
[storage]
driver = "overlay"
graphroot = "{folder}/storage"
runroot = "{folder}/run"
"""


class Podman:
    """Runs `buildah`, `podman` and `podman-compose`; makes what they need.

    Args:
        folder: For images, layers, containers and settings.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("networks", "tmp/buildah-cache"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        files = min(65_536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        processes = min(32_768, resource.getrlimit(resource.RLIMIT_NPROC)[1])  # what buildah has itself
        (folder / "containers.conf").write_text(
            _CONTAINERS_CONF.format(files=files, processes=processes, folder=folder)
        )
        (folder / "storage.conf").write_text(_STORAGE_CONF.format(folder=folder))
        self.environment = {
            **os.environ,
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "BUILDAH_ISOLATION": "chroot",
            "BUILDAH_FORMAT": "docker",
            "TMPDIR": str(folder / "tmp"),
        }

    def run(self, *command: str, check: bool = True, timeout_s: float = 120, **environment: str) -> str:
        """Run a program, and return what it printed to stdout."""
        done = subprocess.run(
            command,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stderr[-4000:]}"
        return done.stdout

    def has_image(self, name: str) -> bool:
        """Whether an image is here; none is ever fetched."""
        return name in {
            tag
            for image in json.loads(self.run("podman", "images", "--format=json"))
            for tag in image.get("Names") or []
        }

    def build(self, dockerfile: str | Path, tag: str, *options: str, context: Path, timeout_s: float = 1800) -> None:
        """Build an image; layers that are there already are used."""
        self.run(
            "nice", "buildah", "bud", "--layers", "--pull-never", "--file", str(dockerfile), "--tag", tag, *options,
            str(context), timeout_s=timeout_s,
        )  # fmt: skip

    def inspect(self, container: str) -> dict[str, Any]:
        """What podman knows of a container."""
        return json.loads(self.run("podman", "inspect", container))[0]

    @property
    def compose(self) -> str:
        """The program `podman-compose`, in an environment of its own."""
        program = self._folder / f"compose-{COMPOSE_VERSION}/bin/podman-compose"
        if not program.exists():
            self.run(sys.executable, "-m", "venv", str(program.parents[1]))
            self.run(
                str(program.parent / "pip"), "install", "--quiet", f"podman-compose=={COMPOSE_VERSION}", timeout_s=300
            )
        return str(program)

    def make_base(self, name: str) -> None:
        """Make a stand-in for the base image, which is at no registry that is reached here: Debian with Python."""
        if self.has_image(name):
            return
        root = self._folder / "base"
        if not (root / "usr/bin/python3").exists():
            shutil.rmtree(root, ignore_errors=True)
            self.run(
                "debootstrap", "--variant=minbase", "--include=python3,python3-venv,ca-certificates", "bookworm",
                str(root), timeout_s=600,
            )  # fmt: skip
        trusted = Path("etc/ssl/certs/ca-certificates.crt")  # a proxy's certificate may be in it
        shutil.copyfile("/" / trusted, root / trusted)
        container = self.run("buildah", "from", "scratch").strip()
        self.run("buildah", "add", container, str(root), "/")
        self.run("buildah", "config", "--cmd", "/bin/sh", container)
        self.run("buildah", "commit", "--rm", container, name, timeout_s=300)

    def share_uv_cache(self) -> None:
        """Let the build's cache mount (`id=uv`) be the cache of uv on this machine: nothing is downloaded twice."""
        cache = Path(os.environ.get("UV_CACHE_DIR", Path.home() / ".cache/uv"))
        mount = self._folder / "tmp/buildah-cache/uv"
        if cache.is_dir() and not mount.exists():
            mount.symlink_to(cache)


def podman_here() -> Podman:
    """Podman, with its programs installed; skips by name where that is not possible."""
    if os.geteuid() != 0:
        pytest.skip("podman: needs root here")
    need_programs(
        buildah="buildah",
        podman="podman",
        runc="runc",
        netavark="netavark",
        aardvark_dns="aardvark-dns",
        catatonit="catatonit",
        debootstrap="debootstrap",
        iptables="iptables",
    )
    FOLDER.mkdir(parents=True, exist_ok=True)
    return Podman(FOLDER)
