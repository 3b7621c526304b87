"""Parts of the stack of one machine that need no Ray: ports, folders, the token, readiness."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import psutil
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from services.gateway.stack_check import StackCheck
from services.local import readiness
from services.local.errors import StackError
from services.local.ports import check_port, public_addresses
from services.local.readiness import wait_until_ready
from services.local.stack import serve
from services.machine import run_dir
from services.machine.run_dir import MOST_CHARACTERS, make_run_dir, socket_folder
from services.machine.stack_token import prove, read_token, write_token
from services.nodes.ports import Ports


def test_two_stacks_share_no_port():
    stacks = [Ports.take() for _ in range(8)]
    try:
        values = [int(port) for stack in stacks for port in stack.environment.values()]
        assert len(set(values)) == len(values)
        assert all(16_384 < port < 32_768 for port in values)
    finally:
        for stack in stacks:
            stack.close()


def test_gateways_have_a_range_of_ports_that_no_other_part_has():
    stack = Ports.take()
    ports = {name: int(port) for name, port in stack.environment.items()}
    stack.close()
    http = range(ports["RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT"], ports["RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT"] + 1)
    grpc = range(ports["RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT"], ports["RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT"] + 1)
    others = {port for name, port in ports.items() if "DIRECT_INGRESS" not in name}
    assert len(http) == len(grpc) == 120
    assert not set(http) & set(grpc)
    assert not others & {*http, *grpc}


def test_both_loopbacks_are_listened_on():
    assert public_addresses("localhost") == public_addresses("127.0.0.1") == public_addresses("::1")
    assert public_addresses("127.0.0.1")[0] == "127.0.0.1"
    assert public_addresses("0.0.0.0") == ("0.0.0.0",)
    assert public_addresses("192.0.2.1") == ("192.0.2.1",)


def test_port_that_is_taken_on_the_other_loopback_is_said():
    with socket.socket(socket.AF_INET6) as other:
        try:
            other.bind(("::1", 0))
        except OSError:
            pytest.skip("needs IPv6")
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StackError, match=rf"cannot listen on \[::1\]:{port}: address already in use"):
            check_port(("127.0.0.1", "::1"), port)


@pytest.mark.parametrize("length", [MOST_CHARACTERS + 1, 40, 120])
def test_long_temporary_folder_is_not_used_for_sockets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, length: int):
    folder = Path(str(tmp_path / "x").ljust(max(length, len(str(tmp_path)) + 2), "x"))
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    assert socket_folder() == Path("/tmp")


def test_nowhere_to_make_sockets_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(run_dir, "_folders", lambda: iter([tmp_path]))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(run_dir.NoFolder, match=f"TMPDIR is too long for the paths of sockets.*{tmp_path}"):
        make_run_dir()


def test_longest_socket_path_of_haproxy_fits():
    """HAProxy binds the name with `.PID.tmp` behind it, in 107 characters, of which its own limit of 97 leaves room."""
    longest = f"{'/'.ljust(MOST_CHARACTERS, 'x')}/tapetum-1234567-12345678/{56 * '0'}/h"
    assert len(longest) <= 97
    ray = f"{'/'.ljust(MOST_CHARACTERS, 'x')}/tapetum-1234567-12345678/r"
    assert len(f"{ray}/session_2026-01-31_23-59-59_123456_1234567/sockets/plasma_store") <= 107


def test_run_of_a_process_that_has_ended_is_removed_wherever_it_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    ended = next(pid for pid in range(4_000_000, 4_190_000) if not psutil.pid_exists(pid))
    left, own = tmp_path / f"tapetum-{ended}-abc", tmp_path / f"tapetum-{os.getpid()}-abc"
    left.mkdir()
    own.mkdir()
    monkeypatch.setattr(run_dir, "_folders", lambda: iter([tmp_path]))
    run_dir.clean_up_after_crashes()
    assert not left.exists()
    assert own.exists()


HOLD = """
import sys, time
from pathlib import Path
from services.machine import run_dir
assert run_dir.hold(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_run_of_another_container_is_not_taken_for_one_that_has_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Its process id means nothing here, and may be nobody's."""
    nobody = next(pid for pid in range(4_000_000, 4_190_000) if not psutil.pid_exists(pid))
    theirs = tmp_path / f"tapetum-{nobody}-abc"
    theirs.mkdir()
    monkeypatch.setattr(run_dir, "_folders", lambda: iter([tmp_path]))
    with subprocess.Popen([sys.executable, "-c", HOLD, str(theirs)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        assert not run_dir.hold(theirs)
        run_dir.clean_up_after_crashes()
        assert theirs.exists()
        other.kill()
    run_dir.clean_up_after_crashes()
    assert not theirs.exists(), "its process was killed, which is known here, too"


def test_run_whose_id_another_process_has_now_is_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    left = tmp_path / f"tapetum-{os.getpid()}-abc"
    left.mkdir()
    (left / "lock").touch()
    monkeypatch.setattr(run_dir, "_folders", lambda: iter([tmp_path]))
    run_dir.clean_up_after_crashes()
    assert not left.exists()


def test_new_run_is_held(monkeypatch: pytest.MonkeyPatch):
    made = make_run_dir()
    monkeypatch.setattr(run_dir, "_folders", lambda: iter([made.parent]))
    assert (made / "lock").exists()
    assert not run_dir.hold(made)
    run_dir.release(made)
    shutil.rmtree(made)


async def ask(token: str, headers: Mapping[str, str]) -> httpx.Response:
    app = StackCheck(Starlette(routes=[Route("/", lambda _: PlainTextResponse("mine"))]), token)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://stack") as client:
        return await client.get(
            "/", headers=[(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        )


def test_gateway_answers_its_own_stack_only(tmp_path: Path):
    token = write_token(tmp_path)
    assert read_token(tmp_path) == token
    assert (tmp_path / "stack-token").stat().st_mode & 0o077 == 0
    assert asyncio.run(ask(token, {"X-Tapetum-Stack": token})).text == "mine"
    for headers in ({}, {"X-Tapetum-Stack": ""}, {"X-Tapetum-Stack": token[:-1]}, {"X-Tapetum-Stack": "ä"}):
        response = asyncio.run(ask(token, headers))
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "not_ready"
        assert token not in response.text + str(response.headers)


def test_client_behind_the_haproxy_of_another_node_keeps_its_address(tmp_path: Path):
    token = write_token(tmp_path, "a secret of the whole cluster")
    app = StackCheck(Starlette(routes=[Route("/", lambda request: PlainTextResponse(request.client.host))]), token)

    async def address(headers: Mapping[str, str]) -> str:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app, client=("10.0.0.2", 4)), base_url="http://x"
        ) as c:
            return (await c.get("/", headers=headers)).text

    told = {"X-Tapetum-Stack": token, "X-Forwarded-For": "192.0.2.7"}
    assert asyncio.run(address(told)) == "192.0.2.7"
    assert asyncio.run(address({"X-Tapetum-Stack": token})) == "10.0.0.2"


def test_gateway_proves_its_token_without_telling_it(tmp_path: Path):
    token = write_token(tmp_path)
    response = asyncio.run(ask(token, {"X-Tapetum-Stack": token, "X-Tapetum-Nonce": "n"}))
    assert response.headers["x-tapetum-proof"] == prove(token, "n") != prove(token, "m")


def test_no_token_is_read_where_there_is_no_stack(tmp_path: Path):
    assert read_token(None) is None
    assert read_token(tmp_path) is None


@pytest.fixture
def stranger() -> Iterator[str]:
    """A server that says 200 to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_another_server_at_the_port_is_not_taken_for_the_stack(monkeypatch: pytest.MonkeyPatch, stranger: str):
    monkeypatch.setattr(readiness, "_STRANGER_TIMEOUT_S", 0.2)
    with pytest.raises(StackError, match=f"another server answers at {stranger}"):
        wait_until_ready(stranger, "token", ())


def test_runtime_env_that_has_no_effect_is_said(tmp_path: Path):
    deployment = {"name": "Classifier", "task": "classification", "models": ["noop"], "num_cpus": 10_000}
    args = {"topology": "split", "deployments": [deployment]}
    application = {"args": args, "runtime_env": {"env_vars": {"TAPETUM_LOG_LEVEL": "debug"}}}
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"applications": [application]}))  # JSON is YAML
    lines: list[str] = []
    assert serve(config, say=lines.append) == 1, "no machine has so many CPUs"
    assert "runtime_env is ignored" in lines[0]
    assert "reserves 10001 CPUs" in lines[1]
