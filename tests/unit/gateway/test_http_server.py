"""What serves HTTP in a replica of Ray Serve: the event loop that Ray makes, and the parser that uvicorn chooses."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
import uvloop
from ray._private.async_compat import get_new_event_loop
from uvicorn import Config

from loadtests.systems.layered_gateway import bare_application
from services.gateway.http_server import HttpToolsProtocol


def test_replicas_run_uvloop_and_httptools():
    loop = get_new_event_loop()
    assert isinstance(loop, uvloop.Loop)
    loop.close()
    config = Config(bare_application, log_config=None)
    config.load()
    assert config.http_protocol_class is HttpToolsProtocol, "which `shape_http_server` patches"


ANSWERS = """
import asyncio, socket, sys
from uvicorn import Config, Server
from services.gateway.http_server import shape_http_server

async def answer(scope, receive, send):
    parts = [b"first "] if scope["path"] == "/whole" else [b"first ", b"second"]
    headers = [(b"content-length", b"%d" % len(b"".join(parts)))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": part is not parts[-1]})
        await asyncio.sleep(0.5)

shape_http_server()
server = Server(Config(answer, log_level="critical", lifespan="off"))
asyncio.run(server.serve([socket.socket(fileno=int(sys.argv[1]))]))
"""


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-c", ANSWERS, str(listener.fileno())]
        process = subprocess.Popen(command, pass_fds=[listener.fileno()])
        yield listener.getsockname()[1]
        process.kill()
        process.wait()


def test_headers_of_a_response_come_together_with_the_beginning_of_its_body(port):
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        for method, path, ending in (
            ("GET", "/whole", b"\r\n\r\nfirst "),
            ("HEAD", "/whole", b"content-length: 6\r\n\r\n"),
            ("GET", "/parts", b"\r\n\r\nfirst "),
        ):
            connection.sendall(f"{method} {path} HTTP/1.1\r\nhost: here\r\n\r\n".encode())
            received = connection.recv(65536)
            assert received.startswith(b"HTTP/1.1 200 OK\r\n")
            assert received.endswith(ending)
        assert connection.recv(65536) == b"second"
