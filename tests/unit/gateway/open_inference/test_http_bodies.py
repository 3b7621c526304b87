"""Invalid requests of the Open Inference Protocol over HTTP: each is refused with a text that says what to change."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI
from tritonclient.http._utils import _get_error
from tritonclient.utils import InferenceServerException

from tests.unit.gateway_fakes import FakeBackend, broken_inside, gateway, make_app, png

MODEL = "/v2/models/efficientnet-lite0"
INFER = f"{MODEL}/infer"
LENGTH = "inference-header-content-length"


def element(data: bytes) -> bytes:
    """An element of BYTES in binary."""
    return len(data).to_bytes(4, "little") + data


IMAGE = element(png())
BASE64, CUT_OFF = (base64.b64encode(file).decode() for file in (png(), broken_inside()))


def image(**changes: Any) -> dict[str, Any]:
    """An input of one encoded image, in JSON."""
    return {"name": "image", "datatype": "BYTES", "shape": [1], "data": [BASE64], **changes}


def raw(size: Any = None, **changes: Any) -> dict[str, Any]:
    """An input of one encoded image, in binary."""
    given = image(parameters={"binary_data_size": len(IMAGE) if size is None else size})
    return {**{name: value for name, value in given.items() if name != "data"}, **changes}


def pixels(**changes: Any) -> dict[str, Any]:
    """An input of the pixels of one small image, in JSON."""
    return {"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 2, 3], "data": [1, 2, 3, 4, 5, 6], **changes}


def document(*inputs: Any, **members: Any) -> dict[str, Any]:
    return {"inputs": list(inputs), **members}


async def post(client: httpx.AsyncClient, given: Any, data: bytes = b"", **headers: str) -> httpx.Response:
    """Post a request, whose JSON has binary data behind it."""
    text = json.dumps(given).encode()
    sizes = {LENGTH: str(len(text))} if data else {}
    return await client.post(INFER, content=text + data, headers={**sizes, **headers})


def error_of(response: httpx.Response) -> str:
    """The text of an error, as tritonclient decodes it."""
    found = json.loads(response.content)
    assert list(found) == ["error"] and isinstance(found["error"], str) and found["error"]
    assert response.headers["content-type"] == "application/json"
    error = _get_error(_Decodable(response))
    assert isinstance(error, InferenceServerException) and error.message() == found["error"]
    return found["error"]


class _Decodable:
    """A response as tritonclient reads one."""

    def __init__(self, response: httpx.Response) -> None:
        self.status_code, self._body = response.status_code, response.content

    def read(self) -> bytes:
        return self._body


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return asyncio.run(make_app(FakeBackend(), None, None))


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as connected:
        yield connected


VALID = [
    document(image()),
    document(image(shape=[1, 1])),
    document(pixels()),
    document(pixels(data=[[[[1, 2, 3], [4, 5, 6]]]])),
    document(image(unknown_member=1), another=2, id="x" * 1024),
    document(image(), parameters={"top_k": 2, "timeout": 1_000_000, "priority": 3}),
    document(image(), outputs=[{"name": "probabilities", "parameters": {"classification": 2}}]),
]


@pytest.mark.parametrize("given", VALID, ids=range(len(VALID)))
async def test_what_is_valid_is_answered(client, given):
    assert (await post(client, given)).status_code == 200


INVALID: Mapping[str, tuple[Any, int, str]] = {
    "no inputs member": ({}, 400, "inputs: Field required"),
    "no inputs": (document(), 400, "the request must have one input, image or pixels, not 0"),
    "two inputs": (document(image(), image()), 400, "must have one input, image or pixels, not 2"),
    "too many inputs": (document(*[image()] * 65), 400, "inputs: Tuple should have at most 64 items"),
    "inputs that are an object": ({"inputs": {}}, 400, "inputs: Input should be a valid"),
    "unknown input": (document(image(name="photo")), 400, "unexpected input 'photo'; the model has image or pixels"),
    "input without a name": (document(image(name="")), 400, "inputs.0.name"),
    "input with a long name": (document(image(name="n" * 100_000)), 400, "inputs.0.name"),
    "name with control characters": (document(image(name="a\0\r\n")), 400, r"unexpected input 'a\x00\r\n'"),
    "unknown datatype": (document(image(datatype="STRING")), 400, "datatype: Value error, must be one of BOOL"),
    "wrong datatype": (document(image(datatype="FP32")), 400, "input 'image' must be BYTES, not FP32"),
    "wrong datatype of pixels": (document(pixels(datatype="FP32")), 400, "input 'pixels' must be UINT8, not FP32"),
    "wrong rank": (document(pixels(shape=[2, 3])), 400, "must have the shape [-1, -1, -1, 3], not [2, 3]"),
    "wrong channels": (document(pixels(shape=[1, 1, 6, 1])), 400, "must have the shape [-1, -1, -1, 3]"),
    "no images": (document(image(shape=[0], data=[])), 400, "has no elements: its shape is [0]"),
    "no shape": (document(image(shape=[])), 400, "must have the shape [-1], not []"),
    "negative shape": (document(image(shape=[-1])), 400, "inputs.0.shape.0: Input should be greater than or equal"),
    "shape of huge numbers": (document(pixels(shape=[1, 2**31, 2**31, 3])), 400, "inputs.0.shape.1"),
    "shape with a fraction": (document(image(shape=[1.0])), 400, "inputs.0.shape.0: Input should be a valid integer"),
    "shape of many dimensions": (document(image(shape=[1] * 9)), 400, "inputs.0.shape"),
    "too few elements": (document(pixels(data=[1, 2])), 400, "has 2 elements; the shape [1, 1, 2, 3] of UINT8 has 6"),
    "too many elements": (document(pixels(data=[1] * 7)), 400, "has 7 elements; the shape [1, 1, 2, 3]"),
    "more values than JSON may have": (document(pixels(data=[1] * 300_000)), 413, "more than 262144 values"),
    "elements above the datatype": (document(pixels(data=[256] * 6)), 400, "elements that are not UINT8"),
    "elements below the datatype": (document(pixels(data=[-1] * 6)), 400, "elements that are not UINT8"),
    "elements beyond every datatype": (document(pixels(data=[10**30] * 6)), 400, "elements that are not UINT8"),
    "infinite elements": (document(pixels(data=[1e308] * 6)), 400, "elements that are not UINT8"),
    "fractions": (document(pixels(data=[0.5] * 6)), 400, "elements that are not UINT8"),
    "text for numbers": (document(pixels(data=["1"] * 6)), 400, "elements that are not UINT8"),
    "null for numbers": (document(pixels(data=[None] * 6)), 400, "elements that are not UINT8"),
    "objects for numbers": (document(pixels(data=[{}] * 6)), 400, "elements that are not UINT8"),
    "ragged lists": (document(pixels(data=[[1, 2, 3], [4, 5]])), 400, "elements that are not UINT8"),
    "numbers for strings": (document(image(data=[1])), 400, "input 'image' has elements that are not strings"),
    "too many strings": (document(image(data=[BASE64] * 2)), 400, "has 2 elements; the shape [1] of BYTES has 1"),
    "deep lists of strings": (document(image(data=[[[[[[[[[[[[1]]]]]]]]]]]])), 400, "elements that are not strings"),
    "too many images": (document(image(shape=[33])), 413, "33 images in one request; at most 32 are taken"),
    "too large an image": (document(pixels(shape=[1, 10**4, 10**4, 3])), 413, "at most 50000000 are accepted"),
    "data that is text": (document(image(data=BASE64)), 400, "inputs.0.data: Input should be a valid list"),
    "neither data nor a size": (document(image(data=None)), 400, "must have either data or binary_data_size"),
    "data and a size": (document(image(parameters={"binary_data_size": 0})), 400, "either data or binary_data_size"),
    "not base64": (document(image(data=["!!!"])), 400, "the image is not valid base64"),
    "not an image": (document(image(data=["eA=="])), 415, "not an image"),
    "an image that is cut off": (document(image(data=[CUT_OFF])), 400, "truncated"),
    "shared memory": (
        document(image(parameters={"shared_memory_region": "x"})),
        400,
        "are not supported",
    ),
    "a size that is text": (document(raw("9")), 400, "binary_data_size: Input should be a valid integer"),
    "a negative size": (document(raw(-1)), 400, "binary_data_size"),
    "unknown output": (document(image(), outputs=[{"name": "boxes"}]), 400, "unexpected output 'boxes'"),
    "classes of another output": (
        document(image(), outputs=[{"name": "class_ids", "parameters": {"classification": 2}}]),
        400,
        "output 'class_ids' has no classification",
    ),
    "too many classes": (
        document(image(), outputs=[{"name": "probabilities", "parameters": {"classification": 1001}}]),
        400,
        "classification: Input should be less than or equal to 1000",
    ),
    "too many outputs": (document(image(), outputs=[{"name": "a"}] * 65), 400, "outputs: Tuple should have at most"),
    "unknown parameter": (document(image(), parameters={"sequence_id": 1}), 400, "unexpected parameter 'sequence_id'"),
    "parameter of /v1 alone": (document(image(), parameters={"model": "noop"}), 400, "unexpected parameter 'model'"),
    "parameter out of range": (document(image(), parameters={"top_k": 0}), 400, "top_k: Input should be greater"),
    "parameter of another type": (document(image(), parameters={"top_k": []}), 400, "parameters.top_k"),
    "a long parameter": (document(image(), parameters={"x": "y" * 2**17}), 400, "parameters.x"),
    "a parameter with a long name": (document(image(), parameters={"x" * 2**17: 1}), 400, "parameters."),
    "too many parameters": (document(image(), parameters={f"p{index}": 1 for index in range(65)}), 400, "parameters"),
    "a wrong timeout": (document(image(), parameters={"timeout": -1}), 400, "timeout must be a number of microseconds"),
    "binary output that is text": (
        document(image(), parameters={"binary_data_output": "yes"}),
        400,
        "binary_data_output must be true or false",
    ),
    "an id of 1 MB": (document(image(), id="i" * 10**6), 400, "id: String should have at most 1024 characters"),
    "an id that is a number": (document(image(), id=7), 400, "id: Input should be a valid string"),
    "a list": ([], 400, "the body must be a JSON object"),
}


@pytest.mark.parametrize("name", INVALID)
async def test_invalid_json_is_refused_by_name(client, name):
    given, status, text = INVALID[name]
    response = await post(client, given)
    assert (response.status_code, text in error_of(response)) == (status, True), response.text[:500]
    assert len(response.content) < 4000
    assert (await post(client, document(image()))).status_code == 200


NOT_JSON: Mapping[str, tuple[bytes, str]] = {
    "nothing": (b"", "the body is not JSON"),
    "half": (b'{"inputs":', "the body is not JSON"),
    "not UTF-8": (b'{"id":"\xff\xfe"}', "the body is not JSON"),
    "a lone surrogate": (b'{"id":"\\ud800"}', "the body is not JSON"),
    "NaN": (b'{"id":NaN}', "the body is not JSON"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "the body is not JSON"),
    "deep": (b'{"a":' * 3000 + b"1" + b"}" * 3000, "the body is not JSON"),
    "deep data": (b'{"inputs":[{"data":' + b"[" * 3000 + b"]" * 3000 + b"}]}", "the body is not JSON"),
}


@pytest.mark.parametrize("name", NOT_JSON)
async def test_what_is_not_json_is_refused_by_position(client, name):
    body, text = NOT_JSON[name]
    response = await client.post(INFER, content=body)
    assert (response.status_code, text in error_of(response)) == (400, True), response.text


BINARY: Mapping[str, tuple[Any, bytes, int, str]] = {
    "more bytes than it has": (document(raw()), IMAGE[:-1], 400, "ends at byte"),
    "bytes of no input": (document(raw()), IMAGE + b"x", 400, f"there are {len(IMAGE) + 1} bytes behind the JSON"),
    "a length beyond the end": (document(raw(8)), b"\xff\xff\xff\xffabcd", 400, "ends within an element"),
    "half a length": (document(raw(3)), b"abc", 400, "ends within an element"),
    "an element more": (document(raw(2 * len(IMAGE))), IMAGE * 2, 400, "has 2 elements; the shape [1] of BYTES has 1"),
    "an element less": (document(raw(shape=[2])), IMAGE, 400, "has 1 elements; the shape [2] of BYTES has 2"),
    "no element": (document(raw(0), image(name="x")), b"x", 400, "there are 1 bytes behind the JSON"),
    "a million empty elements": (document(raw(4 * 10**6)), bytes(4 * 10**6), 400, "has 2 elements"),
    "too few pixels": (
        document(raw(5, name="pixels", datatype="UINT8", shape=[1, 1, 2, 3])),
        b"12345",
        400,
        "has 5 bytes; the shape [1, 1, 2, 3] of UINT8 has 6",
    ),
    "wrong datatype": (document(raw(datatype="BF16")), IMAGE, 400, "input 'image' must be BYTES, not BF16"),
    "pixels of BYTES": (
        document(raw(name="pixels", shape=[1, 1, 2, 3])),
        IMAGE,
        400,
        "input 'pixels' must be UINT8, not BYTES",
    ),
}


@pytest.mark.parametrize("name", BINARY)
async def test_byte_counts_that_do_not_add_up_are_refused(client, name):
    given, data, status, text = BINARY[name]
    response = await post(client, given, data)
    assert (response.status_code, text in error_of(response)) == (status, True), response.text
    assert (await post(client, document(raw()), IMAGE)).status_code == 200


@pytest.mark.parametrize(
    "value", ["", " ", "x", "-1", "+5", "1e3", "0x10", "5, 6", "99999", "9" * 5000, "1.0", "²", "٣"]
)
async def test_bad_length_of_the_json_is_refused(client, value):
    response = await client.post(INFER, content=b"{}", headers=[(LENGTH.encode(), value.encode())])
    assert response.status_code == 400
    assert "Inference-Header-Content-Length must be a number from 0 to the 2 bytes" in error_of(response)


async def test_two_lengths_of_the_json_are_refused(client):
    response = await client.post(INFER, content=b"{}", headers=[(LENGTH, "2"), (LENGTH, "0")])
    assert response.status_code == 400
    assert "Inference-Header-Content-Length" in error_of(response)


@pytest.mark.parametrize(
    ("coding", "body", "status", "text"),
    [
        ("gzip", gzip.compress(bytes(70 * 2**20)), 413, "the body is larger than 67108864 bytes"),
        ("deflate", zlib.compress(bytes(70 * 2**20)), 413, "the body is larger than 67108864 bytes"),
        ("gzip", gzip.compress(b"{}" * 1000)[:-9], 400, "the body ends before its content encoding does"),
        ("gzip", b"{}", 400, "the body is not what its content encoding says"),
        ("br", b"{}", 415, "content encoding br is not read here; send gzip, deflate or identity"),
        ("gzip, gzip", b"{}", 415, "content encoding gzip, gzip is not read here"),
    ],
    ids=["gzip bomb", "deflate bomb", "cut off", "not compressed", "unknown", "two"],
)
async def test_compressed_body_is_inflated_within_a_limit(client, coding, body, status, text):
    response = await client.post(INFER, content=body, headers={"content-encoding": coding})
    assert (response.status_code, text in error_of(response)) == (status, True), response.text


PATHS: Mapping[str, tuple[str, str, int, str]] = {
    "unknown model": ("POST", "/v2/models/nothing/infer", 404, "no model 'nothing' is served; there are: efficient"),
    "unknown version": (
        "POST",
        f"{MODEL}/versions/9/infer",
        404,
        "no version '9' of efficientnet-lite0 is loaded",
    ),
    "empty version": ("GET", f"{MODEL}/versions/", 404, "no model"),
    "no model": ("GET", "/v2/models/", 404, "the path names no model: it is /v2/models/NAME"),
    "no name": ("POST", "/v2/models//infer", 405, "POST is for inference: /v2/models/NAME/infer"),
    "dots": ("GET", "/v2/models/%2e%2e/%2e%2e/etc/passwd", 404, "no model '../../etc/passwd' is served"),
    "encoded slashes": ("GET", "/v2/models/..%2f..%2fetc", 404, "no model '../../etc' is served"),
    "NUL": ("GET", "/v2/models/%00", 404, r"no model '\x00' is served"),
    "line breaks": ("GET", "/v2/models/a%0d%0ab", 404, "there is nothing at"),
    "not UTF-8": ("GET", "/v2/models/%ff%fe", 404, "no model '\ufffd\ufffd' is served"),
    "a long name": ("GET", f"/v2/models/{'n' * 7000}", 404, f"no model '{'n' * 80}' is served"),
    "deep": ("POST", f"/v2/models/{'a/' * 3000}infer", 404, f"no model '{'a/' * 40}' is served"),
    "many versions": ("POST", f"/v2/models/{'x/versions/' * 700}infer", 405, "POST is for inference"),
    "a trailing slash": ("GET", f"{MODEL}/", 404, "no model 'efficientnet-lite0/' is served"),
    "too long a path": ("GET", f"/v2/models/{'n' * 9000}", 414, "the path and the query have more than 8192 bytes"),
    "unknown": ("GET", "/v2/nothing", 404, "there is nothing at /v2/nothing; see /docs"),
    "another version of the protocol": ("GET", "/v2/../v2/models", 404, "there is nothing at"),
    "GET of inference": ("GET", INFER, 405, "GET is not for inference; send POST"),
    "POST of metadata": ("POST", MODEL, 405, "POST is for inference: /v2/models/NAME/infer"),
    "POST of statistics": ("POST", "/v2/models/stats", 405, "POST is for inference: /v2/models/NAME/infer"),
    "PUT": ("PUT", INFER, 405, "PUT is not for"),
    "DELETE of the index": ("DELETE", "/v2/repository/index", 405, "DELETE is not for /v2/repository/index"),
    "GET of the index": ("GET", "/v2/repository/index", 405, "GET is not for /v2/repository/index"),
    "POST of readiness": ("POST", "/v2/health/ready", 405, "POST is not for /v2/health/ready"),
}


@pytest.mark.parametrize("name", PATHS)
async def test_wrong_path_is_refused(client, name):
    method, path, status, text = PATHS[name]
    response = await client.request(method, path, content=b"{}" if method == "POST" else None)
    assert (response.status_code, text in error_of(response)) == (status, True), response.text[:500]


async def test_index_with_a_wrong_body_is_refused(client):
    for body, status, text in (
        (b"[]", 400, "the body must be a JSON object"),
        (b'{"ready":1}', 400, "ready: Input should be a valid boolean"),
        (b" " * 50_000, 413, "the body is larger than 32768 bytes"),
    ):
        response = await client.post("/v2/repository/index", content=body)
        assert (response.status_code, text in error_of(response)) == (status, True), response.text


async def test_too_many_headers_are_refused(client):
    response = await client.get("/v2", headers={f"x-{index}": "1" for index in range(200)})
    assert (response.status_code, error_of(response)) == (431, "there are more than 128 header fields")


async def test_body_above_the_limit_is_refused_before_it_is_read():
    async with gateway(FakeBackend(), max_body_bytes=32 * 2**20) as client:
        response = await client.post(INFER, content=b"", headers={"content-length": str(40 * 2**20)})
        assert (response.status_code, error_of(response)) == (413, "the body is larger than 33554432 bytes")


async def test_wrong_time_limit_is_refused(client):
    for value in ("0", "-1", "nan", "x"):
        response = await post(client, document(image()), b"", **{"x-request-timeout": value})
        assert response.status_code == 400
        assert "X-Request-Timeout must be a positive number" in error_of(response)


async def test_without_a_key_and_with_a_wrong_one_the_error_is_text():
    async with gateway(FakeBackend(), api_keys=("a-key-of-a-client",)) as client:
        missing = await client.get("/v2")
        wrong = await client.get("/v2", headers={"authorization": "Bearer another-key-of-nobody"})
        assert (missing.status_code, wrong.status_code) == (401, 403)
        assert "an API key is needed" in error_of(missing) and "not known" in error_of(wrong)
        assert missing.headers["www-authenticate"] == "Bearer"
        assert (await client.get("/v2/health/live")).status_code == 200


async def test_above_the_rate_limit_the_error_is_text():
    async with gateway(FakeBackend(), rate_limit="1/hour") as client:
        assert (await client.get("/v2")).status_code == 200
        refused = await client.get("/v2")
        assert (refused.status_code, error_of(refused)) == (429, "more than 1 per 1 hour")
        assert int(refused.headers["retry-after"]) > 1


async def test_model_that_is_not_warm_is_503():
    backend = FakeBackend()
    backend.warm = False
    async with gateway(backend) as client:
        for response in (await post(client, document(image())), await client.get(f"{MODEL}/ready")):
            assert (response.status_code, error_of(response)) == (503, "efficientnet-lite0 is not ready yet")
            assert response.headers["retry-after"]
        assert (await client.get("/v2/health/ready")).status_code == 503


async def test_slow_model_is_504():
    backend = FakeBackend()
    backend.takes_s = 30.0
    async with gateway(backend) as client:
        response = await post(client, document(image(), parameters={"timeout": 50_000}))
        assert (response.status_code, "time limit" in error_of(response)) == (504, True)


async def test_above_the_most_requests_at_a_time_the_error_is_503():
    backend = FakeBackend()
    backend.takes_s = 0.3
    async with gateway(backend, max_concurrent_requests=1, max_queued_requests=0) as client:
        responses = await asyncio.gather(*(post(client, document(image())) for _ in range(4)))
    assert sorted(response.status_code for response in responses) == [200, 503, 503, 503]
    refused = [error_of(response) for response in responses if response.status_code == 503]
    assert refused == ["too many requests at a time"] * 3


async def test_unexpected_error_is_500_without_its_text(client, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("services.gateway.open_inference.http_front.parse_request", fail)
    with structlog.testing.capture_logs() as logs:
        response = await post(client, document(image()))
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["request failed"]
    assert (response.status_code, error_of(response)) == (500, "something went wrong here")


async def test_errors_of_v1_keep_their_own_shape(client):
    for path, code in (("/v1/nothing", "not_found"), ("/v20", "not_found"), ("/v1/v2/models", "not_found")):
        assert (await client.get(path)).json()["error"]["code"] == code
