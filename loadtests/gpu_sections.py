"""What `loadtests.gpu` measures: each section yields the rows of its table."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torchvision

from loadtests.device_pictures import SIZES, made_picture, picture_sets
from loadtests.device_timing import AnyAdapter, answers, of_one_shape, share_of_same, time_in_turns
from loadtests.device_variants import adapter_for
from models.adapter import ModelInput
from models.errors import UnsupportedRuntime
from models.execution.staging import stack
from models.imaging import decoding
from models.runtime import Precision, Runtime

Row = dict[str, object]

BATCH_SIZES: Final = (1, 8, 32, 128)
THREADS: Final = (1, 2, 4)
CLASSIFIER: Final = "efficientnet-lite0"


@dataclass(frozen=True)
class Plan:
    """What is measured on which device.

    Attributes:
        device: `cuda`, `cuda:N` or `cpu`.
        models: Names in the catalog.
        images: A folder of JPEGs, or None for made pictures, and photos where scikit-image is installed.
        batch_sizes: Of the section `models`.
        seconds: Of one measurement.
    """

    device: str
    models: Sequence[str]
    images: Path | None
    batch_sizes: Sequence[int]
    seconds: float

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device != "cpu"


@dataclass(frozen=True)
class Way:
    """One way of running a network; `threads` are those of a run on a CPU."""

    precision: Precision
    cuda_graphs: bool = False
    threads: int = 1


def staging(plan: Plan, ends_at: float) -> Iterator[Row]:
    """Batches from images on the host to the device: stacked in pageable and in page-locked memory."""
    runtime = Runtime(plan.device)
    for count, side in ((1, 224), (8, 224), (32, 224), (8, 416), (8, 640)):
        if time.monotonic() > ends_at:
            return
        images = [np.full((side, side, 3), level, np.uint8) for level in range(count)]

        def pageable(images: Sequence[Any] = images) -> None:
            torch.from_numpy(np.stack(images)).to(plan.device)
            wait(plan)

        def pinned(images: Sequence[Any] = images) -> None:
            torch.from_numpy(stack(images, runtime)).to(plan.device, non_blocking=True)
            wait(plan)

        took_ms = in_turns({"pageable_ms": pageable, "pinned_ms": pinned}, plan.seconds)
        yield {"batch": count, "side": side, **took_ms, "speedup": ratio(took_ms["pageable_ms"], took_ms["pinned_ms"])}


def decode(plan: Plan, ends_at: float) -> Iterator[Row]:
    """JPEGs to pixels: scaled on the CPU as the classifier needs them, and in full by nvJPEG, back to the host."""
    adapter = classifier(plan, Way("fp32"))
    for size in SIZES:
        if time.monotonic() > ends_at:
            return
        pictures = [made_picture(size, seed) for seed in range(8)]
        with ThreadPoolExecutor() as pool:
            took_ms = in_turns(ways_to_decode(pictures, adapter.decode, pool, plan), plan.seconds)
        yield {"picture": size, **{way: round(took / len(pictures), 3) for way, took in took_ms.items()}}


def ways_to_decode(
    pictures: list[bytes], scaled: Callable[[bytes], object], pool: Executor, plan: Plan
) -> dict[str, Callable[[], object]]:
    """The ways of decoding all pictures; those of nvJPEG where there is a GPU."""
    ways: dict[str, Callable[[], object]] = {
        "cpu_scaled_ms": lambda: [scaled(picture) for picture in pictures],
        "cpu_full_ms": lambda: [decoding.decode(picture) for picture in pictures],
        "cpu_scaled_all_cores_ms": lambda: list(pool.map(scaled, pictures)),
    }
    if plan.on_gpu:
        encoded = [torch.frombuffer(bytearray(picture), dtype=torch.uint8) for picture in pictures]
        try:
            nvjpeg(encoded, plan.device)
        except (AttributeError, RuntimeError) as error:  # a torchvision without it
            print(f"nvJPEG: {error}")
            return ways
        ways["nvjpeg_one_by_one_ms"] = lambda: [nvjpeg([one], plan.device) for one in encoded]
        ways["nvjpeg_batch_ms"] = lambda: nvjpeg(encoded, plan.device)
    return ways


def nvjpeg(encoded: list[torch.Tensor], device: str) -> list[torch.Tensor]:
    """Decodes JPEGs on the GPU; returns the pixels on the host."""
    pictures = torchvision.io.decode_jpeg(encoded, mode=torchvision.io.ImageReadMode.RGB, device=device)
    return [picture.cpu() for picture in pictures]


def share(plan: Plan, _: float) -> Iterator[Row]:
    """Whether a process that has a tenth of the GPU is refused a fifth of its memory."""
    if not plan.on_gpu:
        return
    total = torch.cuda.get_device_properties(plan.device).total_memory
    torch.cuda.set_per_process_memory_fraction(0.1, torch.device(plan.device).index or 0)
    try:
        torch.empty(total // 5, dtype=torch.uint8, device=plan.device)
        refused = False
    except torch.OutOfMemoryError:
        refused = True
    torch.cuda.set_per_process_memory_fraction(1.0, torch.device(plan.device).index or 0)
    yield {"memory_gb": round(total / 2**30, 1), "asked_for": 0.2, "of": 0.1, "refused": refused}


def threads(plan: Plan, ends_at: float) -> Iterator[Row]:
    """Threads that run batches of 8 of the classifier: on one stream and on one each, with and without graphs."""
    ways = [Way("fp32")] if not plan.on_gpu else [Way("fp16"), Way("fp16", True)]
    loaded = {way: classifier(plan, way) for way in ways}
    batch = inputs_for(loaded[ways[0]], plan, 8)
    alone = 0.0
    for way, count, streams in itertools.product(ways, THREADS, (False, True) if plan.on_gpu else (False,)):
        if time.monotonic() > ends_at:
            return
        rates = [images_per_s(loaded[way], batch, plan, count, streams) for _ in range(3)][1:]
        rate = statistics.mean(rates)
        alone = alone or rate
        yield {
            "threads": count,
            "own_streams": streams,
            "cuda_graphs": way.cuda_graphs,
            "images_per_s": round(rate),
            "speedup": ratio(rate, alone),
        }


def images_per_s(adapter: AnyAdapter, batch: Sequence[ModelInput], plan: Plan, count: int, streams: bool) -> float:
    """Gives the rate of so many threads that run the same batch again and again."""
    started_at = time.perf_counter()

    def work(_: int) -> int:
        done = 0
        while time.perf_counter() < started_at + plan.seconds:
            adapter.forward(batch)
            done += len(batch)
        return done

    initializer = (lambda: torch.cuda.set_stream(torch.cuda.Stream(plan.device))) if streams else None
    with ThreadPoolExecutor(count, initializer=initializer) as pool:
        done = sum(pool.map(work, range(count)))
    return done / (time.perf_counter() - started_at)


def models(plan: Plan, ends_at: float) -> Iterator[Row]:
    """Each model: precisions against float32, in speed and in predictions, and CUDA graphs against none."""
    ways = [Way("fp32"), Way("bf16"), *([Way("fp16"), Way("fp16", True)] if plan.on_gpu else [])]
    for index, name in enumerate(plan.models):
        now = time.monotonic()
        model_ends_at = now + (ends_at - now) / (len(plan.models) - index)
        loaded = dict(loadable(name, plan, ways))
        some = inputs_for(loaded[ways[0]], plan, 8)
        expected = answers(loaded[ways[0]], some)
        same = {way: share_of_same(answers(adapter, some), expected) for way, adapter in loaded.items()}
        for size in plan.batch_sizes:
            if time.monotonic() > model_ends_at:
                break
            try:
                timings = time_in_turns(loaded, some, size, plan.seconds)
            except torch.OutOfMemoryError as error:
                print(f"{name}, batches of {size}: {error}")
                break
            took_ms = {way: timing.ms_per_image for way, timing in timings.items()}
            for way in ways:
                row: Row = {"model": name, "batch": size, "precision": way.precision, "cuda_graphs": way.cuda_graphs}
                if way not in loaded:
                    yield {**row, "ms_per_image": "refused", "speedup": "", "first_s": "", "same": ""}
                    continue
                base = Way(way.precision) if way.cuda_graphs else ways[0]
                speedup = ratio(took_ms[base], took_ms[way]) if base in took_ms else ""
                first_s = timings[way].first_call_s
                yield {**row, "ms_per_image": took_ms[way], "speedup": speedup, "first_s": first_s, "same": same[way]}


def loadable(name: str, plan: Plan, ways: Sequence[Way]) -> Iterator[tuple[Way, AnyAdapter]]:
    """Loads a model in every way that the device can do and that keeps its outputs."""
    for way in ways:
        try:
            yield way, adapter_for(name, runtime_of(plan, way))
        except UnsupportedRuntime as error:
            print(f"{name}: {error}")


def classifier(plan: Plan, way: Way) -> AnyAdapter:
    """Loads the smallest network that is bundled, which shows best what is spent around a network."""
    return adapter_for(CLASSIFIER, runtime_of(plan, way))


def runtime_of(plan: Plan, way: Way) -> Runtime:
    """The runtime of a way."""
    return Runtime(plan.device, way.precision, cuda_graphs=way.cuda_graphs, backend="torch")


def inputs_for(adapter: AnyAdapter, plan: Plan, count: int) -> list[ModelInput]:
    """Preprocesses pictures to inputs of one shape."""
    has_photos = plan.images is not None or find_spec("skimage") is not None
    ((_, pictures), *_) = picture_sets(plan.images, adapter.entry.task if has_photos else "classification")
    inputs = of_one_shape([adapter.preprocess(adapter.decode(picture)) for picture in pictures[: 2 * count]])
    return [inputs[index % len(inputs)] for index in range(count)]


def in_turns(ways: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Runs each in turn, after one unmeasured run each, for so many seconds; returns median milliseconds."""
    durations: dict[str, list[float]] = {way: [] for way in ways}
    ends_at = time.perf_counter() + seconds * len(ways)
    while time.perf_counter() < ends_at or min(map(len, durations.values())) < 4:
        for way, run in ways.items():
            started_at = time.perf_counter()
            run()
            durations[way].append(1000 * (time.perf_counter() - started_at))
    return {way: round(statistics.median(found[1:]), 3) for way, found in durations.items()}


def wait(plan: Plan) -> None:
    """Waits until the GPU has done everything."""
    if plan.on_gpu:
        torch.cuda.synchronize(plan.device)


def ratio(slow: float, fast: float) -> float:
    """Gives how many times as fast the latter is, or as high the former."""
    return round(slow / fast, 2) if fast else float("nan")
