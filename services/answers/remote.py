"""Predicts images through a server: a few concurrent requests, results in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from services.answers.image_problem import Problem
from services.answers.model_request import ModelRequest
from services.client import AsyncClient, TapetumError
from services.client.answers import Answer
from services.client.calls import ENDPOINTS

T = TypeVar("T")

CONCURRENCY = 8

_FATAL_STATUSES = frozenset({401, 403, 404, 405, 422})
_FATAL_CODES = frozenset({"unreachable", "unexpected_answer"})
_CODES_OF_ONE_IMAGE = frozenset({"answer_too_large"})
"""Error codes that concern one image only, although their status is one of those."""


@dataclass(frozen=True, slots=True)
class RemoteAnswer(Generic[T]):
    """One image and the server's response.

    Attributes:
        item: The item that the image was read from.
        image: The encoded file; empty where it could not be read.
        answer: The response, or the error.
    """

    item: T
    image: bytes
    answer: Answer[Any] | Problem


async def remote_answers(
    items: Iterable[T], read: Callable[[T], bytes | Problem], client: AsyncClient, request: ModelRequest
) -> AsyncGenerator[RemoteAnswer[T]]:
    """Yields the server's response for each image, in order.

    Args:
        items: Identify the images, such as paths.
        read: Reads the encoded image of an item, or returns an error; called in threads.
        client: Of the server.
        request: Task, model and parameters.

    Raises:
        TapetumError: all requests fail: the server is unreachable, or refuses the key, the model or a parameter.
    """
    pending: deque[asyncio.Task[RemoteAnswer[T]]] = deque()
    try:
        for item in items:
            pending.append(asyncio.create_task(_ask(item, read, client, request)))
            if len(pending) == CONCURRENCY:
                yield await pending.popleft()
        while pending:
            yield await pending.popleft()
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


async def _ask(
    item: T, read: Callable[[T], bytes | Problem], client: AsyncClient, request: ModelRequest
) -> RemoteAnswer[T]:
    image = await asyncio.to_thread(read, item)
    if isinstance(image, Problem):
        return RemoteAnswer(item, b"", image)
    try:
        parameters = {"model": request.model, **request.parameters}
        answer = await client.predict(ENDPOINTS[request.task], image, parameters)
    except TapetumError as error:
        if error.code in _FATAL_CODES or (error.status in _FATAL_STATUSES and error.code not in _CODES_OF_ONE_IMAGE):
            raise
        return RemoteAnswer(item, image, Problem(error.code, error.message))
    return RemoteAnswer(item, image, answer)
