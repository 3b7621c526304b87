"""HTTP as strangers speak it: every error has one shape and one id, and nothing odd is a fault of the service."""

from __future__ import annotations

import gzip
import json
import re
import socket
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator

import pytest
import structlog
from structlog.testing import CapturingLogger

from services.gateway import limits
from tests.unit.gateway_fakes import FakeBackend, classify, gateway, png
from tests.unit.raw_http import ask, gateway_process, request

pytestmark = pytest.mark.slow

IMAGE = "content-type: image/png"
FORM = b'--b\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n\r\n' + png() + b"\r\n--b--\r\n"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with gateway_process() as port:
        yield port


def form(head: bytes, value: bytes = b"5") -> bytes:
    """An image, and a part with this header."""
    return FORM.removesuffix(b"--b--\r\n") + b"--b\r\n" + head + b"\r\n\r\n" + value + b"\r\n--b--\r\n"


def posted(body: bytes, *headers: str, path: str = "/v1/classify") -> bytes:
    return request(path, body, *headers)


MULTIPART = "content-type: multipart/form-data; boundary=b"
FIELD = b'content-disposition: form-data; name="top_k"'

STRANGE = {
    "not http": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "unknown method": (b"BREW /healthz HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "two content lengths": (b"POST /v1/classify HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", 400),
    "negative content length": (b"POST /v1/classify HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400),
    "length and chunks": (
        b"POST /v1/classify HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "bad chunk": (b"POST /v1/classify HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
    "space in a header name": (b"GET /healthz HTTP/1.1\r\nho st: a\r\n\r\n", 400),
    "null in a header": (b"GET /v1/models HTTP/1.1\r\nx-a: \0\r\n\r\n", 400),
    "delete": (request("/v1/classify", b"", method="DELETE"), 405),
    "trace": (request("/v1/classify", b"", method="TRACE"), 405),
    "propfind": (request("/nothing", b"", method="PROPFIND"), 404),
    "a slash behind": (request("/v1/classify/", png(), IMAGE), 404),
    "null in the path": (request("/docs-assets/%00", method="GET"), 404),
    "long path of an asset": (request("/docs-assets/" + "a" * 5000, method="GET"), 404),
    "path that climbs": (request("/docs-assets/..%2f..%2fapp.py", method="GET"), 404),
    "invalid percent-encoding": (posted(png(), IMAGE, path="/v1/classify?top_k=%zz"), 422),
    "null in the query": (posted(png(), IMAGE, path="/v1/classify?model=%00"), 404),
    "surrogate in the query": (posted(png(), IMAGE, path="/v1/classify?model=%ed%a0%80"), 404),
    "bytes in the query": (posted(png(), IMAGE, path="/v1/classify?model=%ff%fe"), 404),
    "unknown charset": (posted(FORM, MULTIPART + "; charset=foo"), 200),
    "charset that is no text": (posted(FORM, MULTIPART + "; charset=hex"), 200),
    "charset that fails": (posted(FORM, MULTIPART + "; charset=idna"), 200),
    "charset that warns": (posted(form(FIELD), MULTIPART + "; charset=unicode_escape"), 200),
    "null in the charset": (posted(FORM, MULTIPART + '; charset="a\\0b"'), 200),
    "charset field": (posted(form(b'content-disposition: form-data; name="_charset_"', b"utf-7"), MULTIPART), 422),
    "field that is not utf-8": (posted(form(FIELD, b"\xff\xfe"), MULTIPART), 400),
    "name that is not utf-8": (posted(form(b'content-disposition: form-data; name="\xff"'), MULTIPART), 400),
    "header without a colon": (posted(form(b"content-disposition"), MULTIPART), 400),
    "header of bytes": (posted(form(b"\xff\xfe: \xff"), MULTIPART), 400),
    "no name": (posted(form(b"content-disposition: form-data"), MULTIPART), 400),
    "no disposition": (posted(form(b"x: y"), MULTIPART), 400),
    "extended file name": (posted(form(FIELD + b"; filename*=foo''%ff"), MULTIPART), 200),
    "no boundary": (posted(FORM, "content-type: multipart/form-data"), 400),
    "empty boundary": (posted(FORM, 'content-type: multipart/form-data; boundary=""'), 400),
    "long boundary": (posted(FORM, "content-type: multipart/form-data; boundary=" + "b" * 1000), 400),
    "boundary of bytes": (posted(FORM, "content-type: multipart/form-data; boundary=\xff\xe9"), 400),
    "no last boundary": (posted(FORM[:-6], MULTIPART), 400),
    "lone surrogate": (posted(b'{"image":{"base64":"\\ud800"}}', "content-type: application/json"), 400),
    "surrogate bytes": (posted(b'{"model":"\xed\xa0\x80"}', "content-type: application/json"), 400),
    "deep json": (posted(b"[" * 5000 + b"]" * 5000, "content-type: application/json"), 400),
    "huge number": (posted(b'{"image":{"base64":""},"top_k":1e999}', "content-type: application/json"), 400),
    "unknown encoding": (posted(png(), IMAGE, "content-encoding: br"), 415),
    "two encodings": (posted(png(), IMAGE, "content-encoding: gzip, gzip"), 415),
    "not gzip": (posted(png(), IMAGE, "content-encoding: gzip"), 400),
    "half gzip": (posted(gzip.compress(png())[:-9], IMAGE, "content-encoding: gzip"), 400),
    "time limit that is no number": (posted(png(), IMAGE, "x-request-timeout: nan"), 422),
    "header of bytes in the request id": (posted(png(), IMAGE, "x-request-id: \xff\xfe"), 200),
    "websocket": (
        request(
            "/v1/classify",
            b"",
            "upgrade: websocket",
            "connection: upgrade",
            "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
            "sec-websocket-version: 13",
            method="GET",
        ).replace(b"content-length: 0\r\n", b""),
        404,
    ),
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_request_gets_an_error_in_the_one_shape(port: int, name: str):
    sent, status = STRANGE[name]
    answer = ask(port, sent)
    assert answer.status == status, answer.body
    body = json.loads(answer.body)
    told = body if status == 200 else body["error"]
    assert re.fullmatch(r"[!-~]{1,128}", told["request_id"])
    assert told["request_id"] == answer.headers["x-request-id"]
    if status != 200:
        assert set(told) == {"code", "message", "request_id", "details"} and "\n" not in told["message"]
        assert answer.headers["content-type"] == "application/json"


async def test_head_has_the_headers_of_get_and_no_body():
    async with gateway(FakeBackend()) as client:
        for path in ("/healthz", "/readyz", "/v1/models", "/docs"):
            head, get = await client.head(path), await client.get(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == get.headers["content-length"]
        assert (await client.head("/v1/classify")).status_code == 405


async def test_options_names_the_methods():
    async with gateway(FakeBackend()) as client:
        predict, probe = await client.options("/v1/classify"), await client.options("/healthz")
        nothing = await client.options("/nothing")
    assert [(answer.status_code, answer.headers["allow"]) for answer in (predict, probe)] == [
        (204, "POST"),
        (204, "GET"),
    ]
    assert nothing.status_code == 404


def bare_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", bare_deflate)]
)
async def test_compressed_body_is_read_within_the_cap(coding: str, pack: Callable[[bytes], bytes]):
    headers = {"content-encoding": coding}
    async with gateway(FakeBackend(), max_image_bytes=100_000) as client:
        plain = await classify(client, png())
        packed = await classify(client, pack(png()), headers=headers)
        bomb = await classify(client, pack(bytes(10_000_000)), headers=headers)
    assert packed.json()["predictions"] == plain.json()["predictions"]
    assert (bomb.status_code, bomb.json()["error"]["code"]) == (413, "body_too_large")


async def test_url_and_headers_beyond_their_caps_are_refused():
    async with gateway(FakeBackend()) as client:
        many = await client.get("/healthz", headers={f"x-{number}": "a" for number in range(200)})
        large = await client.get("/healthz", headers={"cookie": "a" * 40_000})
        url = await client.get("/healthz?" + "a" * 9_000)
        parameters = await classify(client, png(), params={str(number): "a" for number in range(100)})
    for answer in (many, large):
        assert (answer.status_code, answer.json()["error"]["code"]) == (431, "header_too_large")
    assert (url.status_code, url.json()["error"]["code"]) == (414, "url_too_long"), "as HAProxy refuses it"
    assert (parameters.status_code, parameters.json()["error"]["code"]) == (422, "invalid_parameters")


async def test_documents_follow_the_setting_of_the_probes():
    paths = ("/docs", "/openapi.json", "/docs-assets/swagger-ui.css", "/healthz")
    async with gateway(FakeBackend(), api_keys="a", open_probes=False) as client:
        closed = [(await client.get(path)).status_code for path in paths]
        with_key = [(await client.get(path, headers={"x-api-key": "a"})).status_code for path in paths]
    assert (set(closed), 401 in with_key) == ({401}, False)


ORIGIN = {"origin": "https://shop.example"}
PREFLIGHT = {**ORIGIN, "access-control-request-method": "POST", "access-control-request-headers": "x-api-key"}


async def test_web_page_of_an_allowed_origin_may_call_and_reads_its_errors():
    async with gateway(FakeBackend(), api_keys="a", cors_origins="https://shop.example") as client:
        preflight = await client.options("/v1/classify", headers=PREFLIGHT)
        answer = await classify(client, png(), headers={**ORIGIN, "x-api-key": "a"})
        refused = await classify(client, png(), headers=ORIGIN)
        stranger = await client.options("/v1/classify", headers={**PREFLIGHT, "origin": "https://other.example"})
    assert (preflight.status_code, answer.status_code, refused.status_code) == (200, 200, 401)
    for response in (preflight, answer, refused):
        assert response.headers["access-control-allow-origin"] == "https://shop.example"
    assert {"x-request-id", "server-timing", "retry-after"} <= {
        name.strip().lower() for name in refused.headers["access-control-expose-headers"].split(",")
    }
    assert (stranger.status_code, stranger.json()["error"]["code"]) == (403, "forbidden")
    assert "access-control-allow-origin" not in stranger.headers


async def test_no_web_page_may_call_by_default():
    async with gateway(FakeBackend()) as client:
        answer = await classify(client, png(), headers=ORIGIN)
    assert "access-control-allow-origin" not in answer.headers


async def test_wrong_keys_are_limited_by_address_and_logged_without_the_key(monkeypatch: pytest.MonkeyPatch):
    written = CapturingLogger()
    monkeypatch.setattr(limits, "log", structlog.wrap_logger(written, processors=[]))
    async with gateway(FakeBackend(), api_keys="right", rate_limit="3/minute") as client:
        wrong = [await classify(client, png(), headers={"x-api-key": f"guess-{number}"}) for number in range(5)]
        right = await classify(client, png(), headers={"x-api-key": "right"})
    assert [answer.status_code for answer in wrong] == [403, 403, 403, 429, 429]
    assert right.status_code == 429, "no key is looked at, so that a right guess does not show"
    assert 1 <= int(right.headers["retry-after"]) <= 60
    assert len(written.calls) == 1 and written.calls[0].kwargs["event"] == "wrong API keys"
    assert "guess-" not in repr(written.calls)


async def test_wrong_keys_are_refused_as_such_where_there_is_no_rate_limit():
    async with gateway(FakeBackend(), api_keys="right") as client:
        wrong = [(await classify(client, png(), headers={"x-api-key": "x"})).status_code for _ in range(5)]
        right = await classify(client, png(), headers={"x-api-key": "right"})
    assert (wrong, right.status_code) == ([403] * 5, 200)


async def test_client_gives_ray_serve_no_orders_and_the_gateway_one():
    code = """
import asyncio, json, socket, sys
from uvicorn import Config, Server
from services.gateway.http_server import shape_http_server

async def tell(scope, receive, send):
    body = json.dumps([[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]).encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})

shape_http_server()
server = Server(Config(tell, log_level="critical", lifespan="off"))
asyncio.run(server.serve([socket.socket(fileno=int(sys.argv[1]))]))
"""
    orders = [
        "X-Request-Disconnect-Disabled: ?0",
        "X-Request-Timeout-Seconds: 0.001",
        "X-Session-Id: \xff",
        "serve_multiplexed_model_id: \xff",
    ]
    ids = ["x-request-id: a b", "x-request-id: first", "x-request-id: second"]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-c", code, str(listener.fileno())]
        process = subprocess.Popen(command, pass_fds=[listener.fileno()])
        try:
            sent = request("/", b"", *orders, *ids, "x-other: kept", method="GET")
            told = json.loads(ask(listener.getsockname()[1], sent, 60).body)
        finally:
            process.kill()
            process.wait()
    assert [name for name, _ in told[1:]] == ["host", "content-length", "x-request-id", "x-other"]
    assert told[0] == ["x-request-disconnect-disabled", "?1"]
    assert dict(told)["x-request-id"] == "first"
