"""Invalid requests of the Open Inference Protocol over HTTP: each is refused with a text that says what to change."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from typing import Any

import pytest

from tests.unit.gateway.open_inference.http_requests import (
    BASE64,
    CUT_OFF,
    IMAGE,
    INFER,
    LENGTH,
    document,
    error_of,
    image,
    pixels,
    post,
    raw,
)
from tests.unit.gateway_fakes import FakeBackend, gateway

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


async def test_body_above_the_limit_is_refused_before_it_is_read():
    async with gateway(FakeBackend(), max_body_bytes=32 * 2**20) as client:
        response = await client.post(INFER, content=b"", headers={"content-length": str(40 * 2**20)})
        assert (response.status_code, error_of(response)) == (413, "the body is larger than 33554432 bytes")


async def test_index_with_a_wrong_body_is_refused(client):
    for body, status, text in (
        (b"[]", 400, "the body must be a JSON object"),
        (b'{"ready":1}', 400, "ready: Input should be a valid boolean"),
        (b" " * 50_000, 413, "the body is larger than 32768 bytes"),
    ):
        response = await client.post("/v2/repository/index", content=body)
        assert (response.status_code, text in error_of(response)) == (status, True), response.text
