"""What a gateway needs on a cluster, and what `tapetum serve --address` says of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.cluster.address import find_dashboard
from services.cluster.deploying import deploy
from services.cluster.errors import ClusterError
from services.cluster.state import ApplicationState
from services.gateway.exposure import check_exposure, check_redis
from services.local.stack import DEFAULT_CONFIG
from services.settings import Settings, SettingsError

DETAILS = {
    "proxies": {
        "n1": {"node_ip": "10.0.0.2", "status": "HEALTHY"},
        "n2": {"node_ip": "10.0.0.1", "status": "HEALTHY"},
        "n3": {"node_ip": "10.0.0.3", "status": "UNHEALTHY"},
    },
    "applications": {
        "tapetum": {
            "status": "DEPLOYING",
            "message": "",
            "last_deployed_time_s": 1700000000.5,
            "deployments": {
                "Gateway": {
                    "status": "UPDATING",
                    "message": "Traceback (most recent call last):\n  File x\n"
                    "services.settings.SettingsError: TAPETUM_REDIS_URL is not set\n\nRetrying 1 more time(s).",
                    "target_num_replicas": 2,
                    "replicas": [{"state": "RUNNING"}, {"state": "STARTING"}],
                },
                "Classifier": {"status": "HEALTHY", "message": "", "target_num_replicas": 1, "replicas": []},
            },
        }
    },
}


def test_open_port_needs_keys_unless_that_is_wanted():
    for fine in (Settings(), Settings(allow_open_network=True), Settings(api_keys=("k",))):  # type: ignore[arg-type]
        check_exposure("127.0.0.1", fine)
    check_exposure("0.0.0.0", Settings(allow_open_network=True))
    check_exposure("0.0.0.0", Settings(api_keys=("k",)))  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=r"0\.0\.0\.0 can be reached from other machines"):
        check_exposure("0.0.0.0", Settings())


def test_node_of_a_cluster_needs_redis():
    check_redis("127.0.0.1", Settings())
    check_redis("10.0.0.1", Settings(redis_url="redis://cache:6379"))
    with pytest.raises(SettingsError, match="TAPETUM_REDIS_URL is not set: on a cluster"):
        check_redis("10.0.0.1", Settings())


def test_state_tells_replicas_and_the_reason_in_one_line():
    state = ApplicationState.of(DETAILS, "tapetum")
    assert state.line() == (
        "DEPLOYING: Classifier 0/1, Gateway 1/2 (services.settings.SettingsError: TAPETUM_REDIS_URL is not set)"
    )
    assert state.nodes == ("10.0.0.1", "10.0.0.2")
    assert state.deployed_at_s == 1700000000.5
    assert ApplicationState.of({}, "tapetum") == ApplicationState()
    assert ApplicationState().line() == "NOT_STARTED"


def test_address_that_is_none_is_refused():
    assert find_dashboard("http://10.0.0.1:8265/") == "http://10.0.0.1:8265"
    with pytest.raises(ClusterError, match="is auto, ray://HOST:PORT or http://HOST:PORT, not 10"):
        find_dashboard("10.0.0.1:6379")


def test_cluster_that_is_not_there_is_said_in_one_line():
    lines: list[str] = []
    assert deploy(DEFAULT_CONFIG, "http://127.0.0.1:1", host=None, port=None, say=lines.append) == 1
    assert len(lines) == 1
    assert lines[0].startswith("error: no Ray dashboard answers at http://127.0.0.1:1")
    assert "\n" not in lines[0]


def test_file_that_is_wrong_is_said_before_a_cluster_is_asked(tmp_path: Path):
    lines: list[str] = []
    assert deploy(tmp_path / "none.yaml", "auto", host=None, port=None, say=lines.append) == 1
    assert lines[0].startswith(f"error: {tmp_path}/none.yaml")
