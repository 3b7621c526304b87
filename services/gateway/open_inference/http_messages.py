"""The HTTP form of requests and responses: JSON, with the binary data of tensors behind it.

Source: https://github.com/kserve/open-inference-protocol (REST), and Triton's binary tensor data extension.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, field_validator

from services.errors import InvalidParameters, RequestError
from services.gateway.documents import parse_object
from services.gateway.inputs import validate
from services.gateway.open_inference.images import IMAGE
from services.gateway.open_inference.messages import InferRequest, InferResponse, RequestedOutput
from services.gateway.open_inference.tensors import BYTES, DATATYPES, MAX_RANK, InputTensor
from services.gateway.serving.offload import TimeLimit

HEADER_LENGTH: Final = "inference-header-content-length"
"""Header with the bytes of the JSON before the binary data; without it, a body is JSON throughout."""

MAX_TENSORS: Final = 64
"""The most inputs or outputs of a request."""

Name = Annotated[StrictStr, Field(min_length=1, max_length=200)]
Size = Annotated[StrictInt, Field(ge=0, lt=2**31)]
Value = StrictBool | StrictInt | StrictFloat | Annotated[StrictStr, Field(max_length=2**16)]


class _Message(BaseModel):
    """A JSON object of the protocol, whose further members are ignored, as extensions may add some."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class TensorParameters(_Message):
    """Parameters of an input or an output."""

    binary_data_size: Size | None = Field(default=None, description="Bytes of the tensor behind the JSON.")
    binary_data: StrictBool | None = Field(default=None, description="Return the output in binary.")
    classification: Annotated[StrictInt, Field(ge=0, le=1000)] = Field(
        default=0, description="Return so many of the most probable classes as text."
    )
    shared_memory_region: Any = Field(default=None, description="Not supported.")

    @field_validator("shared_memory_region")
    @classmethod
    def _refuse_shared_memory(cls, value: Any) -> Any:
        if value is not None:
            raise ValueError("tensors in shared memory are not supported: send and receive their data")
        return value


class RequestInput(_Message):
    """An input of a request."""

    name: Name
    datatype: Name = Field(description="Of the tensor, such as `BYTES` or `UINT8`.")
    shape: tuple[Size, ...] = Field(max_length=MAX_RANK)
    parameters: TensorParameters = TensorParameters()
    data: list[Any] | None = Field(default=None, description="The elements, flat or nested; of an image its base64.")

    @field_validator("datatype")
    @classmethod
    def _check_datatype(cls, value: str) -> str:
        if value not in DATATYPES:
            raise ValueError(f"must be one of {', '.join(DATATYPES)}")
        return value


class RequestOutput(_Message):
    """An output that the client names."""

    name: Name
    parameters: TensorParameters = TensorParameters()


class Request(_Message):
    """A request for inference."""

    id: Annotated[StrictStr, Field(max_length=1024)] = Field(default="", description="Is echoed.")
    inputs: tuple[RequestInput, ...] = Field(max_length=MAX_TENSORS)
    outputs: tuple[RequestOutput, ...] | None = Field(default=None, max_length=MAX_TENSORS)
    parameters: dict[Annotated[str, Field(max_length=200)], Value] = Field(default={}, max_length=MAX_TENSORS)


class ResponseOutput(BaseModel):
    """An output of a response, as the documentation shows it."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[Any]


class Response(BaseModel):
    """The response to a request for inference, as the documentation shows it."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: tuple[ResponseOutput, ...]


def parse_request(body: bytes, header_length: str | None, limit: TimeLimit) -> InferRequest:
    """Parses the body of a request.

    Args:
        body: JSON, and the binary data of tensors behind it.
        header_length: The header `HEADER_LENGTH`; None: the body is JSON; 0: it is the file of one image.
        limit: Time limit of the request.

    Raises:
        RequestError: the body is not what the header or the JSON say.
    """
    size = len(body) if header_length is None else _read_length(header_length, len(body))
    if size == 0 and header_length is not None:
        return InferRequest((InputTensor(IMAGE.name, BYTES, (1,), None, [body]),), size=len(body))
    sent = validate(Request, parse_object(body[:size] if size < len(body) else body, limit))
    is_binary = sent.parameters.get("binary_data_output", False)
    if not isinstance(is_binary, bool):
        raise InvalidParameters("binary_data_output must be true or false", {"parameter": "binary_data_output"})
    return InferRequest(
        inputs=_with_data(sent.inputs, memoryview(body)[size:]),
        outputs=tuple(_named(output, is_binary=is_binary) for output in sent.outputs or ()),
        parameters=sent.parameters,
        id=sent.id,
        is_binary=is_binary,
        size=len(body),
    )


def _read_length(text: str, most: int) -> int:
    size = int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else -1
    if not 0 <= size <= most:
        raise RequestError(f"Inference-Header-Content-Length must be a number from 0 to the {most} bytes of the body")
    return size


def _with_data(inputs: Sequence[RequestInput], rest: memoryview[int]) -> tuple[InputTensor, ...]:
    """The inputs with their elements, those in binary from the bytes behind the JSON, in the order of the inputs."""
    tensors: list[InputTensor] = []
    start = 0
    for sent in inputs:
        size = sent.parameters.binary_data_size
        if (size is None) == (sent.data is None):
            raise InvalidParameters(f"input {sent.name!r} must have either data or binary_data_size")
        end = start + (size or 0)
        if end > len(rest):
            raise RequestError(f"input {sent.name!r} ends at byte {end} behind the JSON, where there are {len(rest)}")
        raw = None if size is None else rest[start:end]
        tensors.append(InputTensor(sent.name, sent.datatype, sent.shape, raw, sent.data))
        start = end
    if start != len(rest):
        raise RequestError(f"there are {len(rest)} bytes behind the JSON; the inputs have {start} of them")
    return tuple(tensors)


def _named(output: RequestOutput, *, is_binary: bool) -> RequestedOutput:
    told = output.parameters
    return RequestedOutput(
        output.name, is_binary if told.binary_data is None else told.binary_data, told.classification
    )


def write_response(response: InferResponse, binary: frozenset[str]) -> tuple[bytes, int | None]:
    """Writes the body of a response.

    Args:
        response: The response.
        binary: Names of the outputs that follow the JSON in binary.

    Returns:
        The body, and the bytes of its JSON; None where all of it is JSON.
    """
    parts: list[bytes] = []
    outputs: list[Mapping[str, Any]] = []
    for tensor in response.outputs:
        told: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if tensor.name in binary:
            parts.append(tensor.to_bytes())
            outputs.append({**told, "parameters": {"binary_data_size": len(parts[-1])}})
        else:
            outputs.append({**told, "data": tensor.to_values()})
    document: dict[str, Any] = {"model_name": response.model, "model_version": response.version}
    if response.id:
        document["id"] = response.id
    text = orjson.dumps({**document, "outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join((text, *parts)), len(text)) if parts else (text, None)
