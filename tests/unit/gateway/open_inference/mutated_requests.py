"""Damaged requests of the Open Inference Protocol, the same for the same seed: HTTP requests and gRPC messages."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from loadtests.hardening.mutations import damage
from services.gateway.open_inference.protobuf import pb
from tests.unit.gateway_fakes import png

FILE: Final = png()
ELEMENT: Final = len(FILE).to_bytes(4, "little") + FILE

_VALUES: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, -1, 2, 33, 255, 256, 2**31, -(2**31), 2**63, 2**64, 10**30, 0.5, -0.0, 1e308),
    *("", "image", "pixels", "BYTES", "UINT8", "FP16", "BF16", "\0", "\r\n", "é\U0001f600", "n" * 300, "../..", "%s"),
    *([], {}, [[]], [1], ["eA=="], [1] * 100, [[[[1, 2, 3]]]], {"binary_data_size": 3}, {"shared_memory_region": "x"}),
)

_TEXTS: Final = tuple(value for value in _VALUES if isinstance(value, str))

_NUMBERS: Final = (0, 1, -1, 2, 33, 2**31, 2**63 - 1, -(2**63))


@dataclass(frozen=True)
class HttpRequest:
    """A request for inference.

    Attributes:
        path: Its path.
        headers: Its headers.
        body: Its body.
    """

    path: str
    headers: dict[str, str]
    body: bytes


def http_requests(seed: int) -> Iterator[HttpRequest]:
    """Damaged HTTP requests without end."""
    rng = random.Random(seed)
    while True:
        document, data = copy.deepcopy(rng.choice(_documents()))
        for _ in range(rng.choice((0, 1, 1, 2, 4))):
            _change(rng, document)
        text = json.dumps(document).encode()
        body = bytearray(text + data)
        if rng.random() < 0.5:
            damage(rng, body)
        headers = {} if not data and rng.random() < 0.7 else {"inference-header-content-length": _length(rng, text)}
        if rng.random() < 0.1:
            headers["content-encoding"] = rng.choice(("gzip", "deflate", "identity", "br"))
            body = bytearray(gzip.compress(body)) if rng.random() < 0.7 else body
            if rng.random() < 0.3:
                damage(rng, body)
        if rng.random() < 0.1:
            headers["accept-encoding"] = rng.choice(("gzip", "deflate", "gzip, deflate", "*"))
        path = "/v2/models/noop/infer" if rng.random() < 0.9 else f"/v2/models/{rng.choice(_PATHS)}/infer"
        yield HttpRequest(path, headers, bytes(body))


_PATHS: Final = ("noop/versions/1", "noop/versions/7", "nothing", "%2e%2e", "%00", "%ff", "noop%0a", "a/" * 99, "noop/")


def _documents() -> tuple[tuple[dict[str, Any], bytes], ...]:
    image = {"name": "image", "datatype": "BYTES", "shape": [1]}
    pixels = {"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 2, 3]}
    text = base64.b64encode(FILE).decode()
    wanted = [{"name": "probabilities", "parameters": {"classification": 2, "binary_data": True}}]
    return (
        ({"inputs": [{**image, "data": [text]}], "id": "one"}, b""),
        ({"inputs": [{**image, "shape": [2], "data": [text, text]}], "outputs": wanted}, b""),
        ({"inputs": [{**pixels, "data": [1, 2, 3, 4, 5, 6]}], "parameters": {"top_k": 2, "timeout": 10**7}}, b""),
        ({"inputs": [{**image, "parameters": {"binary_data_size": len(ELEMENT)}}], "outputs": wanted}, ELEMENT),
        (
            {
                "inputs": [{**pixels, "parameters": {"binary_data_size": 6}}],
                "parameters": {"binary_data_output": True},
            },
            b"123456",
        ),
    )


def _length(rng: random.Random, text: bytes) -> str:
    chosen = (len(text), len(text), len(text) - 1, len(text) + 1, 0, -1, 2**63, "x", "")
    return str(rng.choice(chosen))


def _change(rng: random.Random, document: dict[str, Any]) -> None:
    """Replaces, removes, adds or repeats one value somewhere in a JSON document."""
    places: list[tuple[Any, Any]] = []
    waiting: list[Any] = [document]
    while waiting:
        parent = waiting.pop()
        for key, value in list(parent.items() if isinstance(parent, dict) else enumerate(parent)):
            places.append((parent, key))
            if isinstance(value, dict | list):
                waiting.append(value)
    if not places:
        return
    parent, key = rng.choice(places)
    match rng.randrange(4):
        case 0:
            del parent[key]
        case 1 if isinstance(parent, list):
            parent.extend([parent[key]] * rng.choice((1, 2, 100)))
        case 2 if isinstance(parent, dict):
            parent[rng.choice(_TEXTS)] = copy.deepcopy(rng.choice(_VALUES))
        case _:
            parent[key] = copy.deepcopy(rng.choice(_VALUES))


def messages(seed: int) -> Iterator[bytes]:
    """Damaged messages `ModelInferRequest` without end."""
    rng = random.Random(seed)
    while True:
        message = pb.ModelInferRequest()
        message.CopyFrom(rng.choice(_messages()))
        for _ in range(rng.choice((0, 1, 1, 2, 4))):
            rng.choice(_CHANGES)(rng, message)
        data = bytearray(message.SerializeToString())
        if rng.random() < 0.5:
            damage(rng, data)
        yield bytes(data)


def valid_message() -> bytes:
    """A message that is answered."""
    return _messages()[0].SerializeToString()


def _messages() -> tuple[Any, ...]:
    Tensor = pb.ModelInferRequest.InferInputTensor
    raw = Tensor(name="image", datatype="BYTES", shape=[1])
    typed = Tensor(name="image", datatype="BYTES", shape=[1], contents={"bytes_contents": [FILE]})
    pixels = Tensor(name="pixels", datatype="UINT8", shape=[1, 1, 2, 3])
    numbers = Tensor(name="pixels", datatype="UINT8", shape=[1, 1, 2, 3], contents={"uint_contents": range(6)})
    wanted = pb.ModelInferRequest.InferRequestedOutputTensor(name="probabilities")
    wanted.parameters["classification"].int64_param = 2
    return (
        pb.ModelInferRequest(model_name="noop", inputs=[raw], raw_input_contents=[ELEMENT], id="one"),
        pb.ModelInferRequest(model_name="noop", inputs=[typed], outputs=[wanted]),
        pb.ModelInferRequest(model_name="noop", inputs=[pixels], raw_input_contents=[b"123456"]),
        pb.ModelInferRequest(model_name="noop", model_version="1", inputs=[numbers]),
    )


def _change_text(rng: random.Random, message: Any) -> None:
    setattr(message, rng.choice(("model_name", "model_version", "id")), rng.choice((*_TEXTS, "x" * 10**5)))


def _change_input(rng: random.Random, message: Any) -> None:
    for tensor in message.inputs:
        setattr(tensor, rng.choice(("name", "datatype")), rng.choice(_TEXTS))


def _change_shape(rng: random.Random, message: Any) -> None:
    for tensor in message.inputs:
        del tensor.shape[rng.randrange(5) :]
        tensor.shape.extend(rng.choice(_NUMBERS) for _ in range(rng.choice((0, 1, 1, 3, 9))))


def _change_contents(rng: random.Random, message: Any) -> None:
    for tensor in message.inputs:
        tensor.contents.uint_contents.extend([1] * rng.choice((1, 6, 100)))
        tensor.contents.fp64_contents.append(float("nan"))


def _change_raw(rng: random.Random, message: Any) -> None:
    message.raw_input_contents.extend([rng.choice((b"", ELEMENT, b"\xff" * 8))] * rng.choice((1, 2, 70)))


def _change_parameters(rng: random.Random, message: Any) -> None:
    names = ("top_k", "timeout", "binary_data_output", "classes", "probabilities", "model", "shared_memory_region", "")
    value = message.parameters[rng.choice(names)]
    match rng.randrange(5):
        case 0:
            value.int64_param = rng.choice(_NUMBERS)
        case 1:
            value.double_param = rng.choice((float("nan"), float("inf"), -1.0, 0.5))
        case 2:
            value.bool_param = True
        case 3:
            value.string_param = rng.choice((*_TEXTS, "," * 10**5))
        case _:
            pass


def _change_outputs(rng: random.Random, message: Any) -> None:
    output = message.outputs.add(name=rng.choice((*_TEXTS, "class_ids", "probabilities")))
    output.parameters["classification"].int64_param = rng.choice(_NUMBERS)


def _repeat_inputs(rng: random.Random, message: Any) -> None:
    for tensor in list(message.inputs) * rng.choice((1, 70)):
        message.inputs.add().CopyFrom(tensor)


_CHANGES: Final = (
    _change_text,
    _change_input,
    _change_shape,
    _change_contents,
    _change_raw,
    _change_parameters,
    _change_outputs,
    _repeat_inputs,
)
