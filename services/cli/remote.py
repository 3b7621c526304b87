"""Answers images by asking a server: a few requests at a time, answers in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any

from models.entries import Task
from services.cli.options import Question
from services.cli.results import Problem, Result
from services.cli.sources import ImageSource, UnreadableSource
from services.client import AsyncClient, TapetumError
from services.client.answers import Answer

CONCURRENCY = 8
MAX_BYTES = 256 * 2**20
"""Nothing larger is even read; the server's own cap is lower."""

_FATAL_STATUSES = frozenset({401, 403, 404, 405, 422})
_FATAL_CODES = frozenset({"unreachable", "unexpected_answer"})
_CODES_OF_ONE_IMAGE = frozenset({"answer_too_large"})
"""Their status is one of those, and they say nothing of other images."""
_METHODS: dict[Task, Callable[..., Awaitable[Answer[Any]]]] = {
    "classification": AsyncClient.classify,
    "detection": AsyncClient.detect,
    "segmentation": AsyncClient.segment,
}


def answer_there(
    sources: Iterable[ImageSource], client: AsyncClient, question: Question, keep: bool = False
) -> Iterator[Result]:
    """What the server finds in each image, in order, as it becomes known; closes the client at the end.

    Args:
        sources: The images.
        client: Not used by an event loop before.
        question: What is asked about each.
        keep: Whether the results are to carry their images.

    Raises:
        TapetumError: no image can be answered: the server is not there, or refuses the key, the model or a parameter.
    """
    with asyncio.Runner() as runner:
        results = _ask_all(sources, _Asker(client, question, keep))

        async def following() -> Result | None:
            return await anext(results, None)

        while (result := runner.run(following())) is not None:
            yield result


async def _ask_all(sources: Iterable[ImageSource], asker: _Asker) -> AsyncIterator[Result]:
    pending: deque[asyncio.Task[Result]] = deque()
    async with asker.client:
        try:
            for source in sources:
                pending.append(asyncio.create_task(asker.ask(source)))
                if len(pending) == CONCURRENCY:
                    yield await pending.popleft()
            while pending:
                yield await pending.popleft()
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)


class _Asker:
    """Asks one question about any image."""

    def __init__(self, client: AsyncClient, question: Question, keep: bool) -> None:
        self.client = client
        self._question = question
        self._keep = keep
        self._class_counts: dict[str, asyncio.Task[int | None]] = {}

    async def ask(self, source: ImageSource) -> Result:
        """What comes of one image.

        Raises:
            TapetumError: no other image will be answered either.
        """
        question = self._question
        try:
            image = await asyncio.to_thread(source.read, MAX_BYTES)
            answer = await _METHODS[question.task](self.client, image, model=question.model, **question.parameters)
        except UnreadableSource as error:
            return Result(source.name, Problem("unreadable_file", str(error)))
        except TapetumError as error:
            if error.code in _FATAL_CODES or (
                error.status in _FATAL_STATUSES and error.code not in _CODES_OF_ONE_IMAGE
            ):
                raise
            return Result(source.name, Problem(error.code, error.message))
        if not self._keep:
            return Result(source.name, answer)
        return Result(source.name, answer, image, await self._class_count(answer.model))

    async def _class_count(self, model: str) -> int | None:
        """How many classes a model knows, asked once."""
        if model not in self._class_counts:
            self._class_counts[model] = asyncio.create_task(self._ask_class_count(model))
        return await self._class_counts[model]

    async def _ask_class_count(self, model: str) -> int | None:
        try:
            return (await self.client.model(model)).entry.get("class_count")
        except TapetumError:  # it only decides on colours
            return None
