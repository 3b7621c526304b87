"""Answers images in this process, with no server: threads decode the next images while the network runs on these."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

from models.adapter import Adapter, ModelInput, Parameters
from models.entries import LetterboxPreprocessing, Preprocessing, Task
from models.errors import ImageError
from models.images import MAX_BYTES
from models.predictions import Prediction
from services.cli.results import Problem, Result
from services.cli.sources import ImageSource, UnreadableSource
from services.client.answers import Answer, Classification, Detections, Segmentation
from services.wire import describe_prediction

BATCH_SIZE = 16
MAX_THREADS = 8
MAX_PIXELS = BATCH_SIZE * 640 * 640
"""Of network input in one run, so that large inputs need no more memory than small ones."""

_ANSWERS: dict[Task, type[Answer[Any]]] = {
    "classification": Classification,
    "detection": Detections,
    "segmentation": Segmentation,
}


@dataclass(frozen=True, slots=True)
class _Prepared:
    input: ModelInput
    image: bytes | None


def answer_here(
    sources: Iterable[ImageSource], adapter: Adapter[Any, Any], task: Task, parameters: Parameters, keep: bool = False
) -> Iterator[Result]:
    """What the model finds in each image, in order, as it becomes known.

    Args:
        sources: The images.
        adapter: A loaded model.
        task: Its task.
        parameters: What it is told.
        keep: Whether the results are to carry their images.
    """
    pool = ThreadPoolExecutor(min(os.cpu_count() or 1, MAX_THREADS), thread_name_prefix="decode")
    try:
        for batch in _prepared_ahead(sources, adapter, pool, keep):
            predictions = _predictions(adapter, [prepared for _, prepared in batch], parameters)
            for position, (source, prepared) in enumerate(batch):
                if isinstance(prepared, Problem):
                    yield Result(source.name, prepared)
                else:
                    answer = _answer(adapter, _ANSWERS[task], predictions[position], parameters)
                    yield Result(source.name, answer, prepared.image, len(adapter.class_names))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _prepared_ahead(
    sources: Iterable[ImageSource], adapter: Adapter[Any, Any], pool: ThreadPoolExecutor, keep: bool
) -> Iterator[list[tuple[ImageSource, _Prepared | Problem]]]:
    """Batches that are ready for the network, while threads prepare the next one."""
    remaining = iter(sources)
    batch_size = _batch_size(adapter.entry.preprocessing)
    started: list[tuple[ImageSource, Future[_Prepared | Problem]]] = []
    while batch := list(islice(remaining, batch_size)):
        following = [(source, pool.submit(_prepare, adapter, source, keep)) for source in batch]
        if started:
            yield [(source, future.result()) for source, future in started]
        started = following
    if started:
        yield [(source, future.result()) for source, future in started]


def _batch_size(preprocessing: Preprocessing | LetterboxPreprocessing) -> int:
    """Images that are ready at a time: fewer where they go to the network nearly as large as they are, in tiles."""
    if isinstance(preprocessing, Preprocessing):
        return BATCH_SIZE
    return max(1, min(BATCH_SIZE, MAX_PIXELS // (preprocessing.short_side * preprocessing.long_side)))


def _prepare(adapter: Adapter[Any, Any], source: ImageSource, keep: bool) -> _Prepared | Problem:
    try:
        image = source.read(MAX_BYTES)
        return _Prepared(adapter.preprocess(adapter.decode(image)), image if keep else None)
    except UnreadableSource as error:
        return Problem("unreadable_file", str(error))
    except ImageError as error:
        return Problem(error.code, error.message)


def _predictions(
    adapter: Adapter[Any, Any], prepared: Sequence[_Prepared | Problem], parameters: Parameters
) -> dict[int, Prediction]:
    """The prediction of every image that could be prepared, by its position."""
    groups: dict[Hashable, list[int]] = {}
    inputs = {n: item.input for n, item in enumerate(prepared) if not isinstance(item, Problem)}
    for position, item in inputs.items():
        groups.setdefault(item.batch_key, []).append(position)
    found: dict[int, Prediction] = {}
    for group in groups.values():
        for positions in _runs(group, inputs[group[0]]):
            batch = [inputs[position] for position in positions]
            predictions = adapter.postprocess(adapter.forward(batch), batch, [parameters] * len(batch))
            found.update(zip(positions, predictions, strict=True))
    return found


def _runs(group: list[int], item: ModelInput) -> Iterator[list[int]]:
    """The positions of inputs of one shape, in runs of as many as may share one."""
    height, width = item.pixels.shape[:2]
    step = max(1, MAX_PIXELS // (height * width))
    return (group[start : start + step] for start in range(0, len(group), step))


def _answer(
    adapter: Adapter[Any, Any], kind: type[Answer[Any]], prediction: Prediction, parameters: Parameters
) -> Answer[Any]:
    """The answer that a server would give, read as one of its."""
    head = {"model": adapter.entry.name, "version": adapter.entry.version, "cached": False, "request_id": ""}
    return kind.parse({**head, **describe_prediction(prediction, adapter.class_names, parameters)})
