"""Checks the Kubernetes manifests as files; tests/deploy/test_kubernetes.py renders and validates them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from deploy.kubernetes.generate import SERVE_CONFIG, VARIANTS, generated, serve_config
from services.cli import app
from services.gateway.open_inference.grpc_front import SERVICE
from services.serve_file import ServeFile
from services.settings import Settings, check_names
from tests.unit.manifests import KUBERNETES, ROOT, base_documents, documents, of_kind, pod_templates, ray_templates

RAY_NODES = ("head", "gateway", "models")
OBJECTS = base_documents()
PODS = pod_templates(OBJECTS)
RAY_PODS = ray_templates(OBJECTS)
CLUSTER = of_kind(OBJECTS, "RayService")[0]["spec"]["rayClusterConfig"]
CONTAINERS = [
    pytest.param(container, id=f"{component}-{container['name']}")
    for component, template in PODS.items()
    for container in template["spec"]["containers"]
]


def _environment(component: str) -> dict[str, Any]:
    (container,) = PODS[component]["spec"]["containers"]
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container["env"]}


@pytest.mark.parametrize("path", generated(), ids=lambda path: str(path.relative_to(KUBERNETES)))
def test_generated_manifest_is_equal_to_its_sources(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generated()[path], "run `python -m deploy.kubernetes.generate`"


@pytest.mark.parametrize("folder", VARIANTS)
def test_served_configuration_is_that_of_the_laptop_but_for_host_and_scale(folder: str) -> None:
    served = ServeFile.model_validate(serve_config(folder))
    here = ServeFile.model_validate(yaml.safe_load(SERVE_CONFIG.read_text(encoding="utf-8")))

    assert served.http_options.host == "0.0.0.0"
    assert served.http_options.port == here.http_options.port
    assert [(each.name, each.models) for each in served.topology.deployments] == [
        (each.name, each.models) for each in here.topology.deployments
    ]


@pytest.mark.parametrize("folder", VARIANTS)
def test_gateways_and_models_run_in_their_own_groups(folder: str) -> None:
    topology = ServeFile.model_validate(serve_config(folder)).topology
    offered = {
        group["groupName"]: json.loads(group["rayStartParams"]["resources"].strip("'"))
        for group in CLUSTER["workerGroupSpecs"]
    }

    assert offered == {"gateway": {"gateway": 1000}, "models": {"models": 1000}}
    assert topology.gateway.resources == {"gateway": 1}
    assert all(each.resources == {"models": 1} for each in topology.deployments)


@pytest.mark.parametrize("folder", VARIANTS)
def test_replicas_finish_the_longest_request_before_they_stop(folder: str) -> None:
    topology = ServeFile.model_validate(serve_config(folder)).topology
    longest_s = Settings.model_fields["max_request_timeout_s"].default

    assert all(each.graceful_shutdown_timeout_s >= longest_s for each in (topology.gateway, *topology.deployments))


@pytest.mark.parametrize("component", RAY_NODES)
def test_object_store_fits_into_shared_memory(component: str) -> None:
    """Ray would take the disk in its place."""
    groups = {"head": CLUSTER["headGroupSpec"], **{each["groupName"]: each for each in CLUSTER["workerGroupSpecs"]}}
    (volume,) = (each for each in RAY_PODS[component]["spec"]["volumes"] if each["name"] == "shared-memory")

    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "512Mi"}
    assert int(groups[component]["rayStartParams"]["object-store-memory"]) < 512 * 2**20


def test_gpu_overlay_asks_for_no_more_gpu_than_a_pod_of_models_has() -> None:
    shares = [
        each.reserved_gpus for each in ServeFile.model_validate(serve_config("overlays/gpu")).topology.deployments
    ]

    assert all(share > 0 for share in shares)
    assert sum(shares) == pytest.approx(1.0)


def test_gpu_request_is_its_limit_and_gpu_nodes_are_tolerated() -> None:
    (patch,) = documents(KUBERNETES / "overlays" / "gpu" / "models-on-gpus.yaml")
    values = {operation["path"].split("spec/")[-1]: operation["value"] for operation in patch}

    assert values["containers/0/resources/requests/nvidia.com~1gpu"] == "1"
    assert values["containers/0/resources/limits/nvidia.com~1gpu"] == "1"
    assert values["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert CLUSTER["workerGroupSpecs"][1]["groupName"] == "models"


def test_versions_are_those_of_the_rest_of_the_project() -> None:
    """KubeRay must know which Ray the image has; Redis is that of the compose file."""
    pins = dict(re.findall(r"^(\S+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))
    (compose,) = documents(ROOT / "docker-compose.yml")
    (redis,) = PODS["redis"]["spec"]["containers"]

    assert CLUSTER["rayVersion"] == pins["ray"]
    assert redis["image"] == compose["services"]["redis"]["image"]


def test_head_runs_no_replica_and_gets_no_traffic() -> None:
    assert CLUSTER["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert of_kind(OBJECTS, "RayService")[0]["spec"]["excludeHeadPodFromServeSvc"] is True


def test_every_replica_of_a_group_fits_into_one_of_its_pods() -> None:
    config = ServeFile.model_validate(serve_config("base")).topology
    cpus = {name: int(pod["spec"]["containers"][0]["resources"]["limits"]["cpu"]) for name, pod in RAY_PODS.items()}

    assert config.gateway.num_cpus <= cpus["gateway"]
    assert max(each.num_cpus for each in config.deployments) <= cpus["models"]
    (models,) = RAY_PODS["models"]["spec"]["containers"]
    assert config.explainer.resources == {"models": 1}
    assert (
        config.explainer.memory
        == 3 * 2**30
        <= int(models["resources"]["limits"]["memory"].removesuffix("Gi")) * 2**30 / 2
    )


@pytest.mark.parametrize("component", RAY_NODES)
def test_ray_node_is_started_by_tapetum_node_with_the_command_of_kuberay(component: str) -> None:
    (container,) = RAY_PODS[component]["spec"]["containers"]
    annotations = of_kind(OBJECTS, "RayService")[0]["metadata"]["annotations"]

    assert annotations["ray.io/overwrite-container-cmd"] == "true"
    assert container["command"][-1].endswith('exec tapetum node -- bash -c "exec $KUBERAY_GEN_RAY_START_CMD"')


@pytest.mark.parametrize("component", RAY_NODES)
def test_ray_node_has_time_to_drain_and_to_answer_the_longest_request(component: str) -> None:
    longest_s = Settings(_env_file=None).max_request_timeout_s  # pyright: ignore[reportCallIssue]
    drain_s = float(_environment(component)["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])

    assert drain_s > longest_s
    assert RAY_PODS[component]["spec"]["terminationGracePeriodSeconds"] > drain_s + longest_s


@pytest.mark.parametrize("component", PODS)
def test_settings_of_every_pod_exist(component: str) -> None:
    names = [item["name"] for container in PODS[component]["spec"]["containers"] for item in container.get("env", [])]

    check_names(names)


@pytest.mark.parametrize("component", RAY_NODES)
def test_ray_node_asks_for_keys_and_shares_redis_and_token(component: str) -> None:
    environment = _environment(component)
    mounted = {mount["mountPath"] for mount in RAY_PODS[component]["spec"]["containers"][0]["volumeMounts"]}

    assert environment["TAPETUM_REDIS_URL"] == "redis://:$(VALKEY_PASSWORD)@tapetum-redis:6379/0"
    assert environment["TAPETUM_API_KEYS_FILE"] == "/run/secrets/tapetum/api-keys"
    assert environment["TAPETUM_STACK_TOKEN_FILE"] == "/run/secrets/tapetum/stack-token"
    assert "/run/secrets/tapetum" in mounted


@pytest.mark.parametrize("component", RAY_NODES)
def test_ray_node_has_the_environment_that_every_node_needs(component: str) -> None:
    needed = yaml.safe_load(CliRunner().invoke(app, ["config", "kubernetes"]).output)
    (container,) = RAY_PODS[component]["spec"]["containers"]

    assert len(needed) > 10
    assert [item for item in needed if item not in container["env"]] == []


@pytest.mark.parametrize("container", CONTAINERS)
def test_container_may_do_nothing_that_it_need_not(container: dict[str, Any]) -> None:
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert {"/tmp"} <= {mount["mountPath"] for mount in container["volumeMounts"]}


@pytest.mark.parametrize("container", CONTAINERS)
def test_container_has_limits_and_gets_the_memory_that_it_may_use(container: dict[str, Any]) -> None:
    resources = container["resources"]

    assert resources["limits"].keys() == resources["requests"].keys() == {"cpu", "memory"}
    assert resources["limits"]["memory"] == resources["requests"]["memory"]


@pytest.mark.parametrize("component", PODS)
def test_pod_has_no_token_of_kubernetes(component: str) -> None:
    assert PODS[component]["spec"]["automountServiceAccountToken"] is False


def test_only_the_autoscaler_gets_a_token_of_kubernetes() -> None:
    (token,) = (each["name"] for each in RAY_PODS["head"]["spec"]["volumes"] if "projected" in each)
    mounts = [
        mount["name"] for pod in PODS.values() for each in pod["spec"]["containers"] for mount in each["volumeMounts"]
    ]

    assert token not in mounts
    assert token in [mount["name"] for mount in CLUSTER["autoscalerOptions"]["volumeMounts"]]


def test_accounts_have_no_rights() -> None:
    assert {each["metadata"]["name"] for each in of_kind(OBJECTS, "ServiceAccount")} == {"tapetum", "tapetum-head"}
    assert not {each["kind"] for each in OBJECTS} & {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"}


def test_every_secret_that_is_read_is_made() -> None:
    (made,) = documents(KUBERNETES / "secrets" / "kustomization.yaml")[0]["secretGenerator"]
    text = json.dumps(OBJECTS)
    references = re.findall(r'\{"name": "tapetum", "key": "([\w-]+)"\}', text) + re.findall(
        r'\{"key": "([\w-]+)", "path": "[\w-]+"\}', text.replace("ca.crt", "")
    )

    assert made["name"] == "tapetum"
    assert set(references) | {"auth_token"} == set(made["files"])


def test_ports_are_open_to_nobody_but_those_who_need_them() -> None:
    """Who, outside of the pods of the Ray cluster, may reach which port of which pods."""
    opened = {
        (policy["metadata"]["name"], port["port"])
        for policy in of_kind(OBJECTS, "NetworkPolicy")
        for rule in policy["spec"].get("ingress", [])
        for port in rule.get("ports", [])
    }
    unlimited = [
        rule
        for policy in of_kind(OBJECTS, "NetworkPolicy")
        for rule in policy["spec"].get("ingress", [])
        if not rule.get("ports")
    ]

    assert opened == {
        ("tapetum-ray-nodes", 9464),
        ("tapetum-http", 8000),
        ("tapetum-http", 8001),
        ("tapetum-head", 8265),
        ("tapetum-redis", 6379),
    }
    assert [rule["from"] for rule in unlimited] == [
        [{"podSelector": {"matchLabels": {"app.kubernetes.io/part-of": "tapetum", "ray.io/is-ray-node": "yes"}}}]
    ]


def test_every_pod_is_under_the_policy_that_denies_all() -> None:
    (deny,) = (each for each in of_kind(OBJECTS, "NetworkPolicy") if each["metadata"]["name"] == "tapetum-default-deny")
    selected = deny["spec"]["podSelector"]["matchLabels"].items()

    assert deny["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in deny["spec"]
    assert all(selected <= pod["metadata"]["labels"].items() for pod in PODS.values())


def test_pod_monitor_asks_the_metrics_port_of_every_node() -> None:
    (monitor,) = documents(KUBERNETES / "components" / "monitoring" / "pod-monitor.yaml")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    ports = {
        name: {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
        for name, pod in RAY_PODS.items()
    }

    assert {each[endpoint["port"]] for each in ports.values()} == {9464}


def test_only_the_ingress_controller_reaches_grpc_from_outside() -> None:
    (policy,) = (each for each in of_kind(OBJECTS, "NetworkPolicy") if each["metadata"]["name"] == "tapetum-http")
    (of_grpc,) = (rule for rule in policy["spec"]["ingress"] if {"protocol": "TCP", "port": 8001} in rule["ports"])

    assert of_grpc["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}]


INGRESSES = {each["metadata"]["name"]: each for each in of_kind(OBJECTS, "Ingress")}
NGINX = "nginx.ingress.kubernetes.io"


@pytest.mark.parametrize("name", ["tapetum", "tapetum-grpc"])
def test_ingress_lets_the_largest_body_and_the_longest_request_pass(name: str) -> None:
    settings = Settings(_env_file=None)  # pyright: ignore[reportCallIssue]
    annotations = INGRESSES[name]["metadata"]["annotations"]

    limit = "0" if name == "tapetum-grpc" else f"{settings.max_body_bytes // 2**20}m"  # of a stream as a whole: none
    assert annotations[f"{NGINX}/proxy-body-size"] == limit
    assert float(annotations[f"{NGINX}/proxy-read-timeout"]) > settings.max_request_timeout_s


def test_ingress_of_grpc_speaks_grpc_for_every_service_and_has_the_certificate_of_http() -> None:
    grpc, http = INGRESSES["tapetum-grpc"], INGRESSES["tapetum"]
    (rule,) = grpc["spec"]["rules"]
    services = {path["path"].removeprefix("/") for path in rule["http"]["paths"]}

    assert grpc["metadata"]["annotations"][f"{NGINX}/backend-protocol"] == "GRPC"
    assert grpc["spec"]["tls"] == http["spec"]["tls"]
    assert rule["host"] == http["spec"]["rules"][0]["host"]
    assert services == {SERVICE, "grpc.health.v1.Health"}


def test_service_of_grpc_is_the_pods_of_the_active_cluster() -> None:
    """KubeRay's service has the port of HTTP alone; without an address, its name stands for the pods with all ports."""
    (service,) = (each for each in of_kind(OBJECTS, "Service") if each["metadata"]["name"] == "tapetum-grpc")
    (cluster,) = of_kind(OBJECTS, "RayService")
    port = serve_config("base")["grpc_options"]["port"]
    backends = {json.dumps(path["backend"]) for path in INGRESSES["tapetum-grpc"]["spec"]["rules"][0]["http"]["paths"]}

    assert cluster["spec"]["serveService"]["spec"] == {"clusterIP": "None"}
    assert service["spec"]["externalName"].startswith("tapetum-serve-svc.tapetum.svc.")
    assert [(each["port"], each["targetPort"]) for each in service["spec"]["ports"]] == [(port, port)]
    assert backends == {json.dumps({"service": {"name": "tapetum-grpc", "port": {"number": port}}})}


@pytest.mark.parametrize("component", RAY_NODES)
def test_ports_of_the_serve_configuration_are_ports_of_every_ray_node(component: str) -> None:
    (container,) = RAY_PODS[component]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    config = serve_config("base")

    assert ports["serve"] == config["http_options"]["port"]
    assert ports["serve-grpc"] == config["grpc_options"]["port"]


def test_evaluation_uses_options_that_exist() -> None:
    (container,) = PODS["evaluation"]["spec"]["containers"]
    program, command, *options = container["command"]
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output

    assert program == "tapetum"
    assert all(re.search(rf"{option.partition('=')[0]}\b", shown) for option in options)


def test_redis_never_evicts_what_does_not_expire() -> None:
    """The state of Ray's head and recorded evaluations have no time to live; cached results do."""
    (container,) = PODS["redis"]["spec"]["containers"]

    assert "--maxmemory-policy volatile-lru" in container["command"][-1]
    assert "--appendonly yes" in container["command"][-1]


@pytest.mark.parametrize(
    "folder", ["base", "components/monitoring", "overlays/cpu", "overlays/gpu", "overlays/high-availability"]
)
def test_every_file_of_a_folder_is_part_of_its_kustomization(folder: str) -> None:
    path = KUBERNETES / folder
    (kustomization,) = documents(path / "kustomization.yaml")
    patches = [each["path"] for each in kustomization.get("patches", []) if "path" in each]
    named = {each for each in kustomization["resources"] + patches if not each.startswith("..")}

    assert named == {each.name for each in path.glob("*.yaml")} - {"kustomization.yaml"}
