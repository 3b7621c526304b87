"""A photo as an input of the Open Inference Protocol, as tritonclient sends it: in binary over HTTP, and over gRPC."""

from __future__ import annotations

import orjson

GRPC_METHOD = "/inference.GRPCInferenceService/ModelInfer"


def length_of(photo_bytes: int) -> bytes:
    """What stands before an element of BYTES."""
    return photo_bytes.to_bytes(4, "little")


def json_of(photo_bytes: int) -> bytes:
    """The JSON of a request over HTTP, whose tensor follows it; all outputs are wanted in binary."""
    parameters = {"binary_data_size": len(length_of(photo_bytes)) + photo_bytes}
    image = {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": parameters}
    return orjson.dumps({"inputs": [image], "parameters": {"binary_data_output": True}})


def grpc_message(model: str, before: bytes, stamp: bytes, after: bytes) -> tuple[bytes, bytes]:
    """A serialized `ModelInferRequest`: what goes before and after the stamp in a photo.

    Args:
        model: Name of the model.
        before: Of the photo, before the stamp.
        stamp: Any bytes of its length.
        after: Of the photo, after the stamp.
    """
    from tritonclient.grpc import service_pb2

    photo = before + stamp + after
    request = service_pb2.ModelInferRequest(  # pyright: ignore[reportAttributeAccessIssue]
        model_name=model, raw_input_contents=[length_of(len(photo)) + photo]
    )
    request.inputs.add(name="image", datatype="BYTES", shape=[1])
    message: bytes = request.SerializeToString()
    at = message.index(before) + len(before)
    return message[:at], message[at + len(stamp) :]
