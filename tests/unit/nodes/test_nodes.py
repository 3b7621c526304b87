"""A node of a cluster: its environment, its folder, its metrics, and the command that it runs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from services.machine.run_dir import release
from services.nodes.environment import CLUSTER_DEFAULTS, set_ray_token
from services.nodes.errors import NodeError
from services.nodes.exporter import NodeExporter
from services.nodes.folder import make_node_folder
from tests.checkout import ROOT

pytestmark = pytest.mark.slow

SECRET = "a secret of the whole cluster"
TAPETUM = [sys.executable, "-m", "services.cli"]


def run_tapetum(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line in an environment with no home folder."""
    clean = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([*TAPETUM, *arguments], env=clean, capture_output=True, text=True, check=False)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    made = Path(f"/tmp/tn-{os.getpid()}")
    yield made
    release(made)
    subprocess.run(["rm", "-rf", made], check=True)


def run_node(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    options = ("--folder", str(folder), "--metrics-port", "0")
    return run_tapetum("node", *options, "--", *command, TAPETUM_STACK_TOKEN=SECRET, **environment)


def test_configuration_is_written_out_alike_in_each_form():
    lines = dict(line.split("=", 1) for line in run_tapetum("config", "env").stdout.splitlines())
    compose = yaml.safe_load(run_tapetum("config", "compose").stdout)["environment"]
    kubernetes = yaml.safe_load(run_tapetum("config", "kubernetes").stdout)
    assert lines == compose == {entry["name"]: entry["value"] for entry in kubernetes} == CLUSTER_DEFAULTS


def test_command_finds_what_a_node_needs_and_no_secret(folder: Path):
    show = "import json, os; print(json.dumps({'environment': dict(os.environ)}))"
    printed = run_node(folder, sys.executable, "-c", show, RAY_SERVE_HAPROXY_TUNE_BUFSIZE="32768")
    assert printed.returncode == 0, printed.stderr
    found = json.loads(printed.stdout)["environment"]
    assert SECRET not in str(found)
    assert found["TAPETUM_RUN_DIR"] == str(folder)
    assert found["RAY_SERVE_HAPROXY_BINARY_PATH"] == str(folder / "haproxy")
    assert found["RAY_SERVE_HAPROXY_TUNE_BUFSIZE"] == "32768", "what is set stays"
    assert found.items() >= {**CLUSTER_DEFAULTS, "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": "32768"}.items()
    assert "PROMETHEUS_MULTIPROC_DIR" not in found, "Ray's own processes would count there, too"


def test_nodes_with_the_same_secret_have_the_same_token(folder: Path):
    tokens = [run_node(folder, "cat", str(folder / "stack-token")).stdout for _ in range(2)]
    assert json.loads(tokens[0])["event"] == json.loads(tokens[1])["event"]
    assert len(json.loads(tokens[0])["event"]) == 64


def test_ray_gets_a_token_unless_it_has_one():
    environment: dict[str, str] = {}
    set_ray_token(environment, SECRET)
    assert environment["RAY_AUTH_MODE"] == "token"
    assert len(environment["RAY_AUTH_TOKEN"]) == 64
    given = {"RAY_AUTH_TOKEN_PATH": "/secrets/ray"}
    set_ray_token(given, SECRET)
    assert given == {"RAY_AUTH_TOKEN_PATH": "/secrets/ray", "RAY_AUTH_MODE": "token"}
    without = {"RAY_AUTH_MODE": "disabled"}
    set_ray_token(without, SECRET)
    assert without == {"RAY_AUTH_MODE": "disabled"}


def test_exit_status_of_the_command_is_kept(folder: Path):
    assert run_node(folder, "sh", "-c", "exit 7").returncode == 7
    assert run_node(folder, "sh", "-c", "kill -9 $$").returncode == 128 + 9


@pytest.mark.parametrize(
    ("arguments", "environment", "error"),
    [
        (("true",), {}, "TAPETUM_STACK_TOKEN is not set"),
        (("true",), {"TAPETUM_STACK_TOKEN": "short"}, "TAPETUM_STACK_TOKEN: "),
        (("true",), {"TAPETUM_STACK_TOKEN_FILE": "/nonexistent"}, "TAPETUM_STACK_TOKEN_FILE: /nonexistent"),
        (("no-such-program",), {"TAPETUM_STACK_TOKEN": SECRET}, "no-such-program cannot be started"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    folder: Path, arguments: tuple[str, ...], environment: dict[str, str], error: str
):
    options = ("--folder", str(folder), "--metrics-port", "0")
    ended = run_tapetum("node", *options, "--", *arguments, **environment)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: {error}")
    assert len(ended.stderr.splitlines()) == 1


def test_folder_of_something_else_is_not_emptied(tmp_path: Path, folder: Path):
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(NodeError, match="holds files of something else"):
        make_node_folder(folder)
    assert (folder / "thesis.txt").exists()
    with pytest.raises(NodeError, match="too long for the paths of sockets"):
        make_node_folder(tmp_path / ("x" * 60))


@contextmanager
def running_node(folder: Path, *command: str) -> Iterator[subprocess.Popen[str]]:
    """A node whose command has printed a line, which is the first of its output."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TAPETUM_STACK_TOKEN": SECRET}
    options = ("--folder", str(folder), "--metrics-port", "0")
    process = subprocess.Popen(
        [*TAPETUM, "node", *options, "--", *command], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_signal_reaches_the_command_and_nothing_is_left_behind(folder: Path):
    script = "trap 'echo draining; exit 5' TERM; (setsid sleep 600 & echo $!); while :; do sleep 0.05; done"
    with running_node(folder, "sh", "-c", script) as process:
        assert process.stdout is not None
        orphan = int(json.loads(process.stdout.readline())["event"])
        with pytest.raises(NodeError, match="another node runs in"):
            make_node_folder(folder)
        process.send_signal(signal.SIGTERM)
        assert json.loads(process.stdout.readline())["event"] == "draining"
        assert process.wait(10) == 5
    assert not psutil.pid_exists(orphan), "a process that lost its parent is ended, too"


COUNT = """
import os, sys, time
from prometheus_client import Counter
Counter("ray_of_its_own", "Counted by a process of Ray.").inc()
import services.telemetry as telemetry
from services.settings import read_settings
telemetry.IMAGES.labels("classification", "noop", "1").inc(int(sys.argv[1]))
telemetry.MODEL_READY.labels("classification", "noop", "1").set(1)
telemetry.tell([telemetry.MODEL_ACCURACY.family([(("noop", "1", "digits", "top1"), 0.75)])])
from services.log_lines import configure_logging
configure_logging(read_settings())
import structlog
structlog.get_logger().info("counted")
"""


def count(folder: Path, images: int, *, wait: bool = False) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "TAPETUM_RUN_DIR": str(folder), "TAPETUM_LOG_FORMAT": "json"}
    code = COUNT + ("print('counted', flush=True)\ntime.sleep(60)" if wait else "")
    return subprocess.Popen([sys.executable, "-c", code, str(images)], env=environment, stdout=subprocess.PIPE)


def test_metrics_of_a_node_are_those_of_all_its_processes_and_not_of_ray(folder: Path):
    make_node_folder(folder)
    exporter = NodeExporter(folder, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{exporter.port}"
    count(folder, 3).communicate()
    running = count(folder, 4, wait=True)
    assert running.stdout is not None
    assert running.stdout.readline() == b"counted\n"
    text = httpx.get(f"{url}/metrics").text
    running.kill()
    running.communicate()
    assert 'tapetum_images_total{model="noop",task="classification",version="1"} 7.0' in text
    assert 'tapetum_model_ready{model="noop",task="classification",version="1"} 1.0' in text, "one has ended"
    assert text.count('tapetum_model_accuracy{dataset="digits",metric="top1",model="noop",version="1"} 0.75') == 1
    assert {name[:8] for name in re.findall(r"^\w+", text, re.MULTILINE)} == {"tapetum_"}
    later = httpx.get(f"{url}/metrics").text
    assert "tapetum_images_total" in later
    assert "tapetum_model_ready{" not in later
    assert "tapetum_model_accuracy{" not in later, "nobody is there who knows it"
    exporter.close()


def test_node_that_is_stopping_is_not_ready(folder: Path):
    make_node_folder(folder)
    exporter = NodeExporter(folder, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{exporter.port}"
    assert [httpx.get(f"{url}{path}").status_code for path in ("/healthz", "/readyz", "/x")] == [200, 200, 404]
    exporter.drain()
    assert [httpx.get(f"{url}{path}").status_code for path in ("/healthz", "/readyz")] == [200, 503]
    with pytest.raises(NodeError, match=r"metrics cannot listen on 127\.0\.0\.1"):
        NodeExporter(folder, "127.0.0.1", exporter.port)
    exporter.close()


def test_lines_of_other_processes_come_out_of_the_node(folder: Path):
    script = (
        f"import os, subprocess, sys; os.environ.update(PYTHONPATH={str(ROOT)!r})\n"
        f"subprocess.run([sys.executable, '-c', {COUNT!r}, '1'], check=True)"
    )
    printed = run_node(folder, sys.executable, "-c", script)
    assert printed.returncode == 0, printed.stdout
    lines = [json.loads(line) for line in printed.stdout.splitlines()]
    assert [line["event"] for line in lines] == ["counted"]
    assert lines[0]["level"] == "info"
