"""Classifies images in this process, with no server: threads decode the next images while the network runs on these."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from models.adapter import Adapter, ClassificationParameters, ModelInput
from models.errors import ImageError
from models.images import MAX_BYTES
from models.predictions import Classification
from services.cli.results import Answer, ClassRow, Problem, Result
from services.cli.sources import ImageSource, UnreadableSource

BATCH_SIZE = 16
MAX_THREADS = 8
_Prepared = ModelInput | Problem


def classify_here(sources: Iterable[ImageSource], adapter: Adapter, top_k: int) -> Iterator[Result]:
    """The classes of each image, in order, as they become known.

    Args:
        sources: The images.
        adapter: A loaded classifier.
        top_k: How many classes of each.
    """
    parameters = ClassificationParameters(top_k)
    pool = ThreadPoolExecutor(min(os.cpu_count() or 1, MAX_THREADS), thread_name_prefix="decode")
    try:
        for batch in _prepared_ahead(sources, adapter, pool):
            outcomes = _classify(adapter, [prepared for _, prepared in batch], parameters)
            for (source, _), outcome in zip(batch, outcomes, strict=True):
                yield Result(source.name, outcome)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _prepared_ahead(
    sources: Iterable[ImageSource], adapter: Adapter, pool: ThreadPoolExecutor
) -> Iterator[list[tuple[ImageSource, _Prepared]]]:
    """Batches that are ready for the network, while threads prepare the next one."""
    remaining = iter(sources)
    started: list[tuple[ImageSource, Future[_Prepared]]] = []
    while batch := list(islice(remaining, BATCH_SIZE)):
        following = [(source, pool.submit(_prepare, adapter, source)) for source in batch]
        if started:
            yield [(source, future.result()) for source, future in started]
        started = following
    if started:
        yield [(source, future.result()) for source, future in started]


def _prepare(adapter: Adapter, source: ImageSource) -> _Prepared:
    try:
        return adapter.preprocess(adapter.decode(source.read(MAX_BYTES)))
    except UnreadableSource as error:
        return Problem("unreadable_file", str(error))
    except ImageError as error:
        return Problem(error.code, error.message)


def _classify(
    adapter: Adapter, prepared: Sequence[_Prepared], parameters: ClassificationParameters
) -> list[Answer | Problem]:
    """Same length, same order: what could not be prepared stays the problem that it is."""
    outcomes: list[Answer | Problem | None] = [item if isinstance(item, Problem) else None for item in prepared]
    groups: dict[Hashable, list[tuple[int, ModelInput]]] = {}
    for position, item in enumerate(prepared):
        if not isinstance(item, Problem):
            groups.setdefault(item.batch_key, []).append((position, item))
    for group in groups.values():
        inputs = [item for _, item in group]
        predictions = adapter.postprocess(adapter.forward(inputs), inputs, [parameters] * len(inputs))
        for (position, _), prediction in zip(group, predictions, strict=True):
            outcomes[position] = _answer(adapter, prediction)
    return [outcome for outcome in outcomes if outcome is not None]


def _answer(adapter: Adapter, prediction: Classification) -> Answer:
    rows = zip(prediction.class_ids.tolist(), prediction.probabilities.tolist(), strict=True)
    return Answer(
        model=adapter.entry.name,
        version=adapter.entry.version,
        image_size=prediction.image_size,
        predictions=tuple(
            ClassRow(class_id, adapter.class_names[class_id], round(probability, 6)) for class_id, probability in rows
        ),
    )
