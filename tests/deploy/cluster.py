"""A Ray cluster of several nodes on this machine, deployed from `deploy/serve/config.yaml`.

lan (10.77.0.1)    the test, and Valkey with a password: cache, limits, feedback and Ray's GCS
  ├── head (.10)   Ray's head, which runs no replica, and its dashboard; HAProxy
  ├── a (.11)      a worker with room for one gateway and one classifier; HAProxy
  └── b (.12)      another
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import yaml
from prometheus_client.parser import text_string_to_metric_families

from services.local.embedded_cache import find_server
from services.local.stack import DEFAULT_CONFIG
from services.nodes.environment import set_ray_token
from tests.checkout import ROOT
from tests.deploy.cluster_network import Network
from tests.deploy.cluster_node import Node, die_with_parent

RATE_LIMIT = 300
"""Requests a minute of one API key."""
CLIENT = httpx.Client(timeout=30, trust_env=False, verify=False)
"""Asks nodes over plain HTTP; used once the test's thread is in their network."""
START_TIMEOUT_S = 600.0
_FIRST_ADDRESS = 10
_REDIS_PORT = 6390
_GCS_PORT = 6379
_DASHBOARD_PORT = 8265
_BIN = Path(sys.executable).parent


class Cluster:
    """Head, workers and Valkey; made by `running_cluster`.

    Attributes:
        nodes: The machines by name: head, and the workers a, b and c.
        head: Ray's head.
        folder: A folder that all machines see under the same path.
        keys: API keys of the load; each is limited to `RATE_LIMIT`.
        guest_keys: API keys for other requests.
    """

    def __init__(self, network: Network, folder: Path) -> None:
        self.folder = folder
        self.keys = [secrets.token_hex(8) for _ in range(8)]
        self.guest_keys = [secrets.token_hex(8) for _ in range(4)]
        self._network = network
        self._password = secrets.token_hex(16)
        self._secret = secrets.token_hex(32)
        self._valkey: subprocess.Popen[bytes] | None = None
        (folder / "keys").write_text("\n".join([*self.keys, *self.guest_keys]) + "\n")
        self.nodes = {
            name: Node(name, *network.add(name, number), folder)
            for number, name in enumerate(("head", "a", "b", "c"), _FIRST_ADDRESS)
        }
        self.head = self.nodes["head"]

    def start(self) -> None:
        """Start Valkey, the head, workers a and b, and the application; returns when every replica runs.

        One after the other: each takes much of a small machine, and Ray gives up on a node that starts too slowly.
        """
        self._start_valkey()
        for name in ("head", "a", "b"):
            self.add(name)
        self.deploy()
        self.wait_until_steady()

    def add(self, name: str) -> Node:
        """Start the head or a worker, and return when Ray knows it; a node that ends is started again, as a pod is."""
        node = self.nodes[name]
        self._start(node)

        def is_known() -> bool:
            for other in self.nodes.values():
                if other.has_ended():
                    self._start(other)
            return node.address in self.alive_nodes()

        eventually(is_known, f"{name} in the cluster", self.log_ends)
        return node

    def deploy(self, **classifier: Any) -> str:
        """Deploy the configuration with `tapetum serve --address`, and return what that printed.

        Args:
            classifier: Keys of the classifier that differ from `deploy/serve/config.yaml`.
        """
        file = self.folder / "config.yaml"
        file.write_text(yaml.safe_dump(cluster_config(classifier)))
        command = [str(_BIN / "tapetum"), "serve", "--address", self.dashboard_url, "--config", str(file)]
        printed: list[str] = []
        with subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                printed.append(line)
                if "Ctrl-C stops watching" in line:  # all replicas run
                    process.terminate()
        assert process.returncode == 0, "".join(printed)
        return "".join(printed)

    def put(self, document: Mapping[str, Any]) -> None:
        """Hand a Serve configuration to Ray's dashboard, as KubeRay does, unchecked."""
        self.dashboard("PUT", "/api/serve/applications/", json=document).raise_for_status()

    def stop(self) -> None:
        """Kill everything."""
        for node in self.nodes.values():
            node.kill()
        if self._valkey is not None:
            self._valkey.kill()
            self._valkey.wait()

    @property
    def gcs_address(self) -> str:
        """Where workers and drivers join."""
        return f"{self.head.address}:{_GCS_PORT}"

    @property
    def dashboard_url(self) -> str:
        """Of Ray's dashboard, which takes jobs."""
        return f"http://{self.head.address}:{_DASHBOARD_PORT}"

    def dashboard(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask Ray's dashboard."""
        headers = {"Authorization": f"Bearer {self.environment['RAY_AUTH_TOKEN']}"}
        return CLIENT.request(method, self.dashboard_url + path, headers=headers, **options)

    def alive_nodes(self) -> dict[str, str]:
        """Ray's ids of the nodes that are alive, by address; empty while nobody can say."""
        with suppress(httpx.HTTPError, KeyError, TypeError, ValueError):
            listed = self.dashboard("GET", "/api/v0/nodes").json()["data"]["result"]["result"]
            return {node["node_ip"]: node["node_id"] for node in listed if node["state"] == "ALIVE"}
        return {}

    def application(self) -> dict[str, Any]:
        """What Ray Serve says of the application; empty while it cannot be asked."""
        with suppress(httpx.HTTPError, KeyError, ValueError):
            return self.dashboard("GET", "/api/serve/applications/").json()["applications"]["tapetum"]
        return {}

    def replicas(self, deployment: str) -> Counter[str]:
        """Running replicas of a deployment by the address of their node."""
        found = self.application().get("deployments", {}).get(deployment, {}).get("replicas", [])
        return Counter(replica["node_ip"] for replica in found if replica["state"] == "RUNNING")

    def is_steady(self) -> bool:
        """Whether the application runs with two gateways and two classifiers."""
        return self.application().get("status") == "RUNNING" and all(
            self.replicas(name).total() == 2 for name in ("Gateway", "Classifier")
        )

    def wait_until_steady(self) -> None:
        """Return when all replicas run, and every node's HAProxy answers."""
        eventually(self.is_steady, "two gateways and two classifiers", self.log_ends)
        for node in self.nodes.values():
            if node.is_running():
                eventually(lambda node=node: is_ready(node.url), f"HAProxy of {node.name}", self.log_ends)

    def run(self, *command: str, timeout_s: float = 180.0) -> str:
        """Run a command of the project or of Ray from the head's network, and return what it printed."""
        return self.head.run([str(_BIN / command[0]), *command[1:]], self.environment, timeout_s)

    @property
    def environment(self) -> dict[str, str]:
        """Of every node, and of commands."""
        environment = {
            "HOME": os.environ.get("HOME", "/root"),
            "PATH": f"{_BIN}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "TAPETUM_API_KEYS_FILE": str(self.folder / "keys"),
            "TAPETUM_REDIS_URL": f"redis://:{self._password}@{self._network.gateway}:{_REDIS_PORT}/0",
            "TAPETUM_RATE_LIMIT": f"{RATE_LIMIT}/minute",
            "TAPETUM_STACK_TOKEN": self._secret,
        }
        set_ray_token(environment, self._secret)
        return environment

    def log_ends(self) -> str:
        """The last lines of every node's log."""
        return "\n".join(node.log_end() for node in self.nodes.values())

    def _start(self, node: Node) -> None:
        """Start a node; the head finds the state of an earlier one in Valkey."""
        environment = self.environment
        if node is self.head:
            options = [
                *("--head", f"--port={_GCS_PORT}", "--num-cpus=0", "--include-dashboard=true"),
                *(f"--dashboard-host={node.address}", f"--dashboard-port={_DASHBOARD_PORT}"),
                f"--redis-password={self._password}",
            ]
            environment["RAY_REDIS_ADDRESS"] = f"{self._network.gateway}:{_REDIS_PORT}"
            environment["RAY_external_storage_namespace"] = "tapetum"
        else:
            options = [f"--address={self.gcs_address}", "--num-cpus=1"]
        command = [
            *("tapetum", "node", "--", "ray", "start", *options, f"--node-ip-address={node.address}"),
            *("--object-store-memory=134217728", "--disable-usage-stats", "--include-log-monitor=false", "--block"),
        ]
        node.start(command, environment)

    def _start_valkey(self) -> None:
        options = {
            "bind": self._network.gateway,
            "port": str(_REDIS_PORT),
            "requirepass": self._password,
            "save": "",
            "appendonly": "no",
            "dir": str(self.folder),
        }
        command = [str(find_server()), *(part for name, value in options.items() for part in (f"--{name}", value))]
        with (self.folder / "valkey.log").open("wb") as log:
            self._valkey = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent
            )


def cluster_config(classifier: Mapping[str, Any]) -> dict[str, Any]:
    """`deploy/serve/config.yaml` with two replicas of its gateway and of its classifier, and no other model."""
    document = yaml.safe_load(DEFAULT_CONFIG.read_text(encoding="utf-8"))
    document["http_options"]["host"] = "0.0.0.0"
    args = document["applications"][0]["args"]
    args["gateway"]["num_replicas"] = 2
    args.pop("preload")
    args["deployments"] = [
        {**each, "num_replicas": 2, "num_device_threads": 1, **classifier}
        for each in args["deployments"]
        if each["name"] == "Classifier"
    ]
    return document


def is_ready(url: str) -> bool:
    """Whether a gateway answers there that all models are ready."""
    with suppress(httpx.HTTPError):
        return CLIENT.get(f"{url}/readyz").status_code == 200
    return False


def metric(node: Node, name: str, **labels: str) -> float:
    """Sum of a metric's samples that carry these labels, of all processes of a node."""
    text = CLIENT.get(f"http://{node.address}:9464/metrics").text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def eventually(
    condition: Callable[[], bool], what: str, explain: Callable[[], str] = str, within_s: float = START_TIMEOUT_S
) -> float:
    """Wait for a condition.

    Returns:
        Seconds that it took.

    Raises:
        AssertionError: it did not come true in time.
    """
    started_at = time.monotonic()
    while not condition():
        if time.monotonic() - started_at > within_s:
            raise AssertionError(f"not within {within_s:g} s: {what}\n{explain()}")
        time.sleep(1)
    return time.monotonic() - started_at


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """A cluster whose replicas all run; this thread is in its network. Nothing is left of it afterwards."""
    # not in /tmp, which every node has for itself
    folder = Path(tempfile.mkdtemp(prefix="tapetum-cluster-", dir="/var/tmp"))
    try:
        with Network() as network, network.entered():
            cluster = Cluster(network, folder)
            try:
                cluster.start()
                yield cluster
            finally:
                cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
