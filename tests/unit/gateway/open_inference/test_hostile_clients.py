"""Clients of the Open Inference Protocol that mean harm: they are refused in time, and nobody else is harmed."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import psutil
import pytest
import structlog

from services.answers.wire import Item
from services.gateway.open_inference.grpc_front import PIPELINE
from services.gateway.open_inference.grpc_methods import OpenInferenceMethods
from services.gateway.open_inference.protobuf import pb
from services.grpc_services import add_services
from tests.unit.gateway_fakes import FakeBackend, make_app, png
from tests.unit.raw_http import connect, read_response, request
from tests.unit.serving import serving_grpc

pytestmark = pytest.mark.slow

MIB = 2**20
SERVICE = "/inference.GRPCInferenceService"
INFER, STREAM = f"{SERVICE}/ModelInfer", f"{SERVICE}/ModelStreamInfer"
UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class LargeAnswers(FakeBackend):
    """Answers with 8 MiB."""

    def predictions_of(self, item: Item) -> list[dict[str, Any]]:
        return [{"class_id": item.parameters["top_k"], "class_name": "x" * 8 * MIB, "probability": 0.5}]


@dataclass(frozen=True)
class Running:
    """A gateway, and its ports on loopback."""

    http_port: int
    grpc_address: str
    backend: FakeBackend


@contextmanager
def running(backend: FakeBackend | None = None, **settings: Any) -> Iterator[Running]:
    backend = backend or FakeBackend()
    with ThreadPoolExecutor(1) as thread:  # a test may have an event loop of its own
        app = thread.submit(asyncio.run, make_app(backend, None, None, **settings)).result()
    methods = OpenInferenceMethods()
    methods.grpc_front = app.state.grpc_front
    with (
        structlog.testing.capture_logs() as logs,
        serving_grpc(app, lambda server: add_services(methods, server)) as (url, port),
    ):
        yield Running(int(url.rpartition(":")[2]), f"127.0.0.1:{port}", backend)
    assert [line for line in logs if line["log_level"] == "error"] == []


@pytest.fixture(scope="module")
def gateway() -> Iterator[Running]:
    with running() as started:
        yield started


def message(shade: int = 0, **changes: Any) -> bytes:
    """A request with one image."""
    tensor = pb.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(png(shade))
    return pb.ModelInferRequest(**{"model_name": "noop", "inputs": [tensor], **changes}).SerializeToString()


def ask(address: str, data: bytes, method: str = INFER, **options: Any) -> tuple[str, str]:
    """Status and text of a call with these bytes as its message."""
    with grpc.insecure_channel(address, UNLIMITED) as channel:
        try:
            channel.unary_unary(method)(data, timeout=60, **options)
        except grpc.RpcError as error:
            refused: Any = error
            return refused.code().name, refused.details()
    return "OK", ""


def rss() -> int:
    return psutil.Process(os.getpid()).memory_info().rss


async def eventually(condition: Callable[[], bool]) -> bool:
    for _ in range(500):
        if condition():
            return True
        await asyncio.sleep(0.02)
    return False


PIXELS = pb.ModelInferRequest.InferInputTensor(
    name="pixels", datatype="UINT8", shape=[1, 300, 300, 3], contents={"uint_contents": [1] * 270_000}
)
EMPTY_INPUT = b"\x2a\x00"
"""`inputs`, of no bytes; in memory an object of about a hundred."""


def nested(*lengths_of: int, data: bytes) -> bytes:
    """A message within a field, within a field … of these numbers."""
    for number in reversed(lengths_of):
        size, text = len(data), b""
        while size > 0x7F:
            text, size = text + bytes((size & 0x7F | 0x80,)), size >> 7
        data = bytes((number << 3 | 2,)) + text + bytes((size,)) + data
    return data


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (EMPTY_INPUT * 16 * MIB, "the message has more than 8192 fields"),
        (nested(5, data=EMPTY_INPUT * 16 * MIB), "the message has more than 8192 fields"),
        (nested(5, 5, data=b"\x42\x00" * 16 * MIB), "the message has more than 8192 fields"),
        (nested(5, 5, data=nested(4, data=b"\x01" * 32 * MIB)), "1048576 bytes besides raw_input_contents"),
        (nested(4, data=b"\x0a\x00" * 16 * MIB), "1048576 bytes besides raw_input_contents"),
        (message(inputs=[PIXELS]), "input 'pixels' has more than 262144 elements; send them as raw_input_contents"),
        (nested(1, data=b"n" * 32 * MIB), "1048576 bytes besides raw_input_contents"),
        (nested(7, data=bytes(32 * MIB)) + b"\x0b", "the message is not of the protocol"),
        (b"\x2a" + b"\xff" * 9 + b"\x01" + bytes(40_000), "the message is not of the protocol"),
    ],
    ids=["inputs", "shapes", "contents", "numbers", "parameters", "elements", "name", "group", "length"],
)
def test_message_that_grows_when_it_is_parsed_is_refused(gateway: Running, data: bytes, text: str):
    before, started_at = rss(), time.monotonic()
    code, details = ask(gateway.grpc_address, data)
    assert (code, text in details) == ("INVALID_ARGUMENT", True), (code, details)
    assert time.monotonic() - started_at < 10
    assert rss() - before < 250 * MIB
    assert ask(gateway.grpc_address, message()) == ("OK", "")


def test_large_message_with_one_image_is_parsed(gateway: Running):
    code, details = ask(gateway.grpc_address, message(inputs=[], raw_input_contents=[bytes(20 * MIB)]))
    assert (code, details) == ("INVALID_ARGUMENT", "there are 0 inputs and 1 raw_input_contents")


@pytest.mark.parametrize(
    ("data", "code", "text"),
    [
        (message(model_name="n" * 100_000), "NOT_FOUND", f"no model '{'n' * 80}' is served"),
        (message(model_name="\U0001f600" * 9000), "NOT_FOUND", "no model '\U0001f600"),
        (message(model_name="a\0\r\n\x7f"), "NOT_FOUND", r"no model 'a\x00\r\n\x7f' is served"),
        (message(model_version="\n" * 1000), "NOT_FOUND", r"no version '\n"),
        (message(model_name=""), "NOT_FOUND", "no model '' is served; there are: efficientnet-lite0, noop"),
        (message(id="i" * 10**6), "INVALID_ARGUMENT", "id has more than 1024 characters"),
        (message() + b"\x0a\x02\xff\xfe", "INVALID_ARGUMENT", "a text is not UTF-8"),
        (b"\xff", "INVALID_ARGUMENT", "the message is not of the protocol"),
        (message()[:-5], "INVALID_ARGUMENT", "the message is not of the protocol"),
        (b"", "NOT_FOUND", "no model ''"),
    ],
    ids=["long", "long emoji", "control", "version", "none", "id", "not UTF-8", "garbage", "cut off", "empty"],
)
def test_names_and_damaged_messages_are_refused_by_text(gateway: Running, data: bytes, code: str, text: str):
    found, details = ask(gateway.grpc_address, data)
    assert (found, text in details) == (code, True), (found, details)
    assert len(details.encode()) <= 1024


@pytest.mark.parametrize("method", ["ModelMetadata", "ModelReady", "ModelStatistics", "RepositoryIndex", "ServerLive"])
def test_other_methods_refuse_damaged_and_large_messages(gateway: Running, method: str):
    assert ask(gateway.grpc_address, b"\x0a\xff", f"{SERVICE}/{method}")[0] == "INVALID_ARGUMENT"
    code, text = ask(gateway.grpc_address, nested(1, data=b"n" * MIB), f"{SERVICE}/{method}")
    assert (code, text) == ("INVALID_ARGUMENT", "the message has more than 32768 bytes")


def test_health_checks_refuse_damaged_messages(gateway: Running):
    assert ask(gateway.grpc_address, b"\x0a\xff", "/grpc.health.v1.Health/Check")[0] == "INVALID_ARGUMENT"
    with grpc.insecure_channel(gateway.grpc_address) as channel, pytest.raises(grpc.RpcError) as refused:
        list(channel.unary_stream("/grpc.health.v1.Health/Watch")(b"\x0a\xff", timeout=30))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_message_above_the_limit_is_refused_also_where_it_is_small_on_the_wire(gateway, compression):
    before = rss()
    code, details = ask(gateway.grpc_address, message() + nested(7, data=bytes(80 * MIB)), compression=compression)
    assert code == "RESOURCE_EXHAUSTED" and "larger than max" in details
    assert rss() - before < 400 * MIB, "the message itself is in this process, too"
    assert ask(gateway.grpc_address, message()) == ("OK", "")


async def test_stream_with_a_message_above_the_limit_ends(gateway: Running):
    async with grpc.aio.insecure_channel(gateway.grpc_address, UNLIMITED) as channel:
        stream = channel.stream_stream(STREAM)(iter([message(), message(raw_input_contents=[bytes(80 * MIB)])]))
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            async for _ in stream:
                pass
    assert ended.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await asyncio.to_thread(ask, gateway.grpc_address, message()) == ("OK", "")


async def test_damaged_messages_of_a_stream_are_refused_one_by_one(gateway: Running):
    sent = [message(id="a"), b"\xff", message() + b"\x0a\x02\xff\xfe", message(id="b", model_name="n" * 10**5)]
    sent += [EMPTY_INPUT * MIB, message(id="c")]
    async with grpc.aio.insecure_channel(gateway.grpc_address) as channel:
        stream = channel.stream_stream(STREAM)(iter(sent))
        found = [pb.ModelStreamInferResponse.FromString(data) async for data in stream]
    assert [one.infer_response.id for one in found] == ["a", "", "", "b", "", "c"]
    assert [bool(one.error_message) for one in found] == [False, True, True, True, True, False]
    assert len(found[3].SerializeToString()) < 2000


async def endless(count: int = 10**9) -> AsyncIterator[bytes]:
    for shade in range(count):
        yield message(shade % 200)
        await asyncio.sleep(0)


async def test_each_request_of_an_endless_stream_counts_towards_the_rate_limit():
    with running(rate_limit="5/hour") as started:
        async with grpc.aio.insecure_channel(started.grpc_address) as channel:
            stream = channel.stream_stream(STREAM)(endless())
            texts = [pb.ModelStreamInferResponse.FromString(await stream.read()).error_message for _ in range(9)]
            stream.cancel()
    assert texts == [""] * 5 + ["more than 5 per 1 hour"] * 4


async def test_stream_whose_client_does_not_read_holds_few_requests_and_few_bytes():
    sent = 0

    async def requests() -> AsyncIterator[bytes]:
        nonlocal sent
        async for data in endless():
            sent += 1
            yield data

    with running(LargeAnswers(), max_answer_bytes=32 * MIB) as started:
        async with grpc.aio.insecure_channel(started.grpc_address, UNLIMITED) as channel:
            before = rss()
            stream = channel.stream_stream(STREAM)(requests())
            assert await eventually(lambda: len(started.backend.calls) > 0)
            await asyncio.sleep(3)
            images = sum(len(items) for items in started.backend.calls)
            assert images <= PIPELINE + 4, "more would be read from a client that reads nothing"
            assert rss() - before < 300 * MIB
            async with grpc.aio.insecure_channel(started.grpc_address, UNLIMITED) as other:
                assert len(await other.unary_unary(INFER)(message(7), timeout=20)) > 8 * MIB
            stream.cancel()
            again = channel.stream_stream(STREAM)(iter([message(8)] * 3))
            found = [pb.ModelStreamInferResponse.FromString(data).error_message async for data in again]
            assert found == [""] * 3, "the bytes of the first stream are free again"


async def test_200_streams_on_one_connection_are_answered_beside_another_client(gateway: Running):
    async with grpc.aio.insecure_channel(gateway.grpc_address) as channel:
        streams = [channel.stream_stream(STREAM)(iter([message(id=str(index))] * 3)) for index in range(200)]

        async def ids(stream: Any) -> list[str]:
            return [pb.ModelStreamInferResponse.FromString(data).infer_response.id async for data in stream]

        answers = asyncio.gather(*map(ids, streams))
        assert await asyncio.to_thread(ask, gateway.grpc_address, message()) == ("OK", "")
        assert await asyncio.wait_for(answers, 60) == [[str(index)] * 3 for index in range(200)]


async def test_stream_that_is_cancelled_in_the_middle_leaves_nothing_behind():
    backend = FakeBackend()
    backend.takes_s = 30.0
    with running(backend, max_concurrent_requests=PIPELINE, max_queued_requests=0) as started:
        for _ in range(3):
            async with grpc.aio.insecure_channel(started.grpc_address) as channel:
                calls = len(backend.calls)
                stream = channel.stream_stream(STREAM)(endless())
                reading = asyncio.create_task(stream.read())
                assert await eventually(lambda calls=calls: len(backend.calls) > calls)
                await asyncio.sleep(0.3)
                stream.cancel()
                await asyncio.wait([reading])
        backend.takes_s = 0.0
        code, text = await asyncio.to_thread(ask, started.grpc_address, message(201))
        assert (code, text) == ("OK", ""), "every slot is free again"


def test_slow_body_below_v2_is_ended_in_the_shape_of_the_protocol(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("services.gateway.bodies.RATE_WINDOW_S", 0.3)
    with running(min_body_rate_bytes=1000) as started, connect(started.http_port, 20) as client:
        head = request("/v2/models/noop/infer", b"").replace(b"content-length: 0", b"content-length: 9999")
        client.sendall(head + b"{")
        response = read_response(client)
    assert (response.status, response.headers["connection"]) == (408, "close")
    assert json.loads(response.body) == {"error": "the body came more slowly than 1000 bytes a second"}


def test_unread_http_answers_below_v2_are_cut_off():
    body = json.dumps({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["%s"]}]})
    text = (body % base64.b64encode(png()).decode()).encode()
    with running(LargeAnswers(), max_answer_bytes=12 * MIB, send_timeout_s=1.0) as started:
        with socket.socket() as stuck:
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stuck.connect(("127.0.0.1", started.http_port))
            stuck.sendall(request("/v2/models/noop/infer", text))
            time.sleep(3)
            with connect(started.http_port, 20) as other:
                other.sendall(request("/v2/models/noop/infer", text))
                response = read_response(other)
        assert response.status == 200 and len(response.body) > 8 * MIB
