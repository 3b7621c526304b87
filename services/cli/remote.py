"""Answers the images of a command line by asking a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator

from services.answers.image_problem import Problem
from services.answers.remote import RemoteQuestion, remote_answers
from services.cli.options import Question
from services.cli.results import Result
from services.cli.sources import ImageSource, UnreadableSource
from services.client import AsyncClient, TapetumError

MAX_BYTES = 256 * 2**20
"""Nothing larger is even read; the server's own cap is lower."""


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
        results = _results(sources, client, question, keep)

        async def following() -> Result | None:
            return await anext(results, None)

        try:
            while (result := runner.run(following())) is not None:
                yield result
        finally:
            runner.run(results.aclose())


async def _results(
    sources: Iterable[ImageSource], client: AsyncClient, question: Question, keep: bool
) -> AsyncGenerator[Result]:
    asked = RemoteQuestion(question.task, question.model, question.parameters)
    class_counts: dict[str, int | None] = {}
    async with client:
        async for remote in remote_answers(sources, _read, client, asked):
            if isinstance(remote.answer, Problem) or not keep:
                yield Result(remote.item.name, remote.answer)
                continue
            model = remote.answer.model
            if model not in class_counts:
                class_counts[model] = await _class_count(client, model)
            yield Result(remote.item.name, remote.answer, remote.image, class_counts[model])


def _read(source: ImageSource) -> bytes | Problem:
    try:
        return source.read(MAX_BYTES)
    except UnreadableSource as error:
        return Problem("unreadable_file", str(error))


async def _class_count(client: AsyncClient, model: str) -> int | None:
    """How many classes a model knows."""
    try:
        return (await client.model(model)).entry.get("class_count")
    except TapetumError:  # it only decides on colours
        return None
