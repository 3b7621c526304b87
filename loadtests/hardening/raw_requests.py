"""Requests that no HTTP library would send: bytes for a socket, each with a name."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

from loadtests.hardening.composing import MIB, Headers, RawRequest, compose
from loadtests.hardening.raw_bodies import raw_bodies
from loadtests.photos import photos


def raw_requests() -> list[RawRequest]:
    """All of them."""
    photo = photos((120, 160), ["coffee"])[0]
    return [
        *_request_lines(),
        *_header_lines(),
        *_framing(photo),
        *raw_bodies(photo),
        *_parameters(photo),
        *_upgrades(),
        *_open_inference(photo),
    ]


def _request_lines() -> Iterator[RawRequest]:
    yield RawRequest("an empty line first", b"\r\n" + compose())
    yield RawRequest("garbage", b"\x00\x01\x02\xff\xfe garbage\r\n\r\n")
    yield RawRequest("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500))
    yield RawRequest("the HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), is_http2=True)
    yield RawRequest("no version", b"GET /healthz\r\n\r\n")
    for version in ("HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "HTTP/9.9", "HTPP/1.1", "HTTP/1.1.1", "http/1.1"):
        yield RawRequest(f"version {version}", compose(version=version))
    for method in ("get", "G\x00T", "GET\t", "", "BREW", "X" * 5000, "TRACE", "PUT", "DELETE", "PATCH", "PROPFIND"):
        yield RawRequest(f"method {method[:10]!r}", compose(method))
    yield RawRequest("method CONNECT", compose("CONNECT", "localhost:443"))
    yield RawRequest("method OPTIONS *", compose("OPTIONS", "*"))
    yield RawRequest("method OPTIONS", compose("OPTIONS", "/v1/classify"))
    for path in ("/healthz", "/readyz", "/metrics", "/v1/models", "/v1/classify", "/nowhere"):
        yield RawRequest(f"HEAD {path}", compose("HEAD", path))
    targets = {
        "of 8 KiB": b"/" + b"a" * 8192,
        "of 100 KiB": b"/" + b"a" * 102_400,
        "with a space": b"/health z",
        "with a tab": b"/health\tz",
        "with NUL": b"/health\0z",
        "not ASCII": "/größe".encode(),
        "with %00": b"/v1/models/%00",
        "with %zz": b"/v1/models/%zz",
        "with %ff": b"/v1/models/%ff",
        "of dots": b"/../../etc/passwd",
        "of encoded dots": b"/v1/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "with two slashes": b"//healthz",
        "absolute": b"http://localhost/healthz",
        "absolute, elsewhere": b"http://example.com/healthz",
        "empty": b"",
        "a fragment": b"/healthz#here",
        "/-/healthz": b"/-/healthz",
        "/-/routes": b"/-/routes",
        "/v1": b"/v1",
        "/v1/classify/": b"/v1/classify/",
    }
    for name, path in targets.items():
        yield RawRequest(f"target {name}", compose(target=path))
    yield RawRequest("bare LF", compose().replace(b"\r\n", b"\n"))
    yield RawRequest("bare CR", compose().replace(b"\r\n", b"\r"))


def _header_lines() -> Iterator[RawRequest]:
    yield RawRequest("no Host", compose(host=False))
    for name, hosts in {
        "two of them": ("a", "b"),
        "empty": ("",),
        "garbage": ("\x7f<>",),
        "long": ("h" * 5000,),
        "bad port": ("localhost:99999999",),
    }.items():
        yield RawRequest(f"Host {name}", compose(host=False, headers=tuple(("Host", host) for host in hosts)))
    lines = {
        "without a colon": b"nonsense",
        "with an empty name": b": x",
        "with a space before the colon": b"Accept : */*",
        "folded": b"Accept: text/html,\r\n application/json",
        "with NUL": b"X-Thing: a\0b",
        "with CR": b"X-Thing: a\rb",
        "not ASCII": b"X-Thing: \xff\xfe\xe4",
        "of 70 KiB": b"X-Thing: " + b"a" * 71_680,
    }
    for name, line in lines.items():
        yield RawRequest(f"a header {name}", compose().replace(b"Host: localhost", b"Host: localhost\r\n" + line))
    yield RawRequest("200 headers", compose(headers=tuple((f"X-{number}", "1") for number in range(200))))
    for value in ("", "a b", "\xff", "x" * 129, "x" * 5000, "../..", "a\tb"):
        yield RawRequest(
            f"X-Request-ID {value[:8]!r}, of {len(value)}", compose("POST", "/v1/classify", (("X-Request-ID", value),))
        )
    yield RawRequest(
        "two X-Request-ID", compose("POST", "/v1/classify", (("X-Request-ID", "one"), ("X-Request-ID", "two")))
    )
    for value in ("nan", "inf", "-1", "0", "1e400", "0x10", "", "1, 2"):
        headers = (("X-Request-Timeout", value), ("Content-Type", "image/jpeg"))
        yield RawRequest(f"X-Request-Timeout {value!r}", compose("POST", "/v1/classify", headers, b"\xff\xd8\xff"))
    for value in ("a" * 50_000, "*/*;q=nan", ";;;,,,", "image/png;q=2", ",".join(["image/x"] * 5000), "\xff/\xff"):
        headers = (("Accept", value), ("Content-Type", "image/jpeg"))
        yield RawRequest(f"Accept {value[:12]!r}", compose("POST", "/v1/classify", headers, b"\xff\xd8\xff"))


def _framing(photo: bytes) -> Iterator[RawRequest]:
    inner = compose(target="/v1/models")
    image = ("Content-Type", "image/jpeg")
    chunked = ("Transfer-Encoding", "chunked")

    def post(name: str, headers: Headers, body: bytes, **more: bool) -> RawRequest:
        return RawRequest(name, compose("POST", "/v1/classify", (image, *headers), body, framed=False), **more)

    yield post("length and chunks", (("Content-Length", "4"), chunked), b"0\r\n\r\n" + inner)
    yield post("chunks and length", (chunked, ("Content-Length", "6")), b"0\r\n\r\nG")
    for value in ("xchunked", "chunked, identity", "identity", "chunked, chunked", "\tchunked", "Chunked", "gzip"):
        body = b"0\r\n\r\n" + inner
        yield post(f"Transfer-Encoding {value!r}", (("Transfer-Encoding", value),), body)
    yield post("Transfer-Encoding twice", (chunked, ("Transfer-Encoding", "identity")), b"0\r\n\r\n" + inner)
    for value in ("-1", "+5", "5, 5", "5, 6", "0x10", "1e3", "99999999999999999999", "", " ", "5 5", "\uff15".encode()):
        yield post(f"Content-Length {value!r}", (("Content-Length", value),), b"12345" + inner)
    yield post("Content-Length twice, equal", (("Content-Length", "5"), ("Content-Length", "5")), b"12345")
    yield post("Content-Length twice, unequal", (("Content-Length", "5"), ("Content-Length", "0")), b"12345" + inner)
    chunks = {
        "of a negative size": b"-5\r\n12345\r\n0\r\n\r\n",
        "of a size with 0x": b"0x5\r\n12345\r\n0\r\n\r\n",
        "of an overflowing size": b"FFFFFFFFFFFFFFFFF\r\n12345\r\n0\r\n\r\n",
        "of no size": b"\r\n12345\r\n0\r\n\r\n",
        "without its line end": b"5\r\n123450\r\n\r\n",
        "with a long extension": b"5;" + b"x" * 20_000 + b"\r\n12345\r\n0\r\n\r\n",
        "with trailers": b"5\r\n12345\r\n0\r\nX-Late: 1\r\nHost: other\r\n\r\n",
        "of one byte each": b"".join(b"1\r\n%c\r\n" % byte for byte in photo) + b"0\r\n\r\n",
    }
    for name, body in chunks.items():
        yield post(f"a chunk {name}", (chunked,), body)
    yield post("no last chunk", (chunked,), b"5\r\n12345\r\n", hangs_up=True)
    yield post("a body cut short", (("Content-Length", "5000"),), photo[:100], hangs_up=True)
    yield post("a body that is too long", (("Content-Length", "5"),), photo)
    yield post("a body of 65 MiB, declared", (("Content-Length", str(65 * MIB)),), b"x", hangs_up=True)
    yield RawRequest(
        "Expect: 100-continue", compose("POST", "/v1/classify", (image, ("Expect", "100-continue")), photo)
    )
    yield RawRequest("Expect: something else", compose("POST", "/v1/classify", (image, ("Expect", "magic")), photo))
    yield RawRequest("GET with a body", compose("GET", "/healthz", (), b"hello"))
    yield RawRequest("two requests at once", compose().replace(b"Connection: close\r\n", b"") + compose(), 2)
    yield RawRequest("100 requests at once", compose().replace(b"Connection: close\r\n", b"") * 99 + compose(), 100)


def _parameters(photo: bytes) -> Iterator[RawRequest]:
    queries = {
        "given twice": "top_k=1&top_k=2",
        "unknown": "nothing=1",
        "too large": "top_k=1000000000",
        "NaN": "top_k=NaN",
        "a path": "model=../../etc/passwd",
        "of 10,000 characters": "model=" + "m" * 10_000,
        "with NUL": "model=%00",
        "not UTF-8": "model=%ff%fe",
        "2,000 of them": "&".join(f"p{number}=1" for number in range(2000)),
        "of separators": "&" * 5000,
        "without a name": "=1",
    }
    for name, query in queries.items():
        request = compose("POST", f"/v1/classify?{query}", (("Content-Type", "image/jpeg"),), photo)
        yield RawRequest(f"a parameter {name}", request)


def _upgrades() -> Iterator[RawRequest]:
    websocket = (
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    )
    for name, headers in {
        "to a WebSocket": websocket,
        "to h2c": (("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")),
        "to nonsense": (("Upgrade", "x" * 1000),),
    }.items():
        request = compose("GET", "/v1/classify", headers).replace(b"Connection: close", b"Connection: Upgrade, close")
        yield RawRequest(f"an upgrade {name}", request)


def _open_inference(photo: bytes) -> Iterator[RawRequest]:
    model = "/v2/models/efficientnet-lite0"
    names = {
        "with %00": b"%00",
        "with %ff": b"%ff%fe",
        "of encoded dots": b"%2e%2e/%2e%2e/etc/passwd",
        "with a line break": b"a%0d%0ab",
        "of 7,000 characters": b"n" * 7000,
        "of 10,000 characters": b"n" * 10_000,
        "deep": b"a/" * 3000,
        "empty": b"",
    }
    for name, value in names.items():
        yield RawRequest(f"a model's name {name}", compose("GET", b"/v2/models/" + value))
        yield RawRequest(f"inference, a name {name}", compose("POST", b"/v2/models/" + value + b"/infer", (), b"{}"))
    for method in ("PUT", "DELETE", "GET", "HEAD"):
        yield RawRequest(f"inference by {method}", compose(method, f"{model}/infer"))
    yield RawRequest("an unknown version", compose("POST", f"{model}/versions/9/infer", (), b"{}"))
    for value in ("", "x", "-1", "+2", "1e3", "99999999999999999999", "5, 6", "\xb2", "3"):
        headers = (("Inference-Header-Content-Length", value),)
        yield RawRequest(f"a length of the JSON {value!r}", compose("POST", f"{model}/infer", headers, b"{}"))
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1]}
    documents = {
        "empty": b"",
        "not UTF-8": b'{"id": "\xff\xfe"}',
        "deep": b'{"inputs":' * 100_000,
        "of 100,000 inputs": b'{"inputs": [' + b",".join([b"{}"] * 100_000) + b"]}",
        "with an id of 1 MB": json.dumps({"id": "i" * MIB, "inputs": [tensor]}).encode(),
        "with a shape of huge numbers": json.dumps(
            {"inputs": [{**tensor, "shape": [2**31 - 1] * 8, "data": []}]}
        ).encode(),
        "with bytes that are missing": json.dumps(
            {"inputs": [{**tensor, "parameters": {"binary_data_size": 10**9}}]}
        ).encode(),
    }
    for name, body in documents.items():
        yield RawRequest(f"inference, JSON {name}", compose("POST", f"{model}/infer", (), body))
    zeros = gzip.compress(bytes(80 * MIB))
    headers = (("Content-Encoding", "gzip"),)
    yield RawRequest("inference, a gzip bomb", compose("POST", f"{model}/infer", headers, zeros))
    headers = (("Inference-Header-Content-Length", "0"),)
    yield RawRequest("inference, a photo alone", compose("POST", f"{model}/infer", headers, photo))
