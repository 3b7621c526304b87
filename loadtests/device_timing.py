"""Timing the steps of an adapter, one by one."""

import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import numpy as np
import torch
import torchvision

from loadtests.agreement import agree
from models.adapter import Adapter, ModelInput
from models.imaging import jpeg
from models.kinds import KINDS
from models.parameters import Parameters
from models.predictions import Classification, Prediction

BATCH: Final = 8
"""Images a batch where the size of the batch is not what is measured."""

AnyAdapter = Adapter[Any, Any]


class OneVariant(Hashable, Protocol):
    """One way of running a network, in so many threads."""

    @property
    def threads(self) -> int: ...


V = TypeVar("V", bound=OneVariant)


@dataclass(frozen=True)
class HostStep:
    """What one image costs in a step outside the network.

    Attributes:
        step: Its name.
        picture: (height, width) of the pictures in pixels; None where they come in several sizes.
        ms: Median milliseconds per image.
    """

    step: str
    picture: tuple[int, int] | None
    ms: float


@dataclass(frozen=True)
class BatchTiming:
    """What `Adapter.forward` costs: batch on the host to output on the host.

    Attributes:
        batch_size: Images a batch.
        ms_per_image: Median milliseconds, by image.
        cpu_ms_per_image: Median milliseconds of all threads of the process, by image.
        images_per_s: Inverse of `ms_per_image`.
        first_call_s: Seconds of the first call at this size, compiling included.
    """

    batch_size: int
    ms_per_image: float
    cpu_ms_per_image: float
    images_per_s: float
    first_call_s: float


def host_steps(
    adapter: AnyAdapter, size: tuple[int, int] | None, pictures: Sequence[bytes], device: str, seconds: float
) -> Iterator[HostStep]:
    """Measures decode, preprocess and postprocess; decoding on the GPU too where torchvision can."""
    decoded = [adapter.decode(picture) for picture in pictures]
    steps: dict[str, tuple[Callable[[], object], int]] = {
        f"decode ({'simplejpeg' if jpeg.simplejpeg else 'Pillow'})": (
            lambda: [adapter.decode(picture) for picture in pictures],
            len(pictures),
        ),
        "preprocess": (lambda: [adapter.preprocess(image) for image in decoded], len(decoded)),
    }
    if device != "cpu":
        encoded = [torch.frombuffer(bytearray(picture), dtype=torch.uint8) for picture in pictures]
        steps["decode (nvJPEG, in full)"] = (lambda: decode_on_gpu(encoded, device), len(encoded))
    for name, (run, count) in steps.items():
        try:
            yield HostStep(name, size, round(1000 * median_s(run, seconds) / count, 3))
        except RuntimeError as error:
            print(f"{name}: {error}", file=sys.stderr)
    inputs = of_one_shape([adapter.preprocess(image) for image in decoded])
    yield HostStep("postprocess", size, round(postprocess_ms(adapter, inputs, seconds), 3))


def decode_on_gpu(encoded: list[torch.Tensor], device: str) -> None:
    """Decodes JPEGs on the GPU in one call and waits for the pixels."""
    torchvision.io.decode_jpeg(encoded, mode=torchvision.io.ImageReadMode.RGB, device=device)
    torch.cuda.synchronize()


def time_in_turns(
    loaded: Mapping[V, AnyAdapter], inputs: Sequence[ModelInput], batch_size: int, seconds: float
) -> dict[V, BatchTiming]:
    """Measures `forward` over one batch, for which the inputs are repeated.

    Args:
        loaded: A model in several variants. They are run in turns, so that other load on the machine slows all of them.
        inputs: Of one shape.
        batch_size: Images a batch.
        seconds: Measure each variant this long, and five times at least, after two unmeasured runs.
    """
    batch = [inputs[index % len(inputs)] for index in range(batch_size)]
    first_s = {variant: _run(variant, adapter, batch)[0] for variant, adapter in loaded.items()}
    durations: dict[V, list[tuple[float, float]]] = {variant: [] for variant in loaded}
    while unfinished := {
        variant for variant, found in durations.items() if len(found) < 6 or sum(s for s, _ in found[1:]) < seconds
    }:
        for variant in (variant for variant in loaded if variant in unfinished):
            durations[variant].append(_run(variant, loaded[variant], batch))
    timings: dict[V, BatchTiming] = {}
    for variant, found in durations.items():
        wall_s, cpu_s = (statistics.median(each) for each in zip(*found[1:], strict=True))
        timings[variant] = BatchTiming(
            batch_size=batch_size,
            ms_per_image=round(1000 * wall_s / batch_size, 3),
            cpu_ms_per_image=round(1000 * cpu_s / batch_size, 3),
            images_per_s=round(batch_size / wall_s, 1),
            first_call_s=round(first_s[variant], 2),
        )
    return timings


def _run(variant: OneVariant, adapter: AnyAdapter, batch: Sequence[ModelInput]) -> tuple[float, float]:
    """Runs a network once; returns the seconds on the clock, and those of the process on CPUs."""
    torch.set_num_threads(variant.threads)
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    adapter.forward(batch)
    return time.perf_counter() - wall_s, time.process_time() - cpu_s


def postprocess_ms(adapter: AnyAdapter, inputs: Sequence[ModelInput], seconds: float) -> float:
    """Gives the median milliseconds of `postprocess` per image; for most tasks they depend on what is found.

    Args:
        adapter: The model.
        inputs: Of one shape; the first `BATCH` are taken.
        seconds: Measure this long.
    """
    batch = inputs[:BATCH]
    raw, wanted = adapter.forward(batch), [default_parameters(adapter)] * len(batch)
    return 1000 * median_s(lambda: adapter.postprocess(raw, batch, wanted), seconds) / len(batch)


def answers(adapter: AnyAdapter, inputs: Sequence[ModelInput]) -> list[Prediction]:
    """Gives the predictions for inputs of one shape, computed in batches of `BATCH`."""
    found: list[Prediction] = []
    for start in range(0, len(inputs), BATCH):
        batch = inputs[start : start + BATCH]
        found += adapter.postprocess(adapter.forward(batch), batch, [default_parameters(adapter)] * len(batch))
    return found


def share_of_same(given: Sequence[Prediction], expected: Sequence[Prediction]) -> float:
    """Gives the share of the pictures with the same best class, or boxes or masks where it is sure."""
    return float(np.mean([_are_same(one, other) for one, other in zip(given, expected, strict=True)]))


def of_one_shape(inputs: Sequence[ModelInput]) -> list[ModelInput]:
    """Gives those of the most frequent shape: only they can share a batch."""
    ((key, _),) = Counter(item.batch_key for item in inputs).most_common(1)
    return [item for item in inputs if item.batch_key == key]


def default_parameters(adapter: AnyAdapter) -> Parameters:
    """The model's default parameters."""
    entry = adapter.entry
    return KINDS[entry.kind].parameters(**entry.defaults)


def median_s(run: Callable[[], object], seconds: float) -> float:
    """Gives the median seconds of a call, over at least five calls and so many seconds, after two unmeasured."""
    for _ in range(2):
        run()
    durations: list[float] = []
    while len(durations) < 5 or sum(durations) < seconds:
        start = time.perf_counter()
        run()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations)


def _are_same(one: Prediction, other: Prediction) -> bool:
    if isinstance(one, Classification) and isinstance(other, Classification):
        return bool(one.class_ids[0] == other.class_ids[0])
    return agree(one, other)
