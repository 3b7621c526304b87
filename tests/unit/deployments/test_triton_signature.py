"""What a model at a Triton server takes and returns, read from the server's own messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import model_config_pb2, service_pb2

from services.deployments.triton.signature import ServerMismatch, Signature

messages: Any = service_pb2  # its classes are made at import, which pyright does not see
config_messages: Any = model_config_pb2
PIXELS, IMAGES = ("pixels", "UINT8", (-1, -1, -1, 3)), ("images", "FP32", (-1, 3, 224, 224))
LOGITS = ("logits", "FP32", (-1, 10))

Tensor = tuple[str, str, tuple[int, ...]]


def signature(inputs: list[Tensor], outputs: list[Tensor], max_batch_size: int = 8) -> Signature:
    of = messages.ModelMetadataResponse.TensorMetadata
    metadata = messages.ModelMetadataResponse(
        inputs=[of(name=name, datatype=datatype, shape=shape) for name, datatype, shape in inputs],
        outputs=[of(name=name, datatype=datatype, shape=shape) for name, datatype, shape in outputs],
    )
    config = config_messages.ModelConfig(max_batch_size=max_batch_size)
    return Signature.of(metadata, messages.ModelConfigResponse(config=config))


def test_pixels_are_sent_as_they_are():
    found = signature([PIXELS], [LOGITS, ("boxes", "FP16", (-1, 4))])
    assert found == Signature("pixels", True, ("logits", "boxes"), 8)
    tensor = found.tensor(np.zeros((2, 5, 7, 3), np.uint8))
    assert (tensor.name(), tensor.datatype(), tensor.shape()) == ("pixels", "UINT8", [2, 5, 7, 3])


def test_normalised_images_are_float():
    found = signature([IMAGES], [LOGITS], max_batch_size=0)
    assert found == Signature("images", False, ("logits",), None), "0 says that the server does not batch"
    assert found.tensor(np.zeros((1, 3, 5, 7), np.float32)).datatype() == "FP32"


@pytest.mark.parametrize(
    ("inputs", "outputs", "problem"),
    [
        ([], [LOGITS], "it has 0 inputs, not one"),
        ([PIXELS, IMAGES], [LOGITS], "it has 2 inputs, not one"),
        ([("text", "BYTES", (-1, 1))], [LOGITS], "its input is BYTES"),
        ([("grey", "FP32", (-1, 1, 28, 28))], [LOGITS], "neither UINT8 (N, H, W, 3) nor FP32 (N, 3, H, W)"),
        ([PIXELS], [("label", "INT64", (-1, 1))], "its output label is INT64, not FP32 or FP16"),
    ],
)
def test_model_that_is_no_image_network_is_refused_by_what_is_wrong(
    inputs: list[Tensor], outputs: list[Tensor], problem: str
):
    with pytest.raises(ServerMismatch) as raised:
        signature(inputs, outputs)
    assert problem in str(raised.value)
