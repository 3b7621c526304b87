"""The composed stack, built and run for real: `docker-compose.yml` by podman-compose, in containers.

What podman 4.3 cannot do here is not tested: wait for `condition: service_healthy`, and run health checks by itself
(without systemd). The health checks are run by hand instead.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
import yaml
from PIL import Image

from tests.debian import need_programs
from tests.deploy.composed import READY_WITHIN_S, ROOT, SERVICES, Project, build_images, up, wait_for
from tests.deploy.podman import Podman, podman_here
from tests.integration.running import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3600)]
README = (ROOT / "README.md").read_text(encoding="utf-8")
STARTED = ("redis", "tapetum", "prometheus")
PORTS = ("TAPETUM_PORT", "TAPETUM_GRPC_PORT", "TAPETUM_PUBLIC_PORT", "PROMETHEUS_PORT")


def get(url: str) -> httpx.Response | None:
    try:
        return httpx.get(url, timeout=5)
    except httpx.HTTPError:
        return None


def is_ready(url: str) -> bool:
    answer = get(f"{url}/readyz")
    return answer is not None and answer.status_code == 200


@pytest.fixture(scope="module")
def podman() -> Podman:
    made = podman_here()
    build_images(made)
    return made


@pytest.fixture(scope="module")
def ports() -> dict[str, str]:
    return {name: str(free_port()) for name in PORTS}


@pytest.fixture(scope="module")
def stack(podman: Podman, ports: dict[str, str]) -> Iterator[Project]:
    with up(Project(podman, "tapetum-test", **ports), *STARTED) as project:
        url = f"http://127.0.0.1:{ports['TAPETUM_PORT']}"
        wait_for("ready", lambda: is_ready(url), READY_WITHIN_S, lambda: project.logs("tapetum"))
        yield project


@pytest.fixture
def url(stack: Project, ports: dict[str, str]) -> str:  # noqa: ARG001  # up while it is asked
    return f"http://127.0.0.1:{ports['TAPETUM_PORT']}"


PROFILES = ("--profile=gpu", "--profile=cluster", "--profile=load")


def test_docker_compose_understands_the_files():
    need_programs(docker_compose="docker-compose")
    command = ["docker-compose", *PROFILES, "config", "--quiet"]
    subprocess.run(command, cwd=ROOT, check=True)

    public = [command[0], "-f", "docker-compose.yml", "-f", "deploy/docker/public.yml", "config", "--quiet"]
    assert b"one API key a line" in subprocess.run(public, cwd=ROOT, capture_output=True, check=False).stderr
    subprocess.run(public, cwd=ROOT, check=True, env={**os.environ, "TAPETUM_API_KEYS_FILE": "keys"})


def test_podman_compose_understands_the_files(podman: Podman):
    config = podman.run(podman.compose, "--file", str(ROOT / "docker-compose.yml"), *PROFILES, "config")
    assert yaml.safe_load(config)["services"].keys() == SERVICES.keys()


def ask_as_in_the_readme(url: str) -> dict[str, Any]:
    """Run the README's first curl, on this stack."""
    line = re.search(r"^curl .*v1/classify.*$", README, re.MULTILINE)
    assert line
    words = shlex.split(line[0].replace("localhost:8000", url))
    done = subprocess.run([*words, "--silent", "--noproxy", "*"], cwd=ROOT, capture_output=True, check=True)
    return json.loads(done.stdout)


def test_readme_example_gives_the_documented_classes_then_a_cached_answer(stack: Project, url: str):
    shown = re.search(r'^\{"model":"efficientnet-lite0".*$', README, re.MULTILINE)
    assert shown
    documented = json.loads(shown[0])["predictions"]

    first, second = ask_as_in_the_readme(url), ask_as_in_the_readme(url)

    for answer in (first, second):
        assert [found["class_name"] for found in answer["predictions"]] == [found["class_name"] for found in documented]
    assert (first["cached"], second["cached"]) == (False, True)
    keys = stack.execute("redis", "valkey-cli", "--scan").split()
    assert keys, "the cached answer is in the composed Redis"


@pytest.mark.parametrize("task", ["detect", "segment"])
def test_every_task_answers(url: str, task: str):
    photo = (ROOT / "docs/images/astronaut.jpg").read_bytes()
    answer = httpx.post(f"{url}/v1/{task}", content=photo, headers={"Content-Type": "image/jpeg"}, timeout=60)
    assert answer.status_code == 200
    assert "person" in {found["class_name"] for found in answer.json()["predictions"]}


@pytest.mark.usefixtures("url")
def test_client_of_triton_is_answered_over_grpc(ports: dict[str, str]):
    photo = triton.InferInput("image", [1], "BYTES")
    photo.set_data_from_numpy(np.array([(ROOT / "docs/images/astronaut.jpg").read_bytes()], dtype=object))
    with triton.InferenceServerClient(f"127.0.0.1:{ports['TAPETUM_GRPC_PORT']}") as client:
        assert client.is_server_ready()
        answer = client.infer("yolo-person", [photo], client_timeout=60)
    assert answer is not None
    names = answer.as_numpy("class_names")
    assert names is not None and b"person" in names.tolist()


def test_image_above_one_mebibyte_passes_through_shared_memory(url: str):
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG", compress_level=0)
    assert len(file.getvalue()) > 6 * 2**20

    headers = {"Content-Type": "image/png"}
    answer = httpx.post(f"{url}/v1/classify", content=file.getvalue(), headers=headers, timeout=60)

    assert answer.status_code == 200


def test_prometheus_scrapes_the_gateway_and_stores_its_counters(stack: Project, url: str, ports: dict[str, str]):
    if not (ROOT / "deploy/prometheus/prometheus.yml").exists():
        pytest.skip("deploy/prometheus/prometheus.yml: not there yet")
    ask_as_in_the_readme(url)
    prometheus = f"http://127.0.0.1:{ports['PROMETHEUS_PORT']}"

    def counted() -> float:
        answer = get(f"{prometheus}/api/v1/query?query=sum(tapetum_requests_total)")
        found = answer.json()["data"]["result"] if answer is not None and answer.status_code == 200 else []
        return float(found[0]["value"][1]) if found else 0.0

    wait_for("a sample in Prometheus", lambda: counted() >= 1, 90, lambda: stack.logs("prometheus"))


@pytest.mark.parametrize("service", STARTED)
def test_health_check_of_the_service_passes(stack: Project, service: str):
    wait_for(f"{service} healthy", lambda: stack.health_check(service), 60, lambda: stack.logs(service))


@pytest.mark.parametrize("service", STARTED)
def test_container_is_confined(stack: Project, service: str):
    found = stack.inspect(service)
    host = found["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert not found["EffectiveCaps"]
    assert "no-new-privileges" in " ".join(host["SecurityOpt"])
    assert host["Memory"] > 0
    assert found["Config"]["User"].split(":")[0] not in ("", "0", "root")
    published = [port["HostIp"] for bound in host["PortBindings"].values() for port in bound or ()]
    assert set(published) <= {"127.0.0.1"}


def test_container_has_no_compiler_no_installer_and_cannot_change_its_code(stack: Project):
    script = "id -u; for p in gcc cc g++ pip uv apt-get; do command -v $p; done; touch /app/x 2>&1"
    said = stack.execute("tapetum", "sh", "-c", script, check=False).splitlines()
    assert said[0] == "10001"
    assert [line for line in said[1:] if line.endswith(("gcc", "cc", "g++", "uv"))] == []
    assert "Read-only file system" in said[-1]


def test_login_shell_finds_the_commands(stack: Project):
    said = stack.execute("tapetum", "bash", "-lc", "command -v tapetum ray serve python")
    assert said.split() == ["/app/bin/tapetum", "/opt/venv/bin/ray", "/opt/venv/bin/serve", "/opt/venv/bin/python"]


def test_redis_is_capped_evicts_and_writes_nothing_to_disk(stack: Project):
    def setting(name: str) -> str:
        return stack.execute("redis", "valkey-cli", "CONFIG", "GET", name).split("\n")[1]

    assert int(setting("maxmemory")) == 256 * 2**20
    assert (setting("maxmemory-policy"), setting("save"), setting("appendonly")) == ("allkeys-lru", "", "no")


def test_grafana_is_up(podman: Podman):
    if not podman.has_image(SERVICES["grafana"]["image"]):
        pytest.skip(f"grafana: {SERVICES['grafana']['image']} is not here, and no registry of images is reached")
    raise AssertionError("the image is here: start the service in this module's fixture, too")


@pytest.mark.parametrize("service", ["redis", "tapetum"])
def test_killed_container_comes_back(stack: Project, url: str, service: str):
    before = stack.inspect(service)["State"]["Pid"]
    os.kill(before, signal.SIGKILL)

    wait_for(
        f"{service} again",
        lambda: stack.inspect(service)["State"]["Running"] and stack.inspect(service)["State"]["Pid"] != before,
        60,
        lambda: stack.logs(service),
    )
    wait_for("ready again", lambda: is_ready(url), READY_WITHIN_S, lambda: stack.logs("tapetum"))
    wait_for("a cached answer", lambda: ask_as_in_the_readme(url)["cached"], 20, lambda: stack.logs("tapetum"))


def test_down_leaves_nothing(stack: Project):
    assert stack.leftovers()
    stack.compose("down", "--volumes")
    assert stack.leftovers() == []


def test_published_stack_asks_for_a_key_and_refuses_to_start_without_one(
    podman: Podman, ports: dict[str, str], tmp_path: Path
):
    keys = tmp_path / "api-keys"
    keys.write_text("a-key-of-the-test\n")
    keys.chmod(0o644)
    files = (ROOT / "docker-compose.yml", ROOT / "deploy/docker/public.yml")
    project = Project(
        podman, "tapetum-public", *files, TAPETUM_API_KEYS_FILE=str(keys), TAPETUM_PUBLIC_ADDRESS="127.0.0.1", **ports
    )
    with up(project, "redis", "tapetum"):
        public = f"http://127.0.0.1:{ports['TAPETUM_PUBLIC_PORT']}"
        wait_for("ready", lambda: is_ready(public), READY_WITHIN_S, lambda: project.logs("tapetum"))
        photo = (ROOT / "docs/images/coffee.jpg").read_bytes()

        def status(**headers: str) -> int:
            named = {"Content-Type": "image/jpeg", **headers}
            return httpx.post(f"{public}/v1/classify", content=photo, headers=named, timeout=60).status_code

        assert status() == 401
        assert status(Authorization="Bearer a-key-of-the-test") == 200
        environment = "\n".join(project.inspect("tapetum")["Config"]["Env"])
        assert "a-key-of-the-test" not in environment
