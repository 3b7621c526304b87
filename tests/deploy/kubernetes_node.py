"""Runs the container of Ray's head as Kubernetes would, asks its probes, stops it, and prints what it saw as JSON.

It runs in network, process and mount namespaces of its own, where no other Ray is in its way:

    unshare --net --pid --fork --mount-proc --kill-child python -m tests.deploy.kubernetes_node
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

from tests.unit.manifests import base_documents, of_kind, ray_templates

ADDRESS: Final = "10.77.1.10"
GENERATED: Final = (
    f"ray start --head --block --dashboard-agent-listen-port=52365 --dashboard-host=0.0.0.0 --metrics-export-port=8080 "
    f"--no-monitor --memory=4294967296 --redis-password=$REDIS_PASSWORD --node-ip-address={ADDRESS}"
)
"""What KubeRay adds to rayStartParams in KUBERAY_GEN_RAY_START_CMD, and the address of this test."""
START_S: Final = 120
TOKEN: Final = "f" * 64
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def main() -> None:
    """Run it."""
    for command in (f"ip link set lo up; ip addr add {ADDRESS}/32 dev lo", "mount -t tmpfs -o mode=1777 none /tmp"):
        subprocess.run(command, shell=True, check=True)
    (service,) = of_kind(base_documents(), "RayService")
    cluster = service["spec"]["rayClusterConfig"]
    parameters = cluster["workerGroupSpecs"][0]["rayStartParams"] | cluster["headGroupSpec"]["rayStartParams"]
    (container,) = ray_templates([service])["head"]["spec"]["containers"]
    generated = " ".join([GENERATED, *(f"--{name}={value}" for name, value in parameters.items())])
    process = subprocess.Popen(container["command"], env=_environment(container, generated), stdout=subprocess.PIPE)
    try:
        asked = {name: container[name]["httpGet"] for name in ("readinessProbe", "livenessProbe")}
        asked["metrics"] = {"port": 9464, "path": "/metrics"}
        seen: dict[str, Any] = {name: _ask(probe, process) for name, probe in asked.items()}
        seen["dashboard without a token"] = _status(f"http://{ADDRESS}:8265/api/version")
        seen["resources"] = _resources() if process.poll() is None else {}
    finally:
        process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    sys.stderr.buffer.write(output)
    print(json.dumps(seen))


def _environment(container: dict[str, Any], generated: str) -> dict[str, str]:
    """That of the container, with files of this test as its secrets."""
    secrets = Path("/tmp/secrets")
    secrets.mkdir()
    for name in ("api-keys", "stack-token"):
        (secrets / name).write_text("0123456789abcdef" * 2, encoding="ascii")
    given = {item["name"]: item["value"] for item in container["env"] if "value" in item}
    values = {name: value.replace("/run/secrets/tapetum", str(secrets)) for name, value in given.items()}
    return {
        **os.environ,
        **values,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "REDIS_PASSWORD": "password",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "2",
        "KUBERAY_GEN_RAY_START_CMD": generated,
    }


def _ask(probe: dict[str, Any], process: subprocess.Popen[bytes]) -> int:
    """Status of the answer to a probe, once there is one; 0 where none comes."""
    give_up_at = time.monotonic() + START_S
    while (status := _status(f"http://{ADDRESS}:{probe['port']}{probe['path']}")) != 200:
        if time.monotonic() > give_up_at or process.poll() is not None:
            break
        time.sleep(0.5)
    return status


def _status(url: str) -> int:
    try:
        with _OPENER.open(url, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def _resources() -> dict[str, float]:
    """All resources of the node, as Ray's dashboard tells those who have the token."""
    request = urllib.request.Request(
        f"http://{ADDRESS}:8265/api/v0/nodes", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    with _OPENER.open(request, timeout=30) as answer:
        (node,) = json.load(answer)["data"]["result"]["result"]
    return node["resources_total"]


if __name__ == "__main__":
    main()
