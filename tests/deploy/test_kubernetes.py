"""The Kubernetes manifests as `kubectl` renders them, against the schemas of Kubernetes and of the operators.

There is no cluster here: `ray_pods` makes the pods of a RayService from its templates, as KubeRay does.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import jsonschema
import kubernetes_validate
import pytest
import yaml
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import AuthenticationError
from redis.retry import Retry

from loadtests.processes import free_port
from services.local.embedded_cache import find_server
from tests.unit.manifests import KUBERNETES, OVERLAYS, ROOT, documents, of_kind, pod_templates, ray_templates

SCHEMAS: Final = ROOT.parent / "shared/schemas"
CHECKOV: Final = os.environ.get("CHECKOV") or shutil.which("checkov")
CUSTOM: Final = {
    "RayService": "ray.io_rayservices.crd.yaml",
    "PodMonitor": "monitoring.coreos.com_podmonitors.crd.yaml",
    "PrometheusRule": "monitoring.coreos.com_prometheusrules.crd.yaml",
}
"""Kind → file of its custom resource definition."""

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


@functools.cache
def rendered(folder: str) -> list[dict[str, Any]]:
    """All objects of a kustomization, which `kubectl apply -k` would send."""
    command = ["kubectl", "kustomize", str(KUBERNETES / folder)]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return list(yaml.safe_load_all(text))


def ray_pods(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A pod of each template of the RayService, as far as it is ours, with KubeRay's autoscaler beside the head."""
    (service,) = of_kind(objects, "RayService")
    options = service["spec"]["rayClusterConfig"]["autoscalerOptions"]
    pods = list[dict[str, Any]]()
    for component, template in ray_templates(objects).items():
        template = json.loads(json.dumps(template))
        if component == "head":
            (container,) = template["spec"]["containers"]
            taken = {name: options[name] for name in ("volumeMounts", "securityContext", "resources")}
            template["spec"]["containers"].append({"name": "autoscaler", "image": container["image"], **taken})
        metadata = {"name": f"tapetum-{component}", "namespace": "tapetum", **template["metadata"]}
        pods.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
    return pods


def strict(schema: Any) -> Any:
    """The schema of a custom resource as JSON Schema that refuses keys which it does not know."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if made.pop("x-kubernetes-int-or-string", False):
        made["type"] = ["integer", "string"]
    if isinstance(made.get("pattern"), str):
        made["pattern"] = made["pattern"].replace("^(?i)", "(?i)^")  # Go's order, and Python's
    if isinstance(made.get("properties"), dict) and not made.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


@functools.cache
def custom_validator(kind: str) -> jsonschema.Draft202012Validator:
    path = SCHEMAS / CUSTOM[kind]
    if not path.exists():
        pytest.skip(f"the schema {path.name} is not in {SCHEMAS}")
    definition = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)  # 1.8 MB: seconds without C
    (version,) = (each for each in definition["spec"]["versions"] if each["storage"])
    schema = strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_objects_are_valid_for_kubernetes(overlay: str) -> None:
    objects = [each for each in rendered(f"overlays/{overlay}") if each["kind"] not in CUSTOM]

    for each in objects + ray_pods(rendered(f"overlays/{overlay}")):
        kubernetes_validate.validate(each, "1.34", strict=True)
        kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)


def test_misspelt_key_is_not_valid_for_kubernetes() -> None:
    (pod, *_) = ray_pods(rendered("overlays/cpu"))
    pod["spec"]["terminationGracePeriodSecond"] = 1

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod, "1.34", strict=True)


@pytest.mark.parametrize("kind", CUSTOM)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_custom_resources_are_valid_for_their_operators(overlay: str, kind: str) -> None:
    (found,) = of_kind(rendered(f"overlays/{overlay}"), kind)

    custom_validator(kind).validate(found)


def test_misspelt_key_is_not_valid_for_kuberay() -> None:
    (service,) = of_kind(rendered("overlays/cpu"), "RayService")
    misspelt = {**service, "spec": {**service["spec"], "serveConfigV3": ""}}

    with pytest.raises(jsonschema.ValidationError, match="serveConfigV3"):
        custom_validator("RayService").validate(misspelt)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_all_nodes_of_an_overlay_run_one_image_and_serve_its_configuration(overlay: str) -> None:
    objects = rendered(f"overlays/{overlay}")
    images = {each["image"] for pod in ray_templates(objects).values() for each in pod["spec"]["containers"]}
    (service,) = of_kind(objects, "RayService")
    (patch,) = documents(KUBERNETES / "overlays" / overlay / "serve-config.yaml")

    assert len(images) == 1
    assert images.pop().rpartition(":")[2] != "latest"
    assert service["spec"]["serveConfigV2"] == patch["spec"]["serveConfigV2"]


def test_gpu_pods_alone_ask_for_a_gpu() -> None:
    pods = ray_templates(rendered("overlays/gpu"))
    asked = {name: pod["spec"]["containers"][0]["resources"] for name, pod in pods.items()}

    assert asked["models"]["requests"]["nvidia.com/gpu"] == asked["models"]["limits"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in asked["gateway"]["limits"] | asked["head"]["limits"]
    assert [each["key"] for each in pods["models"]["spec"]["tolerations"]] == ["nvidia.com/gpu"]


def test_high_availability_has_two_of_every_group_on_machines_of_their_own() -> None:
    (service,) = of_kind(rendered("overlays/high-availability"), "RayService")
    groups = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]

    assert service["spec"]["upgradeStrategy"]["type"] == "NewClusterWithIncrementalUpgrade"
    assert service["spec"]["rayClusterConfig"]["enableInTreeAutoscaling"] is True  # that upgrade needs it
    assert all(group["minReplicas"] == 2 for group in groups)
    assert groups[0]["template"]["spec"]["topologySpreadConstraints"][0]["whenUnsatisfiable"] == "DoNotSchedule"


def test_high_availability_leaves_redis_and_ingress_to_others() -> None:
    objects = rendered("overlays/high-availability")

    assert not of_kind(objects, "StatefulSet")
    assert not of_kind(objects, "Ingress")
    (redis,) = (each for each in of_kind(objects, "Service") if each["metadata"]["name"] == "tapetum-redis")
    assert redis["spec"]["type"] == "ExternalName"


def test_high_availability_has_a_service_of_grpc_for_both_clusters_of_an_upgrade() -> None:
    objects = rendered("overlays/high-availability")
    (service,) = (each for each in of_kind(objects, "Service") if each["metadata"]["name"] == "tapetum-grpc")
    (cluster,) = of_kind(objects, "RayService")

    assert service["spec"]["selector"] == {"app.kubernetes.io/part-of": "tapetum", "ray.io/node-type": "worker"}
    assert service["spec"]["ports"][0]["port"] == 8001
    assert "externalName" not in service["spec"]
    assert "serveService" not in cluster["spec"]  # KubeRay would ignore it


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_budgets_and_policies_choose_pods_that_exist(overlay: str) -> None:
    objects = rendered(f"overlays/{overlay}")
    of_kuberay = {
        name: {"ray.io/is-ray-node": "yes", "ray.io/node-type": "head" if name == "head" else "worker"}
        for name in ray_templates(objects)
    }
    pods = {name: pod["metadata"]["labels"] | of_kuberay.get(name, {}) for name, pod in pod_templates(objects).items()}
    selectors = [
        each["spec"].get("selector", each["spec"].get("podSelector"))["matchLabels"]
        for each in of_kind(objects, "PodDisruptionBudget") + of_kind(objects, "NetworkPolicy")
    ]

    assert selectors
    for selector in selectors:
        assert any(selector.items() <= labels.items() for labels in pods.values()), selector


def test_secret_is_made_of_files(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    shutil.copytree(KUBERNETES / "secrets", folder)
    (kustomization,) = yaml.safe_load_all((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    for name in kustomization["secretGenerator"][0]["files"]:
        (folder / name).write_text("secret", encoding="ascii")
    command = ["kubectl", "kustomize", str(folder)]

    (secret,) = yaml.safe_load_all(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)

    assert secret["metadata"]["name"] == "tapetum"
    kubernetes_validate.validate(secret, "1.34", strict=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root")
def test_head_starts_with_the_command_of_kuberay_and_answers_its_probes() -> None:
    """Without a token the probes are answered, and the dashboard is not."""
    namespaces = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    command = [*namespaces, sys.executable, "-m", "tests.deploy.kubernetes_node"]

    done = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=ROOT)

    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert (seen["livenessProbe"], seen["readinessProbe"], seen["metrics"]) == (200, 200, 200)
    assert seen["dashboard without a token"] == 401
    assert seen["resources"]["gateway"] == 1000
    assert "CPU" not in seen["resources"]


def test_redis_asks_for_its_password_and_stops_when_asked(tmp_path: Path) -> None:
    """The container's own command, with paths and the port of this test."""
    (container,) = pod_templates(rendered("overlays/cpu"))["redis"]["spec"]["containers"]
    (tmp_path / "redis-password").write_text("secret", encoding="ascii")
    (tmp_path / "valkey-server").symlink_to(find_server())
    port = free_port()
    places = {"/run/secrets/tapetum": str(tmp_path), "/tmp/valkey.conf": f"{tmp_path}/valkey.conf"}
    places |= {"--dir /data": f"--dir {tmp_path} --bind 127.0.0.1", "--port 6379": f"--port {port}"}
    *shell, script = container["command"]
    for place, here in places.items():
        script = script.replace(place, here)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    with subprocess.Popen([*shell, script], env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            with Redis(port=port, password="secret", retry=Retry(ConstantBackoff(0.1), 100)) as redis:
                assert redis.ping()
                assert redis.config_get("maxmemory-policy") == {"maxmemory-policy": "volatile-lru"}
            with Redis(port=port) as stranger, pytest.raises(AuthenticationError):
                stranger.ping()
        finally:
            server.terminate()

    assert server.returncode == 0


@pytest.mark.skipif(CHECKOV is None, reason="checkov is not installed; CHECKOV names it where it is not on the path")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_checkov_finds_nothing_but_what_is_justified(overlay: str, tmp_path: Path) -> None:
    objects = rendered(f"overlays/{overlay}")
    (tmp_path / "objects.yaml").write_text(yaml.safe_dump_all(objects + ray_pods(objects)), encoding="utf-8")
    command = [
        str(CHECKOV),
        "--directory",
        str(tmp_path),
        "--framework",
        "kubernetes",
        "--compact",
        "--quiet",
        "--output",
        "json",
    ]
    environment = {**os.environ, "LOG_LEVEL": "ERROR", "PYTHONPATH": ""}

    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)

    failed = json.loads(done.stdout)["results"]["failed_checks"]
    assert [f"{each['check_id']} {each['resource']}: {each['check_name']}" for each in failed] == []
