"""Requests with bodies that are damaged, huge, or not what their headers say."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator

from loadtests.hardening.composing import MIB, RawRequest, compose


def raw_bodies(photo: bytes) -> Iterator[RawRequest]:
    """Requests to classify.

    Args:
        photo: An image that can be read.
    """
    yield from _media_types(photo)
    yield from _parts()
    yield from _documents()
    yield from _encodings(photo)


def _post(name: str, content_type: str | bytes, body: bytes, *headers: tuple[str, str]) -> RawRequest:
    return RawRequest(name, compose("POST", "/v1/classify", (("Content-Type", content_type), *headers), body))


def _media_types(photo: bytes) -> Iterator[RawRequest]:
    for content_type in (
        *("", "image", "image/", "/", "text/html", "application/x-www-form-urlencoded", "application/xml"),
        *("multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "b" * 3000),
        *("multipart/form-data; boundary=\xe4\xf6", "multipart/mixed; boundary=b", "application/json; charset=utf-16"),
    ):
        yield _post(f"Content-Type {content_type[:40]!r}", content_type, photo)
    for charset in ("utf-16", "utf-7", "idna", "punycode", "rot13", "base64", "nonsense", "undefined", "\xff", "zlib"):
        yield _post(
            f"multipart charset {charset!r}",
            f"multipart/form-data; boundary=b; charset={charset}",
            _part('form-data; name="top_k"', "3") + _part('form-data; name="image"; filename="a"', "x") + b"--b--\r\n",
        )


def _parts() -> Iterator[RawRequest]:
    parts = {
        "without a disposition": b"--b\r\nX: 1\r\n\r\nx\r\n--b--\r\n",
        "without a name": _part("form-data", "x") + b"--b--\r\n",
        "with a name of bytes": _part('form-data; name="\xff\xfe"; filename="a"', "x") + b"--b--\r\n",
        "with filename*": _part("form-data; name=image; filename*=utf-16''%ff%fe%00", "x") + b"--b--\r\n",
        "with _charset_": _part('form-data; name="_charset_"', "utf-7") + _part('form-data; name="top_k"', "+AGE-"),
        "without an end": _part('form-data; name="image"; filename="a"', "x"),
        "with no lines": b"garbage",
        "by the thousand": _part('form-data; name="a"', "x") * 5000 + b"--b--\r\n",
        "with a header of 100 KiB": b"--b\r\nX: " + b"a" * 102_400 + b"\r\n\r\nx\r\n--b--\r\n",
        "with 5,000 headers": b"--b\r\n" + b"X: 1\r\n" * 5000 + b"\r\nx\r\n--b--\r\n",
    }
    for name, body in parts.items():
        yield _post(f"a part {name}", "multipart/form-data; boundary=b", body)


def _part(disposition: str, content: str) -> bytes:
    return f"--b\r\nContent-Disposition: {disposition}\r\n\r\n{content}\r\n".encode("latin-1")


def _documents() -> Iterator[RawRequest]:
    documents = {
        "not JSON": b"{",
        "empty": b" ",
        "a list": b"[]",
        "null": b"null",
        "deep": b"[" * 100_000 + b"]" * 100_000,
        "deep, in an object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        "with a lone surrogate": b'{"image": {"base64": "\\ud800"}}',
        "with a key that is a lone surrogate": b'{"\\udfff": 1}',
        "with NaN": b'{"image": {"base64": "eA=="}, "top_k": NaN}',
        "with a long number": b'{"top_k": ' + b"9" * 100_000 + b"}",
        "in UTF-16": json.dumps({"image": {"base64": "eA=="}}).encode("utf-16"),
        "with a byte order mark": b'\xef\xbb\xbf{"image": {"base64": "eA=="}}',
        "not UTF-8": b'{"image": {"base64": "\xff\xfe"}}',
        "with base64 that is none": b'{"image": {"base64": "!!!"}}',
        "with 10,000 images": b'{"images": [' + b",".join([b'{"base64": "eA=="}'] * 10_000) + b"]}",
        "with 100,000 members": b"{" + b",".join(b'"m%d": 1' % number for number in range(100_000)) + b"}",
    }
    for name, body in documents.items():
        yield _post(f"JSON {name}", "application/json", body)


def _encodings(photo: bytes) -> Iterator[RawRequest]:
    zeros = gzip.compress(bytes(80 * MIB))
    encodings = {
        "gzip": gzip.compress(photo),
        "deflate": zlib.compress(photo),
        "gzip, of a bomb": zeros,
        "gzip, of a bomb within a bomb": gzip.compress(zeros),
        "gzip, damaged": gzip.compress(photo)[:-20],
        "gzip, none": photo,
        "br": photo,
        "zstd": photo,
        "gzip, gzip": gzip.compress(gzip.compress(photo)),
        "identity": photo,
        "nonsense": photo,
    }
    for name, body in encodings.items():
        encoding = "gzip, gzip" if name == "gzip, gzip" else name.partition(",")[0]
        yield _post(f"Content-Encoding {name}", "image/jpeg", body, ("Content-Encoding", encoding))
