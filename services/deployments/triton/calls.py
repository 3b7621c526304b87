"""Inference calls to one model at a Triton server: several attempts within one time limit, errors by kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

from numpy.typing import NDArray
from tritonclient.grpc import InferInput
from tritonclient.utils import InferenceServerException

from models.export.naming import ServerModel
from services.deployments.triton.connection import TritonConnection
from services.deployments.triton.signature import ServerMismatch, Signature

RETRY_PAUSE_S: Final = 0.05
_UNAVAILABLE: Final = "StatusCode.UNAVAILABLE"
_OF_THE_SERVER: Final = frozenset({_UNAVAILABLE, "StatusCode.NOT_FOUND", "StatusCode.CANCELLED"})
"""Statuses that concern the server or the whole model; others concern one batch."""

Arrays = tuple[NDArray[Any], ...]


class ServerUnavailable(Exception):
    """The server does not answer, or does not have the model."""


class ServerTooSlow(ServerUnavailable):
    """The server did not answer within the time limit."""


class ServerCalls:
    """Calls to one model; use it on the event loop of the connection only.

    Args:
        connection: To the server.
        place: Name and version of the model there.
    """

    def __init__(self, connection: TritonConnection, place: ServerModel) -> None:
        self._client = connection.client
        self._options = connection.options
        self._place = place

    async def is_ready(self) -> bool:
        """Whether the server says that the model is ready.

        Raises:
            ServerUnavailable: it does not answer.
        """
        async with _limit(self._options.timeout_s):
            return bool(await self._client.is_model_ready(*self._place))

    async def signature(self) -> Signature:
        """Inputs and outputs of the model.

        Raises:
            ServerUnavailable: the server does not answer, or does not have the model.
            ServerMismatch: this is no image network.
        """
        async with _limit(self._options.timeout_s):
            metadata = await self._client.get_model_metadata(*self._place)
            config = await self._client.get_model_config(*self._place)
            return Signature.of(metadata, config)

    async def infer(self, signature: Signature, tensor: InferInput) -> Arrays:
        """Runs the model on a batch. Inference is idempotent, so a call that was lost is sent again.

        Returns:
            The outputs in the order of the signature.

        Raises:
            ServerUnavailable: the server does not answer, further attempts included, or does not have the model.
            ServerMismatch: it returned other outputs.
            InferenceServerException: it failed on this batch.
        """
        async with _limit(self._options.timeout_s):
            for attempt in range(self._options.retries):
                try:
                    return await self._once(signature, tensor)
                except InferenceServerException as error:
                    if error.status() != _UNAVAILABLE:
                        raise
                await asyncio.sleep(RETRY_PAUSE_S * 2**attempt)
            return await self._once(signature, tensor)

    async def _once(self, signature: Signature, tensor: InferInput) -> Arrays:
        answer: Any = await self._client.infer(self._place.name, [tensor], self._place.version)
        outputs: Arrays = tuple(answer.as_numpy(name) for name in signature.output_names)
        images = tensor.shape()[0]
        if any(output is None or output.shape[:1] != (images,) for output in outputs):
            raise ServerMismatch(f"an output is missing, or does not belong to {images} images")
        return outputs


@asynccontextmanager
async def _limit(seconds: float) -> AsyncGenerator[None]:
    """A time limit, and the translation of errors that concern the server."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise ServerTooSlow(f"no answer within {seconds:g} s") from None
    except InferenceServerException as error:
        if error.status() not in _OF_THE_SERVER:
            raise
        raise ServerUnavailable(error.message()) from None
