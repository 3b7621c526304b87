"""gRPC through HAProxy: as Ray Serve renders its configuration, edited, with real servers and clients."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest

from services.nodes.haproxy_launcher import EDITED, GRPC_TIMEOUT, edit_file
from tests.unit.haproxies import TOKEN, free_port, haproxy, plan_for, rendered

pytestmark = pytest.mark.slow

ECHO = "/test.Echo/Metadata"
HEALTHZ = "/ray.serve.RayServeAPIService/Healthz"


class GrpcGateway(grpc.GenericRpcHandler):
    """A server that answers each call with its metadata, and health checks as Ray's replicas do.

    Attributes:
        port: Its port on loopback.
        calls: How many it has answered, without health checks.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.calls = 0

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        is_check = handler_call_details.method == HEALTHZ
        return grpc.unary_unary_rpc_method_handler(self._check if is_check else self._echo)

    async def _check(self, _: bytes, __: Any) -> bytes:
        return b"\x0a\x07success"

    async def _echo(self, _: bytes, context: Any) -> bytes:
        self.calls += 1
        return json.dumps([*context.invocation_metadata()]).encode()


@contextmanager
def grpc_gateway(port: int = 0) -> Iterator[GrpcGateway]:
    """A gateway in a thread of its own, on a free port of loopback."""
    gateway, started, ending = GrpcGateway(port), threading.Event(), threading.Event()

    async def main() -> None:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((gateway,))
        gateway.port = server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        started.set()
        await asyncio.to_thread(ending.wait)
        await server.stop(None)

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    try:
        assert started.wait(10)
        yield gateway
    finally:
        ending.set()
        thread.join()


@contextmanager
def proxied(folder: Path, *gateways: int, host: str = "127.0.0.1", **changes: Any) -> Iterator[str]:
    """HAProxy of a cluster's node, which listens where its configuration says; yields its address for gRPC."""
    http, port = free_port(), free_port()
    plan = plan_for(changes.pop("port", None), **{"hosts": (), **changes})
    config = rendered(folder, http, http if gateways else None, host=host, grpc_port=port, grpc_gateways=gateways)
    port = plan.grpc_port or port
    with haproxy(config, plan, http, host):
        yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def metadata_at_gateway(address: str, *sent: tuple[str, str], timeout: float | None = 20) -> list[tuple[str, str]]:
    """The metadata that reaches the gateway."""
    with grpc.insecure_channel(address) as channel:
        received = channel.unary_unary(ECHO)(b"", metadata=sent, timeout=timeout, wait_for_ready=True)
    return [(key, value) for key, value in json.loads(received)]


def values(metadata: list[tuple[str, str]], name: str) -> list[str]:
    return [value for key, value in metadata if key == name]


@pytest.fixture
def gateway() -> Iterator[GrpcGateway]:
    with grpc_gateway() as made:
        yield made


def test_call_carries_token_request_id_address_and_deadline(tmp_path: Path, gateway: GrpcGateway):
    with proxied(tmp_path, gateway.port) as address:
        received = metadata_at_gateway(address, ("x-request-id", "trace-me"), ("authorization", "Bearer a-key"))

    assert values(received, "x-tapetum-stack") == [TOKEN]
    assert values(received, "x-request-id") == ["trace-me"]
    assert values(received, "x-forwarded-for") == ["127.0.0.1"]
    assert values(received, "authorization") == ["Bearer a-key"]
    (deadline,) = values(received, GRPC_TIMEOUT)
    assert deadline.endswith(("S", "m", "u"))


def test_call_without_request_id_and_deadline_gets_an_id_and_no_deadline(tmp_path: Path, gateway: GrpcGateway):
    with proxied(tmp_path, gateway.port) as address:
        received = metadata_at_gateway(address, (GRPC_TIMEOUT, "1H"), timeout=None)

    assert len(values(received, "x-request-id")[0]) == 36
    assert values(received, GRPC_TIMEOUT) == []


def test_forged_token_address_and_deadline_are_replaced(tmp_path: Path, gateway: GrpcGateway):
    forged = [("x-tapetum-stack", "guess"), ("x-forwarded-for", "192.0.2.1, ::1"), (GRPC_TIMEOUT, "99H")]
    with proxied(tmp_path, gateway.port) as address:
        received = metadata_at_gateway(address, *forged, *forged)

    assert values(received, "x-tapetum-stack") == [TOKEN]
    assert values(received, "x-forwarded-for") == ["127.0.0.1"]
    (deadline,) = values(received, GRPC_TIMEOUT)
    assert deadline != "99H"


def test_calls_of_one_connection_and_of_several_are_spread_over_all_gateways(tmp_path: Path):
    with ExitStack() as stack:
        gateways = [stack.enter_context(grpc_gateway()) for _ in range(2)]
        address = stack.enter_context(proxied(tmp_path, *(each.port for each in gateways)))
        with grpc.insecure_channel(address) as channel:
            for _ in range(100):
                channel.unary_unary(ECHO)(b"", timeout=20, wait_for_ready=True)
        of_one_connection = [each.calls for each in gateways]
        with ThreadPoolExecutor(10) as pool:
            answers = list(pool.map(lambda _: metadata_at_gateway(address), range(40)))

    assert sum(of_one_connection) == 100
    assert min(of_one_connection) > 30
    assert len(answers) == 40
    assert sum(each.calls for each in gateways) == 140


def failure(address: str, method: str = ECHO) -> tuple[grpc.StatusCode, str | None]:
    """Status and text of a call that fails."""
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(method)(b"", timeout=20)
    return caught.value.code(), caught.value.details()


def test_dead_gateway_is_unavailable(tmp_path: Path):
    with proxied(tmp_path, free_port()) as address:
        code, _ = failure(address)

    assert code == grpc.StatusCode.UNAVAILABLE


def test_before_there_is_an_application_calls_are_unavailable(tmp_path: Path):
    with proxied(tmp_path) as address:
        assert failure(address) == (grpc.StatusCode.UNAVAILABLE, "no gateway takes requests right now")


@pytest.mark.parametrize("method", ["Healthz", "ListApplications"])
def test_services_of_ray_are_not_served(tmp_path: Path, gateway: GrpcGateway, method: str):
    with proxied(tmp_path, gateway.port) as address:
        code, _ = failure(address, f"/ray.serve.RayServeAPIService/{method}")

    assert code == grpc.StatusCode.UNIMPLEMENTED


def test_gateway_that_comes_back_is_called_again(tmp_path: Path):
    port = free_port()
    with proxied(tmp_path, port) as address:
        assert failure(address)[0] == grpc.StatusCode.UNAVAILABLE
        with grpc_gateway(port) as gateway:
            for _ in range(200):
                with grpc.insecure_channel(address) as channel:
                    try:
                        channel.unary_unary(ECHO)(b"", timeout=5)
                        break
                    except grpc.RpcError:
                        threading.Event().wait(0.1)
            assert gateway.calls == 1


def test_address_of_a_client_over_ipv6_reaches_the_gateway(tmp_path: Path, gateway: GrpcGateway):
    with proxied(tmp_path, gateway.port, host="::1") as address:
        received = metadata_at_gateway(address)

    assert values(received, "x-forwarded-for") == ["::1"]


def test_stack_on_one_machine_listens_for_grpc_where_its_plan_says(tmp_path: Path, gateway: GrpcGateway):
    http, port = free_port(), free_port()
    plan = {"port": http, "grpc_port": port, "hosts": ("127.0.0.1", "::1")}
    with proxied(tmp_path, gateway.port, **plan):
        assert httpx.get(f"http://127.0.0.1:{http}/").status_code in (200, 503)
        for address in (f"127.0.0.1:{port}", f"[::1]:{port}"):
            assert values(metadata_at_gateway(address), "x-tapetum-stack") == [TOKEN]


def test_gateways_that_ray_leaves_out_while_it_builds_a_changed_application_are_still_called(
    tmp_path: Path, gateway: GrpcGateway
):
    edit_file(rendered(tmp_path, 8000, gateway.port, grpc_port=8001, grpc_gateways=[gateway.port]), plan_for(None))
    edit_file(rendered(tmp_path, 8000, None, grpc_port=8001), plan_for(None))

    text = (tmp_path / "haproxy.cfg").read_text()
    assert text.startswith(EDITED)
    assert text.count(f"server gateway-{gateway.port} ") == 2
