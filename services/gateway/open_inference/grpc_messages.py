"""The gRPC form of requests and responses.

Source: the protocol buffers of https://github.com/triton-inference-server/common, as tritonclient has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.errors import BodyTooLarge, InvalidParameters
from services.gateway.documents import MAX_VALUES
from services.gateway.open_inference.messages import InferRequest, InferResponse, Parameter, RequestedOutput
from services.gateway.open_inference.protobuf import pb
from services.gateway.open_inference.tensors import BYTES, DATATYPES, MAX_RANK, InputTensor

MAX_TENSORS: Final = 64
"""The most inputs, outputs or parameters of a request."""

_CONTENTS: Final = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}
"""By datatype, the field of `InferTensorContents` with its elements; the others come in binary only."""


def parse_request(message: Any, size: int) -> InferRequest:
    """Parses a `ModelInferRequest`.

    Args:
        message: The message.
        size: Its bytes.

    Raises:
        InvalidParameters: its parts do not agree.
        BodyTooLarge: it has too many elements that are not in binary.
    """
    for what in ("inputs", "outputs", "parameters"):
        if len(getattr(message, what)) > MAX_TENSORS:
            raise InvalidParameters(f"the request has more than {MAX_TENSORS} {what}")
    return InferRequest(
        inputs=_inputs(message),
        outputs=tuple(_output(one) for one in message.outputs),
        parameters=_parameters(message.parameters),
        id=message.id,
        size=size,
    )


def _inputs(message: Any) -> tuple[InputTensor, ...]:
    """The inputs with their elements: all in binary, or each with its own."""
    raw: Sequence[bytes | None] = message.raw_input_contents or (None,) * len(message.inputs)
    if len(raw) != len(message.inputs):
        raise InvalidParameters(f"there are {len(message.inputs)} inputs and {len(raw)} raw_input_contents")
    return tuple(_input(one, data) for one, data in zip(message.inputs, raw, strict=True))


def _input(sent: Any, raw: bytes | None) -> InputTensor:
    name = sent.name[:200]
    if "shared_memory_region" in sent.parameters:
        raise InvalidParameters(f"input {name!r}: tensors in shared memory are not supported: send their data")
    if sent.datatype not in DATATYPES:
        raise InvalidParameters(f"input {name!r}: datatype must be one of {', '.join(DATATYPES)}")
    shape = tuple(sent.shape)
    if len(shape) > MAX_RANK or not all(0 <= size < 2**31 for size in shape):
        raise InvalidParameters(f"input {name!r}: shape must be at most {MAX_RANK} numbers, none negative")
    if raw is not None:
        if sent.HasField("contents"):
            raise InvalidParameters(f"input {name!r} has contents, beside raw_input_contents")
        return InputTensor(sent.name, sent.datatype, shape, raw, None)
    if sent.datatype not in _CONTENTS:
        raise InvalidParameters(f"input {name!r}: {sent.datatype} comes as raw_input_contents only")
    elements = getattr(sent.contents, _CONTENTS[sent.datatype])
    if len(elements) > MAX_VALUES:
        message = f"input {name!r} has more than {MAX_VALUES} elements: send them as raw_input_contents"
        raise BodyTooLarge(message, {"max_values": MAX_VALUES})
    return InputTensor(sent.name, sent.datatype, shape, None, list(elements))


def _output(sent: Any) -> RequestedOutput:
    parameters = _parameters(sent.parameters)
    if "shared_memory_region" in parameters:
        raise InvalidParameters(f"output {sent.name[:200]!r}: tensors in shared memory are not supported")
    classes = parameters.get("classification", 0)
    if isinstance(classes, bool) or not isinstance(classes, int) or not 0 <= classes <= 1000:
        raise InvalidParameters("classification must be a number from 0 to 1000", {"parameter": "classification"})
    return RequestedOutput(sent.name, is_binary=True, classes=classes)


def _parameters(sent: Mapping[str, Any]) -> dict[str, Parameter]:
    """The values of parameters; one without a value is left out."""
    chosen = {name: value.WhichOneof("parameter_choice") for name, value in sent.items()}
    return {name: getattr(sent[name], field) for name, field in chosen.items() if field is not None}


def write_response(response: InferResponse) -> Any:
    """Writes a `ModelInferResponse`, whose outputs are all in binary."""
    message = pb.ModelInferResponse(model_name=response.model, model_version=response.version, id=response.id)
    for tensor in response.outputs:
        message.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        message.raw_output_contents.append(tensor.to_bytes())
    return message
