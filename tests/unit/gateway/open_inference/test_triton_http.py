"""The same HTTP requests to a real Triton server and to Tapetum, and their responses compared field by field.

What differs is listed here with its reason, and in docs/open-inference.md under "Differences from Triton".
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import pytest
from google.protobuf.json_format import ParseDict
from tritonclient.utils import deserialize_bytes_tensor, triton_to_np_dtype

from services.gateway.open_inference.protobuf import config_pb
from tests.photos import encoded, photo
from tests.unit.triton_twins import Server, triton_and_tapetum

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

LENGTH = "inference-header-content-length"
PNG = encoded(photo("coffee").resize((64, 64)), "PNG")
ELEMENT = len(PNG).to_bytes(4, "little") + PNG
AS_JSON = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(PNG).decode()]}
IN_BINARY = {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(ELEMENT)}}
COLUMN = {"name": "image", "shape": [2, 1], "datatype": "BYTES", "parameters": {"binary_data_size": 2 * len(ELEMENT)}}
PIXELS = {"name": "pixels", "shape": [1, 2, 2, 3], "datatype": "UINT8", "data": [1] * 12}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    with triton_and_tapetum(tmp_path_factory.mktemp("triton")) as started:
        yield started


@dataclass(frozen=True)
class Sent:
    """A request.

    Attributes:
        body: JSON, and what follows it.
        headers: Of it.
        path: Below the model.
        model: Triton's name of it.
        method: Of HTTP.
    """

    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    path: str = "/infer"
    model: str = "noop"
    method: str = "POST"

    def to(self, server: Server) -> httpx.Response:
        path = f"/v2/models/{server.name_of(self.model)}{self.path}"
        headers = {"accept-encoding": "identity", **self.headers}
        return server.http.request(self.method, path, content=self.body, headers=headers)


def infer(
    *inputs: Mapping[str, Any],
    tail: bytes = b"",
    outputs: Sequence[Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    request: Mapping[str, Any] | None = None,
    **sent: Any,
) -> Sent:
    """A request for inference: its inputs, the bytes behind the JSON, and further members of the JSON."""
    members = {"outputs": outputs, "parameters": parameters, **(request or {})}
    document = {"inputs": inputs, **{name: value for name, value in members.items() if value is not None}}
    text = json.dumps(document).encode()
    headers = {LENGTH: str(len(text))} if tail else {}
    return Sent(text + tail, {**headers, **sent.pop("headers", {})}, **sent)


def binary(**members: Any) -> Sent:
    return infer(IN_BINARY, tail=ELEMENT, **members)


def output(name: str, **parameters: Any) -> dict[str, Any]:
    return {"name": name, "parameters": parameters} if parameters else {"name": name}


def compressed(sent: Sent, encoding: str) -> Sent:
    compressor = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
    body = compressor.compress(sent.body) + compressor.flush()
    return Sent(body, {**sent.headers, "content-encoding": encoding})


def read(response: httpx.Response) -> dict[str, Any]:
    """The parts of a response to be compared; outputs by name, as Triton's order is that of the backend."""
    length = response.headers.get(LENGTH)
    text = response.content if length is None else response.content[: int(length)]
    document = json.loads(text)
    names = sorted(document)
    rest, outputs = response.content[len(text) :], {}
    for one in document.pop("outputs"):
        size = one.get("parameters", {}).get("binary_data_size", 0)
        values = one.get("data", [])
        if "data" not in one:
            values = elements(rest[:size], one["datatype"])
            rest = rest[size:]
        if one["datatype"] == "FP32":
            values = np.asarray(values, np.float32).tolist()
        outputs[one["name"]] = (one["datatype"], one["shape"], sorted(one), sorted(one.get("parameters", {})), values)
    assert not rest
    del document["model_name"]
    media_type = response.headers["content-type"]
    return {"document": document, "names": names, "outputs": outputs, "type": media_type, "has_length": bool(length)}


def elements(raw: bytes, datatype: str) -> list[Any]:
    if datatype == "BYTES":
        return [one.decode() for one in deserialize_bytes_tensor(raw)]
    return np.frombuffer(raw, triton_to_np_dtype(datatype)).tolist()


SAME = {
    "JSON": infer(AS_JSON),
    "JSON with an id": infer(AS_JSON, request={"id": "seven"}),
    "JSON with a member that is unknown": infer(AS_JSON, request={"further": 1}),
    "nested JSON": infer({**PIXELS, "data": [[[[1, 2, 3], [4, 5, 6]], [[1, 2, 3], [4, 5, 6]]]]}),
    "pixels": infer(PIXELS),
    "a version": infer(AS_JSON, path="/versions/1/infer"),
    "a length that is all of the body": infer(AS_JSON, headers={LENGTH: str(len(infer(AS_JSON).body))}),
    "a content type of another kind": infer(AS_JSON, headers={"content-type": "text/plain"}),
    "binary": binary(),
    "binary to JSON and back to binary": infer(AS_JSON, parameters={"binary_data_output": True}),
    "all outputs in binary": binary(parameters={"binary_data_output": True}),
    "outputs in binary and as JSON": binary(
        outputs=[output("class_ids", binary_data=True), output("class_names", binary_data=False)]
    ),
    "strings in binary": binary(outputs=[output("class_names", binary_data=True)]),
    "an output that overrides binary_data_output": binary(
        parameters={"binary_data_output": True}, outputs=[output("class_ids", binary_data=False)]
    ),
    "an empty list of outputs": binary(outputs=[]),
    "an output twice: the first counts": binary(
        outputs=[output("class_ids", binary_data=True), output("class_ids", binary_data=False)]
    ),
    "a parameter of the model": binary(parameters={"top_k": 2}),
    "parameters of the protocol": binary(parameters={"timeout": 30_000_000, "priority": 1}),
    "classes as JSON": infer(
        COLUMN, tail=2 * ELEMENT, model="batched", outputs=[output("probabilities", classification=2)]
    ),
    "classes in binary": infer(
        COLUMN,
        tail=2 * ELEMENT,
        model="batched",
        outputs=[output("probabilities", classification=2, binary_data=True)],
    ),
    "classification of 0 is none": infer(
        COLUMN, tail=2 * ELEMENT, model="batched", outputs=[output("probabilities", classification=0)]
    ),
    "a raw body is answered in binary": Sent(PNG, {LENGTH: "0"}, model="batched"),
    "no elements as JSON": binary(model="yolo-person"),
    "no elements in binary": binary(model="yolo-person", parameters={"binary_data_output": True}),
    "gzip": compressed(infer(AS_JSON), "gzip"),
    "deflate": compressed(infer(AS_JSON), "deflate"),
    "gzip of binary, whose length is that of the JSON inflated": compressed(binary(), "gzip"),
    "an encoding of identity": infer(AS_JSON, headers={"content-encoding": "identity"}),
}
"""Requests with one response from both."""


@pytest.mark.parametrize("name", SAME)
def test_responses_are_equal(servers, name):
    triton, tapetum = (SAME[name].to(server) for server in servers)
    assert (triton.status_code, tapetum.status_code) == (200, 200), (triton.text, tapetum.text)
    assert read(tapetum) == read(triton)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "*", "identity", "gzip;q=0"])
@pytest.mark.parametrize("sent", ["binary", "all outputs in binary"])
def test_a_response_is_compressed_as_asked(servers, encoding, sent):
    request = Sent(SAME[sent].body, {**SAME[sent].headers, "accept-encoding": encoding})
    triton, tapetum = (request.to(server) for server in servers)
    assert tapetum.headers.get("content-encoding") == triton.headers.get("content-encoding")
    assert read(tapetum) == read(triton), "the length counts the JSON before compression"


REFUSED = {
    "an unknown model": infer(AS_JSON, model="no-such-model"),
    "an unknown version": infer(AS_JSON, path="/versions/7/infer"),
    "a version that is no number": infer(AS_JSON, path="/versions/new/infer"),
    "metadata of an unknown model": Sent(path="", model="no-such-model", method="GET"),
    "metadata of an unknown version": Sent(path="/versions/7", method="GET"),
    "configuration of an unknown model": Sent(path="/config", model="no-such-model", method="GET"),
    "GET of inference": Sent(method="GET"),
    "POST of metadata": Sent(path=""),
    "an unknown input": infer({**AS_JSON, "name": "x"}),
    "an unknown input beside the right one": infer(AS_JSON, {**AS_JSON, "name": "x"}),
    "an input twice": infer(AS_JSON, AS_JSON),
    "an unknown output": infer(AS_JSON, outputs=[output("x")]),
    "a datatype that the input does not have": infer({**AS_JSON, "datatype": "FP32", "data": [1.0]}),
    "a datatype that does not exist": infer({**AS_JSON, "datatype": "FP31"}),
    "fewer elements than the shape": infer({**AS_JSON, "shape": [2]}),
    "more elements than the shape": infer({**AS_JSON, "data": 2 * AS_JSON["data"]}),
    "too many dimensions": infer({**AS_JSON, "shape": [1, 1, 1]}),
    "a dimension of another size": infer({**PIXELS, "shape": [1, 2, 2, 4], "data": [1] * 16}),
    "no data": infer({"name": "image", "shape": [1], "datatype": "BYTES"}),
    "data twice": infer({**AS_JSON, "parameters": {"binary_data_size": len(ELEMENT)}}, tail=ELEMENT),
    "an element that is cut off": infer({**IN_BINARY, "parameters": {"binary_data_size": 99}}, tail=ELEMENT[:99]),
    "more binary data than there is": infer(
        {**IN_BINARY, "parameters": {"binary_data_size": len(ELEMENT) + 1}}, tail=ELEMENT
    ),
    "binary data that no input has": infer(IN_BINARY, tail=ELEMENT + b"xx"),
    "bytes of an image that are too few": infer(
        {"name": "pixels", "shape": [1, 2, 2, 3], "datatype": "UINT8", "parameters": {"binary_data_size": 11}},
        tail=bytes(11),
    ),
    "an element whose length is wrong": infer(IN_BINARY, tail=b"\xff\xff\xff\x7f" + ELEMENT[4:]),
    "a length beyond the body": infer(AS_JSON, headers={LENGTH: "1000000"}),
    "a negative length": infer(AS_JSON, headers={LENGTH: "-1"}),
    "an empty body": Sent(),
    "a parameter that is null": infer(AS_JSON, parameters={"top_k": None}),
    "a parameter that is a list": infer(AS_JSON, parameters={"top_k": [1]}),
}
"""Requests that both refuse with one status; the texts are each server's own."""


@pytest.mark.parametrize("name", REFUSED)
def test_errors_have_the_same_status_and_members(servers, name):
    triton, tapetum = (REFUSED[name].to(server) for server in servers)
    assert tapetum.status_code == triton.status_code, (triton.text, tapetum.text)
    for response in (triton, tapetum):
        document = json.loads(response.content)
        assert list(document) == ["error"] and document["error"]


FAULT = "500 says that the server is at fault, and invites another attempt; the client is at fault"
DIFFERENT = {
    "JSON that is cut off": (Sent(b'{"inputs": ['), 500, 400, FAULT),
    "JSON that is no object": (Sent(b"[]"), 500, 400, FAULT),
    "no inputs member": (Sent(b"{}"), 500, 400, FAULT),
    "inputs that are no array": (Sent(b'{"inputs": {}}'), 500, 400, FAULT),
    "an id that is a number": (infer(AS_JSON, request={"id": 5}), 500, 400, FAULT),
    "a negative size": (infer({**AS_JSON, "shape": [-1]}), 500, 400, FAULT),
    "a size that is text": (infer({**AS_JSON, "shape": ["1"]}), 500, 400, FAULT),
    "an input without a name": (infer({"shape": [1], "datatype": "BYTES", "data": ["x"]}), 500, 400, FAULT),
    "numbers for strings": (infer({**AS_JSON, "data": [5]}), 500, 400, FAULT),
    "fractions for integers": (infer({**PIXELS, "data": [1.5] * 12}), 500, 400, FAULT),
    "elements that the shape does not have": (infer({**PIXELS, "data": [1] * 11}), 500, 400, FAULT),
    "binary_data_output that is text": (infer(AS_JSON, parameters={"binary_data_output": "yes"}), 500, 400, FAULT),
    "a number out of range": (infer({**PIXELS, "data": [300] * 12}), 200, 400, "Triton keeps its lowest 8 bits"),
    "no images": (infer({**AS_JSON, "shape": [0], "data": []}), 200, 400, "there is nothing to predict"),
    "an unknown parameter": (binary(parameters={"scoer": 1}), 200, 400, "a misspelt one would have no effect"),
    "a sequence": (binary(parameters={"sequence_id": 5}), 200, 400, "no model here has a state"),
    "shared memory": (
        infer({"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"shared_memory_region": "x"}}),
        404,
        400,
        "there are no regions that could be found",
    ),
    "an encoding that is not read": (
        Sent(infer(AS_JSON).body, {"content-encoding": "br"}),
        501,
        415,
        "HTTP's own status of it",
    ),
    "statistics of an unknown model": (Sent(path="/stats", model="x", method="GET"), 400, 404, "as its metadata"),
    "readiness of an unknown model": (Sent(path="/ready", model="x", method="GET"), 400, 404, "as its metadata"),
    "readiness of an unknown version": (Sent(path="/versions/7/ready", method="GET"), 400, 404, "as its metadata"),
    "a raw body for a model of two inputs": (Sent(PNG, {LENGTH: "0"}), 400, 200, "it can be no other than an image"),
}
"""Requests whose status differs: it, Triton's status, Tapetum's, and the reason."""


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_status_differs_for_a_reason(servers, name):
    sent, of_triton, of_tapetum, reason = DIFFERENT[name]
    triton, tapetum = (sent.to(server) for server in servers)
    assert (triton.status_code, tapetum.status_code) == (of_triton, of_tapetum), (triton.text, tapetum.text, reason)


def test_classes_are_a_row_for_each_image(servers):
    """Triton takes the images of a model without a batch dimension for one vector; here rows are images."""
    sent = binary(outputs=[output("probabilities", classification=2)])
    triton, tapetum = (read(sent.to(server))["outputs"]["probabilities"] for server in servers)
    assert (triton[1], tapetum[1]) == ([2], [1, 2])
    assert triton[-1] == tapetum[-1] == ["0.181818:0:class 0", "0.163636:1:class 1"]


def test_an_output_that_is_named_without_binary_data_follows_binary_data_output(servers):
    """As the text of Triton's extension has it; the server itself returns JSON."""
    sent = binary(parameters={"binary_data_output": True}, outputs=[output("class_ids")])
    triton, tapetum = (read(sent.to(server)) for server in servers)
    assert (triton["has_length"], tapetum["has_length"]) == (False, True)
    assert triton["outputs"]["class_ids"][-1] == tapetum["outputs"]["class_ids"][-1]


@pytest.mark.parametrize("encoding", ["gzip, deflate", "gzip;q=0.5"])
def test_a_response_is_not_compressed_where_libraries_ask_for_it_unasked(servers, encoding):
    sent = Sent(SAME["binary"].body, {**SAME["binary"].headers, "accept-encoding": encoding})
    triton, tapetum = (sent.to(server) for server in servers)
    assert (triton.headers.get("content-encoding"), tapetum.headers.get("content-encoding")) == ("gzip", None)
    assert read(tapetum) == read(triton)


def test_metadata_is_equal_but_for_the_platform(servers):
    for path in ("", "/versions/1"):
        triton, tapetum = (Sent(path=path, method="GET").to(server).json() for server in servers)
        assert (triton.pop("platform"), tapetum.pop("platform")) == ("python", "tapetum")
        assert tapetum == triton


def test_metadata_of_the_server_has_the_same_members(servers):
    triton, tapetum = (server.http.get("/v2").json() for server in servers)
    assert tapetum.keys() == triton.keys()
    assert set(tapetum["extensions"]) < set(triton["extensions"])


def test_the_configuration_has_the_fields_that_clients_read(servers):
    """`image_client.py` of Triton reads the format of each input; both are a `ModelConfig`."""
    triton, tapetum = (Sent(path="/config", method="GET").to(server).json() for server in servers)
    assert tapetum["name"] == triton["name"] and tapetum["max_batch_size"] == triton["max_batch_size"]
    for ours, theirs in zip(tapetum["input"], triton["input"], strict=True):
        assert ours.items() <= theirs.items()
    for ours, theirs in zip(tapetum["output"], triton["output"], strict=True):
        assert ours.items() <= theirs.items()
    for config in (triton, tapetum):
        ParseDict(config, config_pb.ModelConfig())


def test_the_index_has_the_same_members_and_states(servers):
    for body in (b"", b"{}", b'{"ready": true}'):
        responses = [server.http.post("/v2/repository/index", content=body).json() for server in servers]
        triton, tapetum = ({one.pop("name"): one for one in entries} for entries in responses)
        assert tapetum.keys() == triton.keys() - {"batched"}
        assert all(entry == triton[name] for name, entry in tapetum.items())


def test_statistics_have_the_same_members_and_count_alike(servers):
    def statistics(server: Server) -> dict[str, Any]:
        return Sent(path="/versions/1/stats", method="GET").to(server).json()["model_stats"][0]

    before = [statistics(server) for server in servers]
    for server in servers:
        assert binary(headers={"cache-control": "no-store"}).to(server).status_code == 200
    after = [statistics(server) for server in servers]
    (triton, tapetum) = after
    assert sorted(tapetum) == sorted(triton) and sorted(tapetum["inference_stats"]) == sorted(triton["inference_stats"])
    assert all(type(tapetum[name]) is type(triton[name]) for name in triton)
    for first, then in zip(before, after, strict=True):
        for name in ("inference_count", "execution_count"):
            assert then[name] == first[name] + 1
        for name in ("success", "queue", "compute_infer", "compute_output"):
            assert then["inference_stats"][name]["count"] == first["inference_stats"][name]["count"] + 1
        assert then["last_inference"] > first["last_inference"]


@pytest.mark.parametrize("path", ["health/live", "health/ready", "models/noop/ready", "models/noop/versions/1/ready"])
def test_probes_have_the_same_status(servers, path):
    """Triton has no body; KServe's client reads `live` and `ready` from it."""
    triton, tapetum = (server.http.get(f"/v2/{path}") for server in servers)
    assert (triton.status_code, triton.content, tapetum.status_code) == (200, b"", 200)
    assert tapetum.json()[path.rpartition("/")[2]] is True


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "repository/index"), ("POST", "health/live"), ("GET", "nothing"), ("GET", "models")],
)
def test_routes_refuse_with_the_same_status(servers, method, path):
    triton, tapetum = (server.http.request(method, f"/v2/{path}") for server in servers)
    assert tapetum.status_code == triton.status_code
    assert list(tapetum.json()) == ["error"]
