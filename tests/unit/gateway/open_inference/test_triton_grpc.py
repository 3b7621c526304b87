"""The same gRPC calls to a real Triton server and to Tapetum, and their responses compared field by field.

What differs is listed here with its reason, and in docs/open-inference.md under "Differences from Triton".
"""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
from tritonclient.grpc import service_pb2_grpc

from services.gateway.open_inference.protobuf import pb
from tests.photos import encoded, photo
from tests.unit.triton_twins import Server, triton_and_tapetum

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

PNG = encoded(photo("coffee").resize((64, 64)), "PNG")
ELEMENT = len(PNG).to_bytes(4, "little") + PNG
NOT_FOUND, INVALID, UNIMPLEMENTED, OK = "NOT_FOUND", "INVALID_ARGUMENT", "UNIMPLEMENTED", "OK"


@dataclass(frozen=True)
class Stub:
    """A client of one of the servers, without the conveniences of `tritonclient`."""

    server: Server
    methods: Any

    def call(self, method: str, request: Any) -> tuple[str, Any]:
        """Name of the status code, and the response or the text of the error."""
        if request.DESCRIPTOR.name == "ModelInferRequest":
            request.model_name = self.server.name_of(request.model_name)
        try:
            return OK, getattr(self.methods, method)(request)
        except grpc.RpcError as error:
            failed: Any = error
            return failed.code().name, failed.details()


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stub, Stub]]:
    with triton_and_tapetum(tmp_path_factory.mktemp("triton")) as (triton, tapetum):
        channels = [grpc.insecure_channel(server.grpc) for server in (triton, tapetum)]
        of_triton, of_tapetum = map(service_pb2_grpc.GRPCInferenceServiceStub, channels)
        yield Stub(triton, of_triton), Stub(tapetum, of_tapetum)
        for channel in channels:
            channel.close()


def infer(
    *,
    model: str = "noop",
    name: str = "image",
    datatype: str = "BYTES",
    shape: Sequence[int] = (1,),
    raw: Sequence[bytes] = (ELEMENT,),
    outputs: Mapping[str, int] | Sequence[str] = (),
    parameters: Mapping[str, int | str] | None = None,
    **members: Any,
) -> Any:
    """A request for inference; of outputs the names, or by name the `classification`."""
    request = pb.ModelInferRequest(model_name=model, raw_input_contents=raw, **members)
    request.inputs.add(name=name, datatype=datatype, shape=shape)
    for output in outputs:
        added = request.outputs.add(name=output)
        if isinstance(outputs, Mapping):
            added.parameters["classification"].int64_param = outputs[output]
    for key, value in (parameters or {}).items():
        field = "string_param" if isinstance(value, str) else "int64_param"
        setattr(request.parameters[key], field, value)
    return request


def typed(*elements: bytes, **contents: Any) -> Any:
    """A request whose elements are typed contents."""
    request = infer(raw=())
    request.inputs[0].contents.bytes_contents.extend(elements)
    request.inputs[0].contents.MergeFrom(pb.InferTensorContents(**contents))
    return request


def twice(request: Any) -> Any:
    """The request with its input a second time."""
    request.inputs.append(request.inputs[0])
    request.raw_input_contents.append(ELEMENT)
    return request


def read(response: Any) -> dict[str, Any]:
    """The parts of a response to be compared; outputs by name, as Triton's order is that of the backend."""
    result: Any = triton_grpc.InferResult(response)
    outputs = {
        one.name: (one.datatype, list(one.shape), result.as_numpy(one.name).tolist()) for one in response.outputs
    }
    parameters = {name: value.bool_param for name, value in response.parameters.items()}
    return {"version": response.model_version, "id": response.id, "outputs": outputs, "parameters": parameters}


SAME = {
    "an image": infer(),
    "an id": infer(id="seven"),
    "a version": infer(model_version="1"),
    "typed contents": typed(PNG),
    "pixels": infer(name="pixels", datatype="UINT8", shape=(1, 2, 2, 3), raw=[bytes(12)]),
    "some outputs": infer(outputs=["class_names", "class_ids"]),
    "an output twice": infer(outputs=["class_names", "class_names"]),
    "classes": infer(model="batched", shape=(2, 1), raw=[2 * ELEMENT], outputs={"probabilities": 2}),
    "a parameter of the model": infer(parameters={"top_k": 2}),
    "parameters of the protocol": infer(parameters={"timeout": 30_000_000, "priority": 1}),
    "no elements": infer(model="yolo-person"),
}


@pytest.mark.parametrize("name", SAME)
def test_responses_are_equal(stubs, name):
    triton, tapetum = (stub.call("ModelInfer", SAME[name]) for stub in stubs)
    assert (triton[0], tapetum[0]) == (OK, OK), (triton, tapetum)
    assert read(tapetum[1]) == read(triton[1])


PIXELS: dict[str, Any] = {"name": "pixels", "datatype": "UINT8", "shape": (1, 2, 2, 3)}
REFUSED = {
    "an unknown model": (infer(model="no-such-model"), NOT_FOUND),
    "an unknown version": (infer(model_version="7"), NOT_FOUND),
    "an unknown input": (infer(name="x"), INVALID),
    "an input twice": (twice(infer()), INVALID),
    "an unknown output": (infer(outputs=["x"]), INVALID),
    "a datatype that the input does not have": (infer(datatype="FP32"), INVALID),
    "a datatype that does not exist": (infer(datatype="FP31"), INVALID),
    "fewer elements than the shape": (infer(shape=(2,)), INVALID),
    "more typed elements than the shape": (typed(PNG, PNG), INVALID),
    "typed elements of another datatype": (typed(fp32_contents=[1.0]), INVALID),
    "contents beside raw contents": (
        pb.ModelInferRequest(model_name="noop", inputs=typed(PNG).inputs, raw_input_contents=[ELEMENT]),
        INVALID,
    ),
    "too many dimensions": (infer(shape=(1, 1, 1)), INVALID),
    "a negative size": (infer(shape=(-1,)), INVALID),
    "a dimension of another size": (infer(**{**PIXELS, "shape": (1, 2, 2, 4)}, raw=[bytes(16)]), INVALID),
    "no data": (infer(raw=()), INVALID),
    "an element that is cut off": (infer(raw=[ELEMENT[:-1]]), INVALID),
    "bytes behind the last element": (infer(raw=[ELEMENT + b"xx"]), INVALID),
    "too few bytes": (infer(**PIXELS, raw=[bytes(11)]), INVALID),
    "too many bytes": (infer(**PIXELS, raw=[bytes(13)]), INVALID),
}


@pytest.mark.parametrize("name", REFUSED)
def test_errors_have_the_same_code(stubs, name):
    request, code = REFUSED[name]
    triton, tapetum = (stub.call("ModelInfer", request) for stub in stubs)
    assert (triton[0], tapetum[0]) == (code, code), (triton, tapetum)
    assert tapetum[1]


OTHER_METHODS = {
    "ModelReady": pb.ModelReadyRequest,
    "ModelMetadata": pb.ModelMetadataRequest,
    "ModelConfig": pb.ModelConfigRequest,
}
NUMBERS = "versions are names here, and Triton's are numbers"
DIFFERENT = {
    "no images": ("ModelInfer", infer(shape=(0,), raw=[b""]), OK, INVALID, "there is nothing to predict"),
    "an unknown parameter": (
        "ModelInfer",
        infer(parameters={"scoer": 1}),
        OK,
        INVALID,
        "a misspelt one would have no effect",
    ),
    "more raw contents than inputs": (
        "ModelInfer",
        infer(raw=[ELEMENT, ELEMENT]),
        OK,
        INVALID,
        "Triton does not read them",
    ),
    "classification of 0": (
        "ModelInfer",
        infer(outputs={"probabilities": 0}),
        INVALID,
        OK,
        "it is none over HTTP, with both",
    ),
    "a version that is no number": ("ModelInfer", infer(model_version="new"), INVALID, NOT_FOUND, NUMBERS),
    "readiness of it": ("ModelReady", pb.ModelReadyRequest(name="noop", version="new"), INVALID, OK, NUMBERS),
    "statistics of an unknown model": (
        "ModelStatistics",
        pb.ModelStatisticsRequest(name="no-such-model"),
        INVALID,
        NOT_FOUND,
        "as its metadata",
    ),
    **{
        method: (method, request, OK, UNIMPLEMENTED, "docs/open-inference.md lists what is not supported")
        for method, request in (
            ("SystemSharedMemoryStatus", pb.SystemSharedMemoryStatusRequest()),
            ("LogSettings", pb.LogSettingsRequest()),
            ("TraceSetting", pb.TraceSettingRequest()),
        )
    },
}
"""Calls whose code differs: method, request, Triton's code, Tapetum's, and the reason."""


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_code_differs_for_a_reason(stubs, name):
    method, request, of_triton, of_tapetum, reason = DIFFERENT[name]
    triton, tapetum = (stub.call(method, request) for stub in stubs)
    assert (triton[0], tapetum[0]) == (of_triton, of_tapetum), (triton, tapetum, reason)


@pytest.mark.parametrize("method", OTHER_METHODS)
@pytest.mark.parametrize(("name", "version"), [("noop", "1"), ("no-such-model", ""), ("noop", "7"), ("", "")])
def test_models_and_versions_are_found_alike(stubs, method, name, version):
    request = OTHER_METHODS[method](name=name, version=version)
    triton, tapetum = (stub.call(method, request) for stub in stubs)
    assert tapetum[0] == triton[0], (triton, tapetum)
    if method == "ModelReady":
        assert tapetum[1].ready == triton[1].ready == (version == "1")


def test_metadata_is_equal_but_for_the_platform(stubs):
    triton, tapetum = (stub.call("ModelMetadata", pb.ModelMetadataRequest(name="noop"))[1] for stub in stubs)
    assert (triton.platform, tapetum.platform) == ("python", "tapetum")
    tapetum.platform = triton.platform
    assert tapetum == triton


def test_configuration_index_and_probes_are_equal(stubs):
    of_models = [stub.call("ModelConfig", pb.ModelConfigRequest(name="noop"))[1].config for stub in stubs]
    triton, tapetum = of_models
    triton.output[0].ClearField("label_filename")
    assert (list(tapetum.input), list(tapetum.output)) == (list(triton.input), list(triton.output))
    for ready in (False, True):
        indices = [stub.call("RepositoryIndex", pb.RepositoryIndexRequest(ready=ready))[1] for stub in stubs]
        of_triton, of_tapetum = ({one.name: one for one in index.models} for index in indices)
        assert of_tapetum == {name: entry for name, entry in of_triton.items() if name != "batched"}
    for method, request in (("ServerLive", pb.ServerLiveRequest()), ("ServerReady", pb.ServerReadyRequest())):
        triton, tapetum = (stub.call(method, request) for stub in stubs)
        assert tapetum == triton


def test_a_stream_answers_the_same_and_goes_on_after_an_error(stubs):
    requests = [infer(id="a"), infer(id="b", model="no-such-model"), infer(id="c", name="x"), infer(id="d")]
    triton, tapetum = (list(stub.methods.ModelStreamInfer(iter(requests))) for stub in stubs)
    for ours, theirs in zip(tapetum, triton, strict=True):
        assert bool(ours.error_message) == bool(theirs.error_message)
        assert read(ours.infer_response) == read(theirs.infer_response)
    assert tapetum[0].infer_response.parameters["triton_final_response"].bool_param


def test_a_stock_client_sees_the_last_response_of_each_request(stubs):
    given = triton_grpc.InferInput("image", [1], "BYTES")
    given.set_data_from_numpy(np.array([PNG], dtype=object))
    for stub in stubs:
        answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        with triton_grpc.InferenceServerClient(stub.server.grpc) as client:
            client.start_stream(lambda result, error, answers=answers: answers.put((result, error)))
            client.async_stream_infer("noop", [given], enable_empty_final_response=True)
            result, error = answers.get(timeout=30)
            client.stop_stream()
        assert error is None
        response = result.get_response()
        assert response.parameters["triton_final_response"].bool_param and len(response.outputs) == 3
