"""docker-compose.yml and the Dockerfile, read as files: valid, pinned, confined, and with no secret in them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.nodes.environment import CLUSTER_DEFAULTS
from services.serve_file import read_serve_file
from tests.checkout import ROOT

SCHEMA = ROOT.parent / "shared/schemas/compose-spec.json"
DOCKERFILE = (ROOT / "deploy/docker/Dockerfile").read_text(encoding="utf-8")
FILES = ("docker-compose.yml", "deploy/docker/public.yml")


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


SERVICES: dict[str, dict[str, Any]] = read("docker-compose.yml")["services"]
FOREIGN = sorted(name for name, service in SERVICES.items() if "build" not in service)


@pytest.mark.parametrize("name", FILES)
def test_file_follows_the_compose_specification(name: str):
    if not SCHEMA.exists():
        pytest.skip(f"the schema of the compose specification: {SCHEMA} is not there")
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft7Validator(json.loads(SCHEMA.read_text(encoding="utf-8"))).validate(read(name))


def test_plain_up_starts_cache_tapetum_prometheus_and_grafana():
    assert {name for name, service in SERVICES.items() if "profiles" not in service} == {
        "redis", "tapetum", "prometheus", "grafana",
    }  # fmt: skip


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_confined(name: str):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(service[limit] for limit in ("mem_limit", "cpus", "pids_limit"))
    assert not service.keys() & {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"}


@pytest.mark.parametrize("name", SERVICES)
def test_service_publishes_ports_on_loopback_alone(name: str):
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:"), port


def published() -> list[tuple[str, ...]]:
    """Service, port of this machine, and port of the container, of all that is published."""
    return [
        (name, *re.sub(r"\$\{\w+:-(\d+)\}", r"\1", port).split(":")[1:])
        for name, service in SERVICES.items()
        for port in service.get("ports", [])
    ]


def test_no_two_services_publish_one_port():
    ports = [port for _, port, _ in published()]
    assert len(ports) == len(set(ports)) >= 9


def test_http_and_grpc_are_published_wherever_requests_are_answered():
    configured = read("deploy/serve/config.yaml")
    wanted = {str(configured["http_options"]["port"]), str(configured["grpc_options"]["port"])}
    for name in ("tapetum", "tapetum-gpu", "head"):
        assert {inside for service, _, inside in published() if service == name} == wanted
    assert re.search(rf"^EXPOSE {' '.join(sorted(wanted))} ", DOCKERFILE, re.MULTILINE)


def test_other_machines_reach_grpc_only_through_a_proxy_here():
    (port,) = read("deploy/docker/public.yml")["services"]["tapetum"]["ports"]
    assert port.endswith(":8000")


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_image_is_pinned_and_runs_as_an_ordinary_user(name: str):
    assert re.search(r":v?\d+\.\d+\.\d+", SERVICES[name]["image"])
    assert int(SERVICES[name]["user"].split(":")[0]) > 0


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_come_by_file(name: str):
    for variable, value in SERVICES[name].get("environment", {}).items():
        if re.search(r"KEY|TOKEN|PASSWORD|SECRET", variable):
            assert value.startswith("/run/secrets/"), variable


def test_no_service_starts_before_what_it_needs_is_healthy():
    for service in SERVICES.values():
        for needed, how in service.get("depends_on", {}).items():
            assert how["condition"] == "service_healthy"
            assert "healthcheck" in SERVICES[needed] or "build" in SERVICES[needed], needed


@pytest.mark.parametrize("name", sorted(n for n in SERVICES if SERVICES[n].get("profiles") == ["cluster"]))
def test_node_has_the_environment_that_tapetum_writes_out(name: str):
    environment = SERVICES[name]["environment"]
    assert {variable: environment.get(variable) for variable in CLUSTER_DEFAULTS} == CLUSTER_DEFAULTS


def test_cluster_is_a_head_and_two_workers():
    assert "--head" in SERVICES["head"]["command"]
    assert SERVICES["worker"]["deploy"]["replicas"] == 2


def test_cache_is_capped_and_keeps_nothing_on_disk():
    command = " ".join(SERVICES["redis"]["command"])
    for option in ("--save  ", "--appendonly no", "--maxmemory ", "--maxmemory-policy allkeys-lru"):
        assert option in command


def test_shared_memory_is_larger_than_rays_object_store():
    from services.local.local_ray import OBJECT_STORE_BYTES

    assert SERVICES["tapetum"]["shm_size"] == "512m"
    assert OBJECT_STORE_BYTES < 512 * 2**20


@pytest.mark.parametrize("path", sorted((ROOT / "deploy/serve").glob("*.yaml")), ids=lambda path: path.name)
def test_served_configurations_are_valid(path: Path):
    assert read_serve_file(path).topology.deployments


def test_last_stage_copies_what_was_built_and_is_not_root():
    last = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert "HEALTHCHECK" in last
    assert "pip install" not in last
    assert "apt-get" not in last


def test_code_is_copied_after_the_dependencies_are_installed():
    assert DOCKERFILE.index("-r pyproject.toml") < DOCKERFILE.index("COPY services")


def test_pinned_uv_is_in_the_dockerfile():
    assert re.search(r"uv==\d+\.\d+\.\d+", DOCKERFILE)
