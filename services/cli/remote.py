"""Predicts the images of a command on a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator

from services.answers.image_problem import Problem
from services.answers.model_request import ModelRequest
from services.answers.remote import remote_answers
from services.cli.results import Result
from services.cli.sources import ImageSource, UnreadableSource
from services.client import AsyncClient, TapetumError

MAX_BYTES = 256 * 2**20
"""Larger files are not read; the server's own limit is lower."""


def answer_there(
    sources: Iterable[ImageSource], client: AsyncClient, request: ModelRequest, keep: bool = False
) -> Iterator[Result]:
    """Yields the server's result for each image, in order; closes the client at the end.

    Args:
        sources: The images.
        client: Not used by an event loop before.
        request: Task, model and parameters.
        keep: Whether results include their images.

    Raises:
        TapetumError: all requests fail: the server is unreachable, or refuses the key, the model or a parameter.
    """
    with asyncio.Runner() as runner:
        results = _results(sources, client, request, keep)

        async def following() -> Result | None:
            return await anext(results, None)

        try:
            while (result := runner.run(following())) is not None:
                yield result
        finally:
            runner.run(results.aclose())


async def _results(
    sources: Iterable[ImageSource], client: AsyncClient, request: ModelRequest, keep: bool
) -> AsyncGenerator[Result]:
    class_counts: dict[str, int | None] = {}
    async with client:
        async for remote in remote_answers(sources, _read, client, request):
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
    """Number of classes of a model."""
    try:
        return (await client.model(model)).entry.get("class_count")
    except TapetumError:  # it only decides on colours
        return None
