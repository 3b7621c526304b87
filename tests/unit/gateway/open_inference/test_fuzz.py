"""Thousands of damaged requests, by both transports of the Open Inference Protocol: each is answered or refused."""

from __future__ import annotations

import http.client
import json
import logging
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from typing import Any

import grpc
import psutil
import pytest
import structlog

from services.gateway.open_inference.protobuf import pb
from tests.unit.gateway.open_inference.mutated_requests import HttpRequest, http_requests, messages, valid_message
from tests.unit.hosted_gateway import HostedGateway, hosted_gateway

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

REQUESTS = 10_000
IN_STREAMS = 3_000
PER_STREAM = 100
TIME_LIMIT_S = 20.0
"""For one request; so long because the machine may be busy."""
MAX_GROWTH_BYTES = 64 * 2**20
STATUSES = {200, 400, 404, 405, 413, 415, 504}
CODES = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "PERMISSION_DENIED", "DEADLINE_EXCEEDED"}
SERVICE = "/inference.GRPCInferenceService"


@pytest.fixture(scope="module")
def running() -> Iterator[HostedGateway]:
    with hosted_gateway([{"name": "Classifier", "task": "classification", "models": ["noop"]}]) as started:
        yield started


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fails where an error is logged."""
    with structlog.testing.capture_logs() as logs, caplog.at_level(logging.WARNING):
        yield
    assert [line for line in logs if line["log_level"] == "error" or "exc_info" in line][:3] == []
    assert [record.getMessage() for record in caplog.records][:3] == []


def rss() -> int:
    return psutil.Process(os.getpid()).memory_info().rss


def send(connection: http.client.HTTPConnection, given: HttpRequest) -> tuple[int, bytes]:
    connection.request("POST", given.path, given.body, given.headers)
    response = connection.getresponse()
    return response.status, response.read()


@pytest.mark.usefixtures("quiet")
def test_damaged_http_requests_are_answered_or_refused(running):
    found: Counter[int] = Counter()
    before = 0
    with closing(http.client.HTTPConnection(running.address, timeout=TIME_LIMIT_S)) as connection:
        for number, given in enumerate(islice(http_requests(1), REQUESTS)):
            status, body = send(connection, given)
            found[status] += 1
            assert status in STATUSES, (status, body[:500], given)
            if status != 200:
                error = json.loads(body)
                assert list(error) == ["error"] and isinstance(error["error"], str) and len(body) < 8192, (body, given)
            if number == REQUESTS // 2:
                before = rss()
        assert rss() - before < MAX_GROWTH_BYTES
        valid = b'{"inputs":[{"name":"pixels","datatype":"UINT8","shape":[1,1,1,3],"data":[1,2,3]}]}'
        assert send(connection, HttpRequest("/v2/models/noop/infer", {}, valid))[0] == 200
    assert found[200] > REQUESTS / 20 and found[400] > REQUESTS / 20, found


@pytest.mark.usefixtures("quiet")
def test_damaged_grpc_messages_are_answered_or_refused(running):
    given = messages(2)
    found: Counter[str] = Counter()
    methods = [method.name for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods]
    others = [name for name in methods if name != "ModelStreamInfer"]
    before = 0
    with grpc.insecure_channel(running.grpc_address) as channel:
        calls = {name: channel.unary_unary(f"{SERVICE}/{name}") for name in methods}
        for number, data in enumerate(islice(given, REQUESTS - IN_STREAMS)):
            method = others[number // 10 % len(others)] if number % 10 == 0 else "ModelInfer"
            code, text = ask(calls[method], data)
            assert code in CODES, (method, code, text, data)
            assert len(text) <= 1024 and (text or code == "OK")
            found[code] += 1
            if number == REQUESTS // 2:
                before = rss()
        for _ in range(IN_STREAMS // PER_STREAM):
            batch = list(islice(given, PER_STREAM))
            stream: Any = channel.stream_stream(f"{SERVICE}/ModelStreamInfer")
            texts = [pb.ModelStreamInferResponse.FromString(data) for data in stream(iter(batch), timeout=TIME_LIMIT_S)]
            assert len(texts) == len(batch)
            assert "something went wrong here" not in [one.error_message for one in texts]
            found.update("refused in a stream" if one.error_message else "answered in a stream" for one in texts)
        assert rss() - before < MAX_GROWTH_BYTES
        assert ask(calls["ModelInfer"], valid_message()) == ("OK", "")
    assert min(found[code] for code in ("OK", "INVALID_ARGUMENT", "NOT_FOUND", "answered in a stream")) > 100, found
    assert found["refused in a stream"] > 100, found


def ask(call: grpc.UnaryUnaryMultiCallable[bytes, bytes], data: bytes) -> tuple[str, str]:
    """Status and text of a call with these bytes as its message."""
    try:
        call(data, timeout=TIME_LIMIT_S)
    except grpc.RpcError as error:
        refused: Any = error
        return refused.code().name, refused.details()
    return "OK", ""
