"""The Open Inference Protocol on a real stack with two gateways: unmodified clients over HTTP and gRPC.

The tests with a stack of their own come first, before the one that the others share.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from google.protobuf import json_format
from grpc_health.v1 import health_pb2_grpc
from running import RunningStack, alive, free_port, listening_beyond_loopback, running_stack, write_config
from tritonclient.grpc import service_pb2_grpc

from services.gateway.open_inference.protobuf import health_pb, pb

pytestmark = pytest.mark.integration

METADATA = (("authorization", "Bearer a-key-of-the-test"),)
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@pytest.fixture(scope="module")
def grpc_address() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, grpc_address: str) -> Iterator[RunningStack]:
    """A stack with two gateways, which asks for a key."""
    config = write_config(tmp_path_factory.mktemp("guarded"), gateways=2)
    port = grpc_address.rpartition(":")[2]
    with running_stack(config, "--grpc-port", port, TAPETUM_API_KEYS="a-key-of-the-test") as made:
        yield made


def request_for(photo: bytes, model: str = "noop") -> Any:
    """A message that asks for the classes of a photo."""
    image = pb.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[1])
    image.contents.bytes_contents.append(photo)
    return pb.ModelInferRequest(model_name=model, inputs=[image])


def test_taken_port_is_said_in_one_line_that_names_the_option(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stack = RunningStack(write_config(tmp_path), free_port(), "--grpc-port", str(port))
        assert stack.wait(timeout_s=30) == 1
    assert len(stack.lines) == 1
    assert f"127.0.0.1:{port}" in stack.lines[0]
    assert "--grpc-port" in stack.lines[0]


def test_port_0_turns_grpc_off(tmp_path: Path):
    port = free_port()
    with running_stack(write_config(tmp_path, models=("noop",), grpc_port=port), "--grpc-port", "0") as stack:
        assert not any("gRPC" in line for line in stack.lines)
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=5):
            pass
        address = stack.url.removeprefix("http://")
        with triton_http.InferenceServerClient(address) as client:
            assert client.is_model_ready("noop")


def test_calls_in_flight_are_answered_when_the_stack_is_stopped(tmp_path: Path, photos: dict[str, bytes]):
    address = f"127.0.0.1:{free_port()}"
    config = write_config(tmp_path, models=("efficientnet-lite0",), gateways=2, max_batch_size=1)
    with running_stack(config, "--grpc-port", address.rpartition(":")[2]) as stack:
        family = stack.processes()

        async def main() -> list[grpc.StatusCode]:
            async with grpc.aio.insecure_channel(address) as channel:
                infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
                fresh = (("cache-control", "no-store"),)
                request = request_for(photos["coffee"], "efficientnet-lite0")
                calls = [infer(request, metadata=fresh, timeout=60) for _ in range(200)]
                tasks = [asyncio.create_task(call.code()) for call in calls]
                while sum(task.done() for task in tasks) < 10:
                    await asyncio.sleep(0.005)
                stack.process.send_signal(signal.SIGTERM)
                return await asyncio.gather(*tasks)

        codes = Counter(asyncio.run(main()))
        assert stack.wait() == 0
        assert codes[grpc.StatusCode.OK] >= 20, codes
        assert codes.keys() <= {grpc.StatusCode.OK, UNAVAILABLE}, codes
        assert alive(family) == []


@pytest.mark.parametrize("name", ["chelsea", "coffee"])
def test_http_and_grpc_give_the_same_answers(
    guarded: RunningStack, grpc_address: str, photos: dict[str, bytes], name: str
):
    answers = []
    for triton, address in ((triton_http, guarded.url.removeprefix("http://")), (triton_grpc, grpc_address)):
        with triton.InferenceServerClient(address) as client:
            assert client.is_server_ready()
            assert client.is_model_ready("efficientnet-lite0", headers=dict(METADATA))
            image = triton.InferInput("image", [1], "BYTES")
            image.set_data_from_numpy(np.array([photos[name]], dtype=object))
            answers.append(client.infer("efficientnet-lite0", [image], headers=dict(METADATA), parameters={"top_k": 7}))
    for output, shape in {"probabilities": (1, 7), "class_ids": (1, 7), "class_names": (1, 7)}.items():
        over_http, over_grpc = (answer.as_numpy(output) for answer in answers)
        assert over_http.shape == shape
        np.testing.assert_array_equal(over_http, over_grpc)


def test_metadata_is_the_same_over_http_and_grpc(guarded: RunningStack, grpc_address: str):
    with triton_http.InferenceServerClient(guarded.url.removeprefix("http://")) as client:
        over_http = client.get_model_metadata("noop", headers=dict(METADATA))
    with triton_grpc.InferenceServerClient(grpc_address) as client:
        over_grpc = client.get_model_metadata("noop", headers=dict(METADATA))
    assert over_grpc is not None
    text = json_format.MessageToDict(over_grpc, preserving_proto_field_name=True)
    for tensor in (*text["inputs"], *text["outputs"]):
        tensor["shape"] = [int(size) for size in tensor["shape"]]
    assert text == over_http


@pytest.mark.usefixtures("guarded")
def test_health_checks_need_no_key_and_inference_does(grpc_address: str, photos: dict[str, bytes]):
    with grpc.insecure_channel(grpc_address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        health = stub.Check(health_pb.HealthCheckRequest(), timeout=20)
        assert health.status == health_pb.HealthCheckResponse.SERVING
        infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
        refusals = {"": grpc.StatusCode.UNAUTHENTICATED, "Bearer guess": grpc.StatusCode.PERMISSION_DENIED}
        for key, code in refusals.items():
            with pytest.raises(grpc.RpcError) as refused:
                infer(request_for(photos["coffee"]), metadata=(("authorization", key),), timeout=20)
            assert refused.value.code() == code
        assert infer(request_for(photos["coffee"]), metadata=METADATA, timeout=20).outputs


def cpu_seconds(stack: RunningStack) -> dict[int, float]:
    """Process → CPU time of each gateway."""
    return {each.pid: sum(each.cpu_times()[:2]) for each in stack.replicas("Gateway")}


def test_calls_of_one_connection_are_spread_over_both_gateways(
    guarded: RunningStack, grpc_address: str, photos: dict[str, bytes]
):
    before = cpu_seconds(guarded)
    with grpc.insecure_channel(grpc_address) as channel:
        infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
        for _ in range(200):
            assert infer(request_for(photos["coffee"]), metadata=METADATA, timeout=20).outputs
    used = [seconds - before[pid] for pid, seconds in cpu_seconds(guarded).items()]
    assert len(used) == 2
    assert min(used) > max(used) / 4 > 0


def test_nothing_listens_beyond_loopback_with_grpc(guarded: RunningStack):
    assert listening_beyond_loopback(guarded.processes()) == []


def test_gateway_killed_under_load_loses_a_handful_of_calls_and_a_retry_saves_each(
    guarded: RunningStack, grpc_address: str, photos: dict[str, bytes]
):
    outcomes: Counter[str] = Counter()

    async def load(infer: Any, until: float) -> None:
        while time.monotonic() < until:
            for attempt in ("at once", "after a retry", "after two"):
                try:
                    await infer(request_for(photos["coffee"]), metadata=METADATA, timeout=30)
                except grpc.aio.AioRpcError as error:
                    assert error.code() == UNAVAILABLE, error.details()
                    await asyncio.sleep(0.5)
                else:
                    outcomes[attempt] += 1
                    break
            else:
                outcomes["lost"] += 1

    async def main() -> None:
        async with grpc.aio.insecure_channel(grpc_address) as channel:
            infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
            tasks = [asyncio.create_task(load(infer, time.monotonic() + 6)) for _ in range(8)]
            await asyncio.sleep(2)
            guarded.replica("Gateway").kill()
            await asyncio.gather(*tasks)

    asyncio.run(main())
    assert outcomes["at once"] > 100, outcomes
    assert outcomes["after a retry"] <= 16, outcomes  # two for each caller
    assert outcomes["after two"] == outcomes["lost"] == 0, outcomes
