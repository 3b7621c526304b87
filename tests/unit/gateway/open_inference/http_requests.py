"""Requests of the Open Inference Protocol over HTTP, and their errors as tritonclient reads them."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
from tritonclient.http._utils import _get_error
from tritonclient.utils import InferenceServerException

from tests.unit.gateway_fakes import broken_inside, png

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
    """The JSON of a request."""
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
