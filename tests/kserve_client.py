"""KServe's own clients, as a program of an environment that has them: `python kserve_client.py URL GRPC_ADDRESS PNG`.

It prints one JSON object: what each request returned.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import numpy as np
from kserve import (  # pyright: ignore[reportMissingImports]
    InferenceGRPCClient,
    InferenceRESTClient,
    InferInput,
    InferRequest,
    RESTConfig,
)
from kserve.protocol.infer_type import RequestedOutput  # pyright: ignore[reportMissingImports]

MODEL = "noop"
OUTPUTS = ("class_ids", "class_names", "probabilities")


def request(given: Any, outputs: Any = None) -> Any:
    """A request of one input."""
    return InferRequest(MODEL, [given], request_id="seven", request_outputs=outputs)


def requests(file: bytes) -> dict[str, Any]:
    """Requests in each form that the client has, by name."""
    binary = InferInput("image", [1], "BYTES")
    binary.set_data_from_numpy(np.array([file], dtype=object), binary_data=True)
    pixels = InferInput("pixels", [1, 8, 8, 3], "UINT8")
    pixels.set_data_from_numpy(np.zeros((1, 8, 8, 3), np.uint8), binary_data=True)
    as_json = InferInput("pixels", [1, 2, 2, 3], "UINT8", data=[1] * 12)
    wanted = [RequestedOutput(name, {"binary_data": True}) for name in OUTPUTS]
    return {
        "binary image": request(binary),
        "binary image and outputs": request(binary, wanted),
        "binary pixels": request(pixels),
        "JSON pixels": request(as_json),
    }


def seen(response: Any) -> Any:
    """The id and the outputs of a response."""
    outputs = {one.name: one.as_numpy() for one in response.outputs}
    return {"id": response.id, "outputs": {name: _texts(outputs[name]) for name in OUTPUTS}}


def _texts(values: Any) -> list[Any]:
    return [one.decode() if isinstance(one, bytes) else one for one in values.reshape(-1).tolist()]


async def error_of(call: Awaitable[Any]) -> str:
    """The text of the error that a call ends in."""
    try:
        await call
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "none"


async def main(url: str, address: str, file: bytes) -> dict[str, Any]:
    """Everything that both clients can do."""
    results: dict[str, Any] = {}
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        encoded = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(file).decode()]}
        results["REST probes"] = [
            await client.is_server_live(url),
            await client.is_server_ready(url),
            await client.is_model_ready(url, MODEL),
            await client.is_model_ready(url, "no-such-model"),
        ]
        results["REST JSON"] = seen(await client.infer(url, {"id": "seven", "inputs": [encoded]}, model_name=MODEL))
        for name, sent in requests(file).items():
            results[f"REST {name}"] = seen(await client.infer(url, sent, model_name=MODEL))
        results["REST error"] = await error_of(client.infer(url, {"inputs": []}, model_name=MODEL))
    async with InferenceGRPCClient(address) as client:
        results["gRPC probes"] = [
            await client.is_server_live(),
            await client.is_server_ready(),
            await client.is_model_ready(MODEL),
            await client.is_model_ready("no-such-model"),
        ]
        for name, sent in requests(file).items():
            results[f"gRPC {name}"] = seen(await client.infer(sent))
        typed = InferInput("image", [1], "BYTES", data=[file])
        results["gRPC typed image"] = seen(await client.infer(request(typed)))
        unknown = InferInput("x", [1], "BYTES", data=[file])
        results["gRPC error"] = await error_of(client.infer(request(unknown)))
    return results


if __name__ == "__main__":
    png = Path(sys.argv[3]).read_bytes()
    print(json.dumps(asyncio.run(main(sys.argv[1], sys.argv[2], png))))
