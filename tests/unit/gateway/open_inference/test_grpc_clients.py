"""Unmodified clients of the Open Inference Protocol over gRPC, against real models behind a real server."""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio
import tritonclient.http as triton_http
from grpc_health.v1 import health_pb2_grpc
from tritonclient.grpc import service_pb2_grpc
from tritonclient.utils import InferenceServerException

from services.gateway.open_inference.protobuf import health_pb, pb
from services.settings import Settings
from tests.photos import encoded, photo
from tests.unit.hosted_gateway import HostedGateway, hosted_gateway

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

triton_aio: Any = tritonclient.grpc.aio  # whose types are wrong
CAT, ASTRONAUT = encoded(photo("chelsea"), "JPEG"), encoded(photo("astronaut"), "PNG")
DEPLOYMENTS = [
    {"name": "Classifier", "task": "classification", "models": ["efficientnet-lite0"], "precision": "fp32"},
    {"name": "Detector", "task": "detection", "models": ["yolo-person"], "precision": "fp32"},
]


@pytest.fixture(scope="module")
def gateway() -> Iterator[HostedGateway]:
    with hosted_gateway(DEPLOYMENTS) as started:
        yield started


@pytest.fixture(scope="module")
def guarded() -> Iterator[HostedGateway]:
    """A gateway that asks for a key, and takes small requests only."""
    settings = Settings(api_keys=("a-key-of-a-client",), max_images_per_request=4)  # pyright: ignore[reportArgumentType]
    with hosted_gateway(DEPLOYMENTS[:1], settings) as started:
        yield started


@pytest.fixture
def client(gateway: HostedGateway) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(gateway.grpc_address) as connected:
        yield connected


def images(*files: bytes, shape: Sequence[int] | None = None) -> list[triton.InferInput]:
    given = triton.InferInput("image", shape or [len(files)], "BYTES")
    given.set_data_from_numpy(np.array(files, dtype=object).reshape(shape or -1))
    return [given]


def test_probes_and_metadata(client):
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("yolo-person", "1")
    assert not client.is_model_ready("no-such-model") and not client.is_model_ready("yolo-person", "2")
    assert client.get_server_metadata().name == "tapetum"
    metadata = client.get_model_metadata("yolo-person")
    assert [(one.name, one.datatype, list(one.shape)) for one in metadata.outputs][1] == ("boxes", "FP32", [-1, 4])
    assert client.get_model_config("yolo-person").config.name == "yolo-person"
    assert [one.state for one in client.get_model_repository_index().models] == ["READY", "READY"]


def test_both_transports_give_the_same_outputs(gateway, client):
    over_grpc = client.infer("yolo-person", images(ASTRONAUT, CAT), request_id="one")
    given = triton_http.InferInput("image", [2], "BYTES")
    given.set_data_from_numpy(np.array([ASTRONAUT, CAT], dtype=object))
    with triton_http.InferenceServerClient(gateway.address) as other:
        over_http = other.infer("yolo-person", [given])
    assert over_grpc.get_response().id == "one"
    names = [output.name for output in over_grpc.get_response().outputs]
    assert names == [output["name"] for output in over_http.get_response()["outputs"]]
    for name in names:
        np.testing.assert_array_equal(over_grpc.as_numpy(name), over_http.as_numpy(name))


def test_elements_may_come_in_typed_contents(gateway):
    request = pb.ModelInferRequest(model_name="efficientnet-lite0")
    tensor = request.inputs.add(name="image", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(CAT)
    small = np.asarray(photo("chelsea").resize((30, 20)))
    other = pb.ModelInferRequest(model_name="efficientnet-lite0")
    pixels = other.inputs.add(name="pixels", datatype="UINT8", shape=[1, *small.shape])
    pixels.contents.uint_contents.extend(small.reshape(-1).tolist())
    with grpc.insecure_channel(gateway.grpc_address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert list(stub.ModelInfer(request).outputs[0].shape) == [1, 5]
        assert list(stub.ModelInfer(other).outputs[0].shape) == [1, 5]


@pytest.mark.parametrize("algorithm", [None, "gzip", "deflate"])
def test_messages_may_be_compressed(client, algorithm):
    result = client.infer("efficientnet-lite0", images(CAT), compression_algorithm=algorithm)
    assert result.as_numpy("class_ids").tolist() == [[282, 285, 281, 287, 904]]


def test_parameters_and_classification(client):
    wanted = [triton.InferRequestedOutput("probabilities", class_count=2)]
    texts = client.infer("efficientnet-lite0", images(CAT), outputs=wanted).as_numpy("probabilities")
    assert texts.shape == (1, 2) and texts[0, 0].decode().endswith("cat")
    nothing = client.infer("yolo-person", images(CAT), parameters={"score_threshold": 0.99})
    assert nothing.as_numpy("boxes").shape == (0, 4)


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"model_name": "no-such-model"}, "NOT_FOUND", "no model 'no-such-model'"),
        ({"model_version": "7"}, "NOT_FOUND", "no version '7'"),
        ({"inputs": []}, "INVALID_ARGUMENT", "there are 0 inputs and 1 raw_input_contents"),
        ({"raw_input_contents": [b"x", b"y"]}, "INVALID_ARGUMENT", "1 inputs and 2 raw_input_contents"),
        ({"raw_input_contents": [b"\x05\0\0\0abc"]}, "INVALID_ARGUMENT", "ends within an element"),
        ({"raw_input_contents": [b"\x03\0\0\0abc"]}, "INVALID_ARGUMENT", "not an image"),
    ],
)
def test_what_cannot_be_answered_has_a_status_and_a_text(gateway, change, code, message):
    request = pb.ModelInferRequest(model_name="efficientnet-lite0")
    request.inputs.add(name="image", datatype="BYTES", shape=[1])
    request.raw_input_contents.append(len(CAT).to_bytes(4, "little") + CAT)
    for field, value in change.items():
        request.ClearField(field)
        request.MergeFrom(pb.ModelInferRequest(**{field: value}))
    with grpc.insecure_channel(gateway.grpc_address) as channel, pytest.raises(grpc.RpcError) as refused:
        service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
    error: Any = refused.value
    assert error.code().name == code
    assert message in error.details()
    assert dict(error.trailing_metadata())["tapetum-error"]


def test_methods_that_are_not_supported_say_so(client):
    for call in (
        client.get_system_shared_memory_status,
        client.get_cuda_shared_memory_status,
        client.get_trace_settings,
        client.get_log_settings,
    ):
        with pytest.raises(InferenceServerException, match="UNIMPLEMENTED"):
            call()


def test_every_method_of_both_services_is_written():
    from services.gateway.open_inference.grpc_methods import OpenInferenceMethods

    services = (pb.DESCRIPTOR.services_by_name, health_pb.DESCRIPTOR.services_by_name)
    names = {method.name for found in services for service in found.values() for method in service.methods}
    assert len(names) == 22
    assert names <= vars(OpenInferenceMethods).keys()


def test_health_checks_of_grpc(gateway):
    with grpc.insecure_channel(gateway.grpc_address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        for service in ("", "inference.GRPCInferenceService"):
            assert stub.Check(health_pb.HealthCheckRequest(service=service)).status == 1
        with pytest.raises(grpc.RpcError) as refused:
            stub.Check(health_pb.HealthCheckRequest(service="other"))
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND  # pyright: ignore[reportAttributeAccessIssue]
        watch = stub.Watch(health_pb.HealthCheckRequest())
        assert next(watch).status == 1
        watch.cancel()
        assert next(stub.Watch(health_pb.HealthCheckRequest(service="other"))).status == 3


def test_a_key_is_read_from_the_metadata(guarded):
    with triton.InferenceServerClient(guarded.grpc_address) as client:
        assert client.is_server_ready(), "probes are open"
        with pytest.raises(InferenceServerException, match="UNAUTHENTICATED"):
            client.get_server_metadata()
        with pytest.raises(InferenceServerException, match="PERMISSION_DENIED"):
            client.infer("efficientnet-lite0", images(CAT), headers={"authorization": "Bearer another-key-of-nobody"})
        result: Any = client.infer(
            "efficientnet-lite0", images(CAT), headers={"authorization": "Bearer a-key-of-a-client"}
        )
        assert result.as_numpy("class_ids").shape == (1, 5)
        with pytest.raises(InferenceServerException, match="5 images in one request; at most 4"):
            client.infer("efficientnet-lite0", images(*[CAT] * 5), headers={"x-api-key": "a-key-of-a-client"})


def test_a_time_limit_ends_a_call(client):
    with pytest.raises(InferenceServerException, match="DEADLINE_EXCEEDED"):
        client.infer("yolo-person", images(ASTRONAUT), client_timeout=0.001, headers={"cache-control": "no-store"})
    headers = {"cache-control": "no-store", "x-tapetum-grpc-timeout": "1m"}
    with pytest.raises(InferenceServerException, match="time limit"):
        client.infer("yolo-person", images(ASTRONAUT), headers=headers)


def test_a_stream_answers_in_order_and_goes_on_after_an_error(gateway):
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with triton.InferenceServerClient(gateway.grpc_address) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        client.async_stream_infer("yolo-person", images(ASTRONAUT), request_id="a")
        client.async_stream_infer("efficientnet-lite0", images(CAT), request_id="b")
        client.async_stream_infer("no-such-model", images(CAT), request_id="c")
        client.async_stream_infer("efficientnet-lite0", images(CAT), request_id="d")
        received = [answers.get(timeout=30) for _ in range(4)]
        client.stop_stream()
    assert [result and result.get_response().id for result, _ in received] == ["a", "b", None, "d"]
    assert "no model 'no-such-model'" in str(received[2][1])


async def test_a_stream_works_on_several_requests_at_a_time(gateway):
    async def requests() -> AsyncIterator[dict[str, Any]]:
        for index in range(64):
            yield {
                "model_name": "efficientnet-lite0",
                "inputs": images(CAT),
                "request_id": str(index),
                "headers": {"cache-control": "no-store"},
            }

    async with triton_aio.InferenceServerClient(gateway.grpc_address) as client:
        ids = [result.get_response().id async for result, _ in client.stream_infer(requests())]
    assert ids == [str(index) for index in range(64)]


async def test_a_client_that_does_not_read_is_not_read_from(gateway):
    sent = 0

    async def requests() -> AsyncIterator[Any]:
        nonlocal sent
        while True:
            sent += 1
            request = pb.ModelInferRequest(model_name="efficientnet-lite0")
            request.inputs.add(name="image", datatype="BYTES", shape=[1])
            request.raw_input_contents.append((100_000).to_bytes(4, "little") + bytes(100_000))
            yield request

    async with grpc.aio.insecure_channel(gateway.grpc_address) as channel:
        call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(requests())
        await call.read()
        await asyncio.sleep(1.0)
        stopped_at = sent
        await asyncio.sleep(0.5)
        assert sent < 100_000 and stopped_at > 0
        call.cancel()
    async with triton_aio.InferenceServerClient(gateway.grpc_address) as client:
        assert (await client.infer("efficientnet-lite0", images(CAT))).as_numpy("class_ids").shape == (1, 5)


async def test_the_asynchronous_client_is_answered(gateway):
    async with triton_aio.InferenceServerClient(gateway.grpc_address) as client:
        results = await asyncio.gather(*(client.infer("efficientnet-lite0", images(CAT)) for _ in range(32)))
    assert {tuple(result.as_numpy("class_ids")[0]) for result in results} == {(282, 285, 281, 287, 904)}


def test_a_cancelled_call_is_recorded_as_disconnected(gateway, client):
    def disconnected() -> float:
        lines = triton_metrics(gateway)
        return sum(float(line.rpartition(" ")[2]) for line in lines if 'outcome="disconnected"' in line)

    before = disconnected()
    files = [encoded(photo("astronaut").rotate(angle), "JPEG") for angle in range(24)]
    call = client.async_infer("yolo-person", images(*files), lambda **_: None, headers={"cache-control": "no-store"})
    time.sleep(0.3)
    call.cancel()
    for _ in range(100):
        if disconnected() > before:
            return
        time.sleep(0.1)
    pytest.fail("the call went on")


def triton_metrics(gateway: HostedGateway) -> list[str]:
    import httpx

    lines = httpx.get(f"{gateway.url}/metrics").text.splitlines()
    return [line for line in lines if line.startswith("tapetum_requests_total")]
