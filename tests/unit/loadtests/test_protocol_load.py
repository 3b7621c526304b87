"""The load generator by each protocol, against a real gateway with the no-op model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tritonclient.grpc import service_pb2

from loadtests.grpc_load import GrpcLoad
from loadtests.load import Load
from loadtests.load_plan import LoadPlan, requests_of
from loadtests.photos import STAMP_BYTES, body_of_100_kb
from loadtests.tensor_requests import grpc_message
from tests.unit.hosted_gateway import HostedGateway, hosted_gateway

pytestmark = pytest.mark.slow

DEPLOYMENTS = [{"name": "Classifier", "task": "classification", "models": ["noop"], "precision": "fp32"}]


@pytest.fixture(scope="module")
def gateway() -> Iterator[HostedGateway]:
    with hosted_gateway(DEPLOYMENTS) as started:
        yield started


@pytest.fixture(scope="module")
def plan(gateway: HostedGateway, tmp_path_factory: pytest.TempPathFactory) -> LoadPlan:
    """Sixteen requests or more, no two of which are the same, in the form of a tensor over HTTP."""
    file = tmp_path_factory.mktemp("photos") / "photo.jpg"
    file.write_bytes(body_of_100_kb())
    host, _, port = gateway.address.partition(":")
    return LoadPlan(
        host, int(port), "/v2/models/noop/infer", {}, (str(file),),
        distinct=0, concurrency=2, seconds=60.0, max_requests=16, form="tensor",
    )  # fmt: skip


def test_tensors_over_http_are_answered_and_differ(gateway, plan):
    images = gateway.backends["Classifier"].images
    result = asyncio.run(Load(plan).run())
    assert not result.errors and result.requests >= 16
    assert gateway.backends["Classifier"].images == images + result.total_requests


def test_calls_over_grpc_are_answered_and_differ(gateway, plan):
    images = gateway.backends["Classifier"].images
    result = asyncio.run(GrpcLoad(replace(plan, port=gateway.grpc_port, form="grpc", model="noop")).run())
    assert not result.errors and result.requests >= 16
    assert gateway.backends["Classifier"].images == images + result.total_requests


def test_failed_calls_are_counted_by_their_code(gateway, plan):
    sent = replace(plan, port=gateway.grpc_port, form="grpc", model="no-such-model", seconds=0.5, max_requests=1)
    result = asyncio.run(GrpcLoad(sent).run())
    assert result.requests == 0 and result.errors.keys() == {"NOT_FOUND"}


def test_pieces_of_a_call_are_a_message_with_the_stamp_in_the_photo(plan):
    before, after = grpc_message("noop", b"before", bytes(STAMP_BYTES), b"after")
    request = service_pb2.ModelInferRequest.FromString(before + b"12345678" + after)  # pyright: ignore[reportAttributeAccessIssue]
    assert request.raw_input_contents[0] == (19).to_bytes(4, "little") + b"before12345678after"
    first, second = (b"".join(pieces) for pieces in (next(requests_of(plan)), next(requests_of(plan))))
    assert len(first) == len(second) and first != second
