"""A gateway in a process of its own, and clients that speak to it through plain sockets."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

TICK_S = 0.002


@dataclass(frozen=True)
class RawResponse:
    """What came back on a connection: one response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of the error."""
        return json.loads(self.body)["error"]["code"]


def request(path: str, body: bytes = b"", *headers: str, method: str = "POST") -> bytes:
    """A request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "host: gateway", f"content-length: {len(body)}", *headers]
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body


def connect(port: int, timeout_s: float = 30.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=timeout_s)


def ask(port: int, data: bytes | Iterable[bytes], timeout_s: float = 30.0) -> RawResponse:
    """Send bytes on a connection of their own, and read the response."""
    with connect(port, timeout_s) as connection:
        for piece in (data,) if isinstance(data, bytes) else data:
            connection.sendall(piece)
        return read_response(connection)


def read_response(connection: socket.socket) -> RawResponse:
    """The next response on a connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        received = connection.recv(65536)
        if not received:
            raise ConnectionError(f"closed after {data!r}")
        data += received
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        received = connection.recv(65536)
        if not received:
            raise ConnectionError("closed within the body")
        body += received
    return RawResponse(int(first.split()[1]), headers, body)


@contextmanager
def gateway_process(backend: str = "FakeBackend", **settings: Any) -> Generator[int]:
    """Run a gateway with these settings in front of a backend of `tests.unit.gateway_fakes`.

    Yields:
        Its port.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-m", "tests.unit.raw_http", str(listener.fileno()), backend, json.dumps(settings)]
        process = subprocess.Popen(command, pass_fds=[listener.fileno()], env={**os.environ, "OMP_NUM_THREADS": "1"})
        port = listener.getsockname()[1]
        try:
            _wait_until_alive(port)
            yield port
        finally:
            process.kill()
            process.wait()


def lags_of(port: int) -> list[float]:
    """How long the event loop of a `gateway_process` took for each turn since this was last asked.

    In seconds of CPU time of all its threads together, so that it is not the fault of other programs.
    """
    return json.loads(ask(port, request("/lags", method="GET")).body)


def _wait_until_alive(port: int) -> None:
    for _ in range(600):
        try:
            if ask(port, request("/healthz", method="GET"), 60).status == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the gateway does not start")


async def _serve(descriptor: int, backend: str, settings: dict[str, Any]) -> None:
    from services.gateway.http_server import shape_http_server
    from services.gateway.serving.offload import favour_the_event_loop
    from tests.unit import gateway_fakes

    shape_http_server()
    app = await gateway_fakes.make_app(getattr(gateway_fakes, backend)(), gateway_fakes.MemoryCache(), None, **settings)
    lags_s: list[float] = []

    async def tell_lags() -> list[float]:
        told = lags_s.copy()
        lags_s.clear()
        return told

    favour_the_event_loop()
    app.add_api_route("/lags", tell_lags)
    ticker = asyncio.create_task(_tick(lags_s))
    config = uvicorn.Config(app, log_level="critical", lifespan="off")
    await uvicorn.Server(config).serve([socket.socket(fileno=descriptor)])
    ticker.cancel()


async def _tick(lags_s: list[float]) -> None:
    """Record how long turns of the event loop take."""
    while True:
        started_at_s = time.process_time()
        await asyncio.sleep(TICK_S)
        lags_s.append(time.process_time() - started_at_s)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])))
