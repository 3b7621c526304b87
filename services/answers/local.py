"""Predicts images in this process, without a server: threads decode the next images while the network runs.

The command line and evaluation jobs use it; the JSON is bit for bit that of a replica.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Generic, TypeVar

from models.adapter import Adapter, ModelInput
from models.augmentation.choice import augmented
from models.entries import LetterboxPreprocessing, Preprocessing
from models.entries.latent_preprocessing import LatentPreprocessing
from models.entries.signal_preprocessing import SignalPreprocessing
from models.errors import ImageError, NonFiniteOutput
from models.imaging import decoding
from models.imaging.decoding import DecodedImage
from models.parameters import Parameters
from models.predictions import Prediction
from models.request_adapter import adapter_for
from services.answers.image_problem import Problem
from services.answers.wire import describe_prediction
from services.machine.cpus import count_cpus

T = TypeVar("T")

BATCH_SIZE = 16
MAX_THREADS = 8
MAX_PIXELS = BATCH_SIZE * 640 * 640
"""The most pixels of network input in one run, so that large inputs need no more memory than small ones."""


@dataclass(frozen=True, slots=True)
class LocalAnswer(Generic[T]):
    """One image and its prediction.

    Attributes:
        item: The item that the image was read from.
        image: The encoded file; empty where it could not be read.
        body: The prediction from `services.answers.wire.describe_prediction`, or the error.
    """

    item: T
    image: bytes
    body: dict[str, Any] | Problem


def local_answers(
    items: Iterable[T],
    read: Callable[[T], bytes | Problem],
    adapter: Adapter[Any, Any],
    parameters: Parameters,
    max_image_bytes: int = decoding.MAX_BYTES,
    max_image_pixels: int = decoding.MAX_PIXELS,
) -> Iterator[LocalAnswer[T]]:
    """Yields the prediction of each image, in order; at most two batches are in memory at a time.

    Args:
        items: Identify the images, such as paths.
        read: Reads the encoded image of an item, or returns an error; called in threads.
        adapter: A loaded model.
        parameters: Request parameters, such as thresholds.
        max_image_bytes: The most bytes of an encoded image.
        max_image_pixels: The most pixels of an image, height × width.
    """
    adapter = adapter_for(adapter, augmented(adapter), parameters)
    decode = partial(adapter.decode, max_bytes=max_image_bytes, max_pixels=max_image_pixels)
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
    """Yields preprocessed batches, while threads prepare the next one."""
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


def batch_size(
    preprocessing: Preprocessing | LetterboxPreprocessing | SignalPreprocessing | LatentPreprocessing,
) -> int:
    """Images that are preprocessed at a time; fewer for models that take large inputs in tiles."""
    if not isinstance(preprocessing, LetterboxPreprocessing):
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
    """The prediction or the error of every preprocessed image, by its position."""
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
    """The prediction of every image of a batch; an image with non-finite output fails alone."""
    try:
        return adapter.postprocess(adapter.forward(batch), batch, [parameters] * len(batch))
    except NonFiniteOutput as error:
        if len(batch) == 1:
            return [Problem(error.code, str(error))]
    return [output for item in batch for output in _outputs(adapter, [item], parameters)]


def _runs(group: list[int], item: ModelInput) -> Iterator[list[int]]:
    """Groups the positions of inputs by shape, in runs of limited size."""
    step = max(1, MAX_PIXELS // item.pixel_count)
    return (group[start : start + step] for start in range(0, len(group), step))
