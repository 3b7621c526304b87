"""Predicts images through a server: a few concurrent requests, results in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

from services.answers.image_problem import Problem
from services.answers.model_request import ModelRequest
from services.client import AsyncClient, TapetumError
from services.client.answers import Answer
from services.client.calls import ENDPOINTS, Endpoint

T = TypeVar("T")

CONCURRENCY = 8
"""Images in flight."""
_LEAST_REQUESTS = 2
"""Requests in flight: one is read or written while another is computed."""
_REQUEST_BYTES = 2**22
"""Larger images are sent one by one."""

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
    items: Iterable[T],
    read: Callable[[T], bytes | Problem],
    client: AsyncClient,
    request: ModelRequest,
    images_per_request: int = 1,
) -> AsyncGenerator[RemoteAnswer[T]]:
    """Yields the server's response for each image, in order.

    Args:
        items: Identify the images, such as paths.
        read: Reads the encoded image of an item, or returns an error; called in threads.
        client: Of the server.
        request: Task, model and parameters.
        images_per_request: The most images of a request. Several share what a request costs, and arrive together.

    Raises:
        TapetumError: all requests fail: the server is unreachable, or refuses the key, the model or a parameter.
    """
    pending: deque[asyncio.Task[list[RemoteAnswer[T]]]] = deque()
    most = max(_LEAST_REQUESTS, CONCURRENCY // images_per_request)
    remaining = iter(items)
    try:
        while group := list(islice(remaining, images_per_request)):
            pending.append(asyncio.create_task(_ask(group, read, client, request)))
            if len(pending) == most:
                for answer in await pending.popleft():
                    yield answer
        while pending:
            for answer in await pending.popleft():
                yield answer
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


async def _ask(
    group: Sequence[T], read: Callable[[T], bytes | Problem], client: AsyncClient, request: ModelRequest
) -> list[RemoteAnswer[T]]:
    contents = await asyncio.gather(*(asyncio.to_thread(read, item) for item in group))
    images = [content for content in contents if not isinstance(content, Problem)]
    answers = iter(await _answers(images, client, request))
    return [
        RemoteAnswer(item, b"", content) if isinstance(content, Problem) else RemoteAnswer(item, content, next(answers))
        for item, content in zip(group, contents, strict=True)
    ]


async def _answers(images: Sequence[bytes], client: AsyncClient, request: ModelRequest) -> list[Answer[Any] | Problem]:
    """In one request if the images may share one; those of a request that fails are asked for one by one."""
    endpoint, parameters = ENDPOINTS[request.task], {"model": request.model, **request.parameters}
    if len(images) > 1 and sum(map(len, images)) <= _REQUEST_BYTES:
        with suppress(TapetumError):
            found = await client.predict_many(endpoint, images, parameters)
            return [_problem_of(each) if isinstance(each, TapetumError) else each for each in found]
    return [await _answer(image, client, endpoint, parameters) for image in images]


async def _answer(
    image: bytes, client: AsyncClient, endpoint: Endpoint[Any], parameters: Mapping[str, Any]
) -> Answer[Any] | Problem:
    try:
        return await client.predict(endpoint, image, parameters)
    except TapetumError as error:
        if error.code in _FATAL_CODES or (error.status in _FATAL_STATUSES and error.code not in _CODES_OF_ONE_IMAGE):
            raise
        return _problem_of(error)


def _problem_of(error: TapetumError) -> Problem:
    return Problem(error.code, error.message)
