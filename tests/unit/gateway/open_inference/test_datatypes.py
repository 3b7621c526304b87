"""Every datatype, large and empty tensors and every order of outputs, by all four clients of tritonclient."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

from services.gateway.open_inference.tensors import DATATYPES
from tests.unit.hosted_gateway import HostedGateway, hosted_gateway

pytestmark = pytest.mark.slow

DEPLOYMENTS = [{"name": "Classifier", "task": "classification", "models": ["noop"], "precision": "fp32"}]
CLIENTS: dict[str, Any] = {
    "http": (tritonclient.http, tritonclient.http.InferenceServerClient),
    "http.aio": (tritonclient.http, tritonclient.http.aio.InferenceServerClient),
    "grpc": (tritonclient.grpc, tritonclient.grpc.InferenceServerClient),
    "grpc.aio": (tritonclient.grpc, tritonclient.grpc.aio.InferenceServerClient),
}


@pytest.fixture(scope="module")
def gateway() -> Iterator[HostedGateway]:
    with hosted_gateway(DEPLOYMENTS) as started:
        yield started


async def infer(gateway: HostedGateway, name: str, tensor: tuple[str, str, Any], outputs: Any = None) -> Any:
    """The result of a request with one input, by one of the clients."""
    module, kind = CLIENTS[name]
    input_name, datatype, array = tensor
    given = module.InferInput(input_name, list(array.shape), datatype)
    given.set_data_from_numpy(array)
    wanted = [module.InferRequestedOutput(output) for output in outputs or ()]
    client = kind(gateway.address if "http" in name else gateway.grpc_address)
    try:
        result = client.infer("noop", [given], outputs=wanted or None)
        return await result if inspect.isawaitable(result) else result
    finally:
        closed = client.close()
        if inspect.isawaitable(closed):
            await closed


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("datatype", DATATYPES)
async def test_only_the_datatype_of_the_input_is_accepted(gateway, name, datatype):
    is_bytes = datatype == "BYTES"
    elements = np.full((1, 2, 2, 3), b"1", object) if is_bytes else np.ones((1, 2, 2, 3), triton_to_np_dtype(datatype))
    tensor = ("pixels", datatype, elements)
    if datatype == "UINT8":
        assert (await infer(gateway, name, tensor)).as_numpy("class_ids").tolist() == [[0, 1, 2, 3, 4]]
        return
    with pytest.raises(InferenceServerException, match=f"input 'pixels' must be UINT8, not {datatype}"):
        await infer(gateway, name, tensor)


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # aiohttp's, of the client
@pytest.mark.parametrize("name", CLIENTS)
async def test_a_large_tensor_is_read_whole(gateway, name):
    pixels = np.zeros((2, 1500, 1500, 3), np.uint8)
    result = await infer(gateway, name, ("pixels", "UINT8", pixels))
    assert result.as_numpy("class_ids").shape == (2, 5)


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize(
    ("input_name", "array"), [("image", np.empty(0, np.object_)), ("pixels", np.empty((1, 0, 4, 3), np.uint8))]
)
async def test_an_empty_tensor_is_refused_by_its_shape(gateway, name, input_name, array):
    datatype = "BYTES" if input_name == "image" else "UINT8"
    with pytest.raises(InferenceServerException, match=f"input '{input_name}' has no elements: its shape is"):
        await infer(gateway, name, (input_name, datatype, array))


@pytest.mark.parametrize("name", CLIENTS)
async def test_outputs_are_in_the_order_of_the_request(gateway, name):
    tensor = ("pixels", "UINT8", np.zeros((1, 4, 4, 3), np.uint8))
    for order in permutations(("probabilities", "class_ids", "class_names")):
        result = await infer(gateway, name, tensor, order)
        response = result.get_response()
        found = [one["name"] for one in response["outputs"]] if "http" in name else [o.name for o in response.outputs]
        assert tuple(found) == order
        assert result.as_numpy("class_ids").tolist() == [[0, 1, 2, 3, 4]]
        assert result.as_numpy("class_names")[0, 4] == b"class 4"
        assert result.as_numpy("probabilities")[0, 0] == np.float32(0.181818)
