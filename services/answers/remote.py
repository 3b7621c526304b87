"""Answers images by asking a server: a few requests at a time, answers in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from models.entries import Task
from services.answers.image_problem import Problem
from services.client import AsyncClient, TapetumError
from services.client.answers import Answer
from services.client.calls import ENDPOINTS

T = TypeVar("T")

CONCURRENCY = 8

_FATAL_STATUSES = frozenset({401, 403, 404, 405, 422})
_FATAL_CODES = frozenset({"unreachable", "unexpected_answer"})
_CODES_OF_ONE_IMAGE = frozenset({"answer_too_large"})
"""Their status is one of those, and they say nothing of other images."""


@dataclass(frozen=True, slots=True)
class RemoteAnswer(Generic[T]):
    """One image and what the server says of it.

    Attributes:
        item: What the image was read from.
        image: The encoded file; empty where it could not be read.
        answer: The server's, or why there is none.
    """

    item: T
    image: bytes
    answer: Answer[Any] | Problem


@dataclass(frozen=True, slots=True)
class RemoteQuestion:
    """What a server is asked about every image.

    Attributes:
        task: What kind of answer is wanted.
        model: Who is to answer; None leaves that to the server.
        parameters: As the HTTP API names them; what is None is left to the server.
    """

    task: Task
    model: str | None
    parameters: Mapping[str, Any]


async def remote_answers(
    items: Iterable[T], read: Callable[[T], bytes | Problem], client: AsyncClient, question: RemoteQuestion
) -> AsyncGenerator[RemoteAnswer[T]]:
    """What the server says of each image, in order, as it becomes known.

    Args:
        items: Whatever stands for the images.
        read: From one of them to the encoded image, or to why there is none; called in threads.
        client: Of the server.
        question: What is asked.

    Raises:
        TapetumError: no image can be answered: the server is not there, or refuses the key, the model or a parameter.
    """
    pending: deque[asyncio.Task[RemoteAnswer[T]]] = deque()
    try:
        for item in items:
            pending.append(asyncio.create_task(_ask(item, read, client, question)))
            if len(pending) == CONCURRENCY:
                yield await pending.popleft()
        while pending:
            yield await pending.popleft()
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


async def _ask(
    item: T, read: Callable[[T], bytes | Problem], client: AsyncClient, question: RemoteQuestion
) -> RemoteAnswer[T]:
    image = await asyncio.to_thread(read, item)
    if isinstance(image, Problem):
        return RemoteAnswer(item, b"", image)
    try:
        parameters = {"model": question.model, **question.parameters}
        answer = await client.predict(ENDPOINTS[question.task], image, parameters)
    except TapetumError as error:
        if error.code in _FATAL_CODES or (error.status in _FATAL_STATUSES and error.code not in _CODES_OF_ONE_IMAGE):
            raise
        return RemoteAnswer(item, image, Problem(error.code, error.message))
    return RemoteAnswer(item, image, answer)
