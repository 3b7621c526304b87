"""Classifies images by asking a server: a few requests at a time, answers in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator

from services.cli.results import Answer, ClassRow, Problem, Result
from services.cli.sources import ImageSource, UnreadableSource
from services.client import AsyncClient, Classification, TapetumError

CONCURRENCY = 8
MAX_BYTES = 256 * 2**20
"""Nothing larger is even read; the server's own cap is lower."""

_FATAL_STATUSES = frozenset({401, 403, 404, 405, 422})
_FATAL_CODES = frozenset({"unreachable", "unexpected_answer"})


def classify_there(
    sources: Iterable[ImageSource], client: AsyncClient, model: str | None, top_k: int
) -> Iterator[Result]:
    """The classes of each image, in order, as they become known; closes the client at the end.

    Args:
        sources: The images.
        client: Not used by an event loop before.
        model: Name of a served model; the server's default where None.
        top_k: How many classes of each.

    Raises:
        TapetumError: no image can be answered: the server is not there, or refuses the key, the model or a parameter.
    """
    with asyncio.Runner() as runner:
        results = _ask_all(sources, client, model, top_k)

        async def following() -> Result | None:
            return await anext(results, None)

        while (result := runner.run(following())) is not None:
            yield result


async def _ask_all(
    sources: Iterable[ImageSource], client: AsyncClient, model: str | None, top_k: int
) -> AsyncIterator[Result]:
    pending: deque[asyncio.Task[Result]] = deque()
    async with client:
        try:
            for source in sources:
                pending.append(asyncio.create_task(_ask(source, client, model, top_k)))
                if len(pending) == CONCURRENCY:
                    yield await pending.popleft()
            while pending:
                yield await pending.popleft()
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)


async def _ask(source: ImageSource, client: AsyncClient, model: str | None, top_k: int) -> Result:
    try:
        image = await asyncio.to_thread(source.read, MAX_BYTES)
        return Result(source.name, _answer(await client.classify(image, model=model, top_k=top_k)))
    except UnreadableSource as error:
        return Result(source.name, Problem("unreadable_file", str(error)))
    except TapetumError as error:
        if error.status in _FATAL_STATUSES or error.code in _FATAL_CODES:
            raise
        return Result(source.name, Problem(error.code, error.message))


def _answer(classification: Classification) -> Answer:
    return Answer(
        model=classification.model,
        version=classification.version,
        image_size=classification.image_size,
        predictions=tuple(
            ClassRow(item.class_id, item.class_name, item.probability) for item in classification.predictions
        ),
    )
