"""Large JSON bodies are read as small ones are."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

import orjson
import pytest

from services.errors import RequestError
from services.gateway.documents import LONG, parse_object
from services.gateway.serving.offload import NO_LIMIT
from tests.unit.gateway_fakes import FakeBackend, classify, gateway, png

JSON = {"content-type": "application/json"}
FILLER = "f" * 2**20
"""Makes a body large."""


@pytest.mark.parametrize(
    "document",
    [
        {"a": "x" * (LONG + 1)},
        {"a": ["é" * LONG, {"b": "y" * LONG * 3}, 5, None]},
        {"a": 'quo"te' * LONG, "b": "back\\slash" * LONG, "c": "\\" * 9 + "z" * LONG},
        {"a": "\n" * LONG, "b": "\U0001f600" * LONG},
        {"a": base64.b64encode(os.urandom(3 * 2**20)).decode()},
    ],
)
def test_long_strings_come_back_as_they_were_sent(document: dict[str, Any]):
    document = {**document, "filler": FILLER}
    assert parse_object(orjson.dumps(document), NO_LIMIT) == document
    assert parse_object(json.dumps(document, indent=2).encode(), NO_LIMIT) == document


def test_base64_with_escaped_slashes_is_read_as_php_writes_it():
    text = base64.b64encode(os.urandom(3 * 2**20)).decode()
    body = b'{"a":"%b"}' % text.replace("/", "\\/").encode()
    assert parse_object(body, NO_LIMIT) == {"a": text}


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":"%b"' % (b"x" * 2**21),
        b'{"a":"%b}' % (b"x" * 2**21),
        b'{"a":"\xff%b"}' % (b"x" * 2**21),
        b'{"a":"\xed\xa0\x80%b"}' % (b"x" * 2**21),
        b'{"%b":1}' % (b"x" * 2**21),
        b'["%b"]' % (b"x" * 2**21),
        b'{"a":"' + b"\\" * 2**21 + b'"}',
        b'"' * 2**20 + b" ",
    ],
)
def test_large_body_that_is_no_json_object_is_refused(body: bytes):
    with pytest.raises(RequestError) as refused:
        parse_object(body, NO_LIMIT)
    assert refused.value.status in (400, 413)


def test_long_base64_stays_bytes_where_that_is_wanted():
    text = base64.b64encode(os.urandom(3 * 2**20))
    body = b'{"image":{"base64":"%b"},"other":"%b"}' % (text.replace(b"/", b"\\/"), text)
    document = parse_object(body, NO_LIMIT, "base64")
    assert bytes(document["image"]["base64"]) == text and document["other"] == text.decode()


async def test_large_image_in_json_is_the_image():
    image = png(7) + os.urandom(3 * 2**20)
    text = base64.b64encode(image).decode()
    async with gateway(FakeBackend()) as client:
        raw = await classify(client, image)
        answers = [
            await client.post("/v1/classify", headers=JSON, content=b'{"image":{"base64":"%b"}}' % written.encode())
            for written in (text, text.replace("/", "\\/"), "data:image/png;base64," + text)
        ]
        wrong = [
            await client.post("/v1/classify", headers=JSON, content=b'{"image":{"base64":"%b"}}' % written.encode())
            for written in (text[:-2], text[:400_000] + "=" + text[400_001:], text[:400_000] + "*" + text[400_001:])
        ]
    assert [answer.json()["predictions"] for answer in answers] == [raw.json()["predictions"]] * 3
    assert [answer.json()["error"]["code"] for answer in wrong] == ["malformed_request"] * 3
