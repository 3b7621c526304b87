"""Answers images in this process, with no server: threads decode the next images while the network runs on these.

The command line and the evaluation jobs both ask here, so that both get what a replica would answer, bit for bit in
the same JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

from models.adapter import Adapter, ModelInput, Parameters
from models.entries import LetterboxPreprocessing, Preprocessing
from models.errors import ImageError, NonFiniteOutput
from models.imaging.decoding import DecodedImage
from models.predictions import Prediction
from services.answers.image_problem import Problem
from services.answers.wire import describe_prediction
from services.machine.cpus import count_cpus

T = TypeVar("T")

BATCH_SIZE = 16
MAX_THREADS = 8
MAX_PIXELS = BATCH_SIZE * 640 * 640
"""Of network input in one run, so that large inputs need no more memory than small ones."""


@dataclass(frozen=True, slots=True)
class LocalAnswer(Generic[T]):
    """One image and what the model says of it.

    Attributes:
        item: What the image was read from.
        image: The encoded file; empty where it could not be read.
        body: As `services.answers.wire.describe_prediction` has it, or why there is none.
    """

    item: T
    image: bytes
    body: dict[str, Any] | Problem


def local_answers(
    items: Iterable[T],
    read: Callable[[T], bytes | Problem],
    adapter: Adapter[Any, Any],
    parameters: Parameters,
    decode: Callable[[bytes], DecodedImage] | None = None,
) -> Iterator[LocalAnswer[T]]:
    """What the model says of each image, in order, as it becomes known; no more than two batches are held at a time.

    Args:
        items: Whatever stands for the images.
        read: From one of them to the encoded image, or to why there is none; called in threads.
        adapter: A loaded model.
        parameters: Request parameters, such as thresholds.
        decode: In place of the adapter's own `decode`, for other caps on images.
    """
    decode = decode or adapter.decode
    pool = ThreadPoolExecutor(min(count_cpus(), MAX_THREADS), thread_name_prefix="decode")
    try:
        for batch in _prepared_ahead(items, read, adapter, decode, pool):
            predictions = _predictions(adapter, [prepared for _, prepared in batch], parameters)
            for position, (item, prepared) in enumerate(batch):
                found = prepared.input if isinstance(prepared.input, Problem) else predictions[position]
                if not isinstance(found, Problem):
                    found = describe_prediction(found, adapter.class_names, parameters)
                yield LocalAnswer(item, prepared.image, found)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Prepared:
    image: bytes
    input: ModelInput | Problem


def _prepared_ahead(
    items: Iterable[T],
    read: Callable[[T], bytes | Problem],
    adapter: Adapter[Any, Any],
    decode: Callable[[bytes], DecodedImage],
    pool: ThreadPoolExecutor,
) -> Iterator[list[tuple[T, _Prepared]]]:
    """Batches that are ready for the network, while threads prepare the next one."""
    remaining = iter(items)
    size = batch_size(adapter.entry.preprocessing)
    started: list[tuple[T, Future[_Prepared]]] = []
    while batch := list(islice(remaining, size)):
        following = [(item, pool.submit(_prepare, adapter, decode, read, item)) for item in batch]
        if started:
            yield [(item, future.result()) for item, future in started]
        started = following
    if started:
        yield [(item, future.result()) for item, future in started]


def batch_size(preprocessing: Preprocessing | LetterboxPreprocessing) -> int:
    """Images that are ready at a time: fewer where they go to the network nearly as large as they are, in tiles."""
    if isinstance(preprocessing, Preprocessing):
        return BATCH_SIZE
    return max(1, min(BATCH_SIZE, MAX_PIXELS // (preprocessing.short_side * preprocessing.long_side)))


def _prepare(
    adapter: Adapter[Any, Any],
    decode: Callable[[bytes], DecodedImage],
    read: Callable[[T], bytes | Problem],
    item: T,
) -> _Prepared:
    image = read(item)
    if isinstance(image, Problem):
        return _Prepared(b"", image)
    try:
        return _Prepared(image, adapter.preprocess(decode(image)))
    except ImageError as error:
        return _Prepared(image, Problem(error.code, error.message))


def _predictions(
    adapter: Adapter[Any, Any], prepared: Sequence[_Prepared], parameters: Parameters
) -> dict[int, Prediction | Problem]:
    """The prediction of every image that could be prepared, or why there is none, by its position."""
    groups: dict[Hashable, list[int]] = {}
    inputs = {n: item.input for n, item in enumerate(prepared) if not isinstance(item.input, Problem)}
    for position, item in inputs.items():
        groups.setdefault(item.batch_key, []).append(position)
    found: dict[int, Prediction | Problem] = {}
    for group in groups.values():
        for positions in _runs(group, inputs[group[0]]):
            batch = [inputs[position] for position in positions]
            found.update(zip(positions, _outputs(adapter, batch, parameters), strict=True))
    return found


def _outputs(
    adapter: Adapter[Any, Any], batch: Sequence[ModelInput], parameters: Parameters
) -> Sequence[Prediction | Problem]:
    """The prediction of every image of a batch; where the network gives no numbers for one, it fails alone."""
    try:
        return adapter.postprocess(adapter.forward(batch), batch, [parameters] * len(batch))
    except NonFiniteOutput as error:
        if len(batch) == 1:
            return [Problem(error.code, str(error))]
    return [output for item in batch for output in _outputs(adapter, [item], parameters)]


def _runs(group: list[int], item: ModelInput) -> Iterator[list[int]]:
    """The positions of inputs of one shape, in runs of as many as may share one."""
    height, width = item.pixels.shape[:2]
    step = max(1, MAX_PIXELS // (height * width))
    return (group[start : start + step] for start in range(0, len(group), step))
