"""Measures what measuring costs: `make bench-eval`.

    python -m loadtests.evaluation                            # all three parts
    python -m loadtests.evaluation --only scoring --images 1000
    python -m loadtests.evaluation --only memory --memory-images 200 2000

`scoring`: average precision of made-up detections (5,000 images, 80 classes, 100 detections an image), by the metric of
`tapetum evaluate` and by pycocotools, on one core each, and whether all of both's figures agree.
`workers`: `tapetum evaluate` of a bundled model on the built-in scenes by one worker and by two, in turn.
`memory`: the most that any process of a job holds, for few and for many images.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time
from collections.abc import Sequence
from statistics import median
from typing import Any, Final

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from loadtests.evaluation_job import DATA, MODEL, run_job
from loadtests.synthetic_detections import synthetic_detections
from models.datasets.samples import ObjectTarget
from models.metrics.coco.average_precision import CocoFigures
from services.evaluation.job import CHUNK_IMAGES
from services.evaluation.kinds.object_metric import ObjectMetric
from services.evaluation.lines import coco_annotations, coco_results
from services.evaluation.scoring import Record

PARTS: Final = ("scoring", "workers", "memory")
REPLICATES: Final = 1000
TOLERANCE: Final = 1e-9
_MIB: Final = 2**20


def main() -> None:
    """Measures and prints a table for each part."""
    options = parse_options()
    parts = {
        "scoring": lambda: bench_scoring(options.images, options.classes, options.detections),
        "workers": lambda: bench_workers(options.model, options.data, options.worker_images, options.repeats),
        "memory": lambda: bench_memory(options.model, options.data, options.memory_images),
    }
    for name in options.only:
        parts[name]()
        print(flush=True)


def parse_options() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.evaluation", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="which parts; by default all")
    parser.add_argument("--images", type=int, default=5000, help="of the scoring; 5000 by default")
    parser.add_argument("--classes", type=int, default=80, help="of the scoring; 80 by default")
    parser.add_argument("--detections", type=int, default=100, help="an image; 100 by default")
    parser.add_argument("--model", default=MODEL, help=f"of the last two parts; {MODEL} by default")
    parser.add_argument("--data", default=DATA, help="of the last two parts; the built-in scenes by default")
    parser.add_argument("--worker-images", type=int, default=1500, help="of a run by one or two workers")
    parser.add_argument("--repeats", type=int, default=2, help="of the runs by one and two workers")
    parser.add_argument("--memory-images", type=int, nargs=2, default=(1000, 20000), help="few and many")
    return parser.parse_args()


def bench_workers(model: str, data: str, images: int, repeats: int) -> None:
    """Prints images a second by one worker and by two, and their ratio."""
    print(f"## Workers: {model} on {images} images, while they are asked\n")
    print("| run | 1 worker, images/s | 2 workers, images/s | ratio |\n| --- | --- | --- | --- |")
    ratios: list[float] = []
    for number in range(1, repeats + 1):
        one, two = (run_job(model, data, images, workers).images_per_s for workers in (1, 2))
        ratios.append(two / one)
        print(f"| {number} | {one:.1f} | {two:.1f} | {ratios[-1]:.2f} |", flush=True)
    print(f"\nmedian ratio {median(ratios):.2f}")


def bench_memory(model: str, data: str, counts: Sequence[int]) -> None:
    """Prints the memory of a job over few images and over many."""
    print(f"## Memory: {model}, 2 workers\n")
    print("| images | seconds | driver at most, MiB | a worker at most, MiB |\n| --- | --- | --- | --- |")
    runs = [run_job(model, data, count, 2) for count in counts]
    for count, run in zip(counts, runs, strict=True):
        print(
            f"| {count:,} | {run.seconds:.0f} | {run.driver_bytes / _MIB:.0f} | {run.worker_bytes / _MIB:.0f} |",
            flush=True,
        )
    few, many = runs
    print(
        f"\n{counts[1] / counts[0]:.0f} x the images: the driver holds {many.driver_bytes / few.driver_bytes:.2f} x, "
        f"a worker {many.worker_bytes / few.worker_bytes:.2f} x, all three together "
        f"{(many.driver_bytes + 2 * many.worker_bytes) / (few.driver_bytes + 2 * few.worker_bytes):.2f} x"
    )


def bench_scoring(images: int, classes: int, detections: int) -> None:
    """Prints how long the metric and pycocotools take over the same detections, and how far their figures differ.

    Raises:
        SystemExit: they differ by more than 1e-9.
    """
    print(f"## Scoring: {images:,} images, {classes} classes, {detections} detections an image\n")
    records = list(synthetic_detections(images, classes, detections, seed=0))
    names = tuple(f"class {number}" for number in range(classes))
    metric = ObjectMetric(names, tuple(range(classes)), masks=False, max_detections=100, replicates=REPLICATES)
    started_at = time.perf_counter()
    chunks = [metric.update(records[start : start + CHUNK_IMAGES]) for start in range(0, images, CHUNK_IMAGES)]
    scored_s = time.perf_counter() - started_at
    started_at = time.perf_counter()
    numbers = CocoFigures.of([chunk["box_state"].tobytes() for chunk in chunks]).headline()
    figures_s = time.perf_counter() - started_at
    started_at = time.perf_counter()
    measured = metric.compute(chunks)
    finished_s = time.perf_counter() - started_at
    oracle, loaded_s, oracle_s = _pycocotools(records, classes)
    rows = (
        ("pycocotools: evaluate, accumulate, summarize", oracle_s, ""),
        ("the metric: match in chunks, then the twelve figures", scored_s + figures_s, "the same figures"),
        ("pycocotools, with the reading of its rows", loaded_s + oracle_s, ""),
        (
            "the metric: all of it",
            scored_s + finished_s,
            f"and classes, curves, confusion, errors, {measured.protocol['bootstrap']['replicates']} replicates of all",
        ),
    )
    print("| what | seconds | against pycocotools' figures | |\n| --- | --- | --- | --- |")
    for what, seconds, note in rows:
        print(f"| {what} | {seconds:.1f} | {seconds / oracle_s:.2f} x | {note} |")
    worst = max(abs(numbers[name] - value) for name, value in zip(numbers, oracle, strict=True))
    print(f"\nlargest difference of the twelve figures: {worst:.1e}")
    if not worst <= TOLERANCE:
        raise SystemExit(f"the figures differ: {numbers} and {oracle}")


def _objects(record: Record) -> ObjectTarget:
    assert isinstance(record.target, ObjectTarget)
    return record.target


def _pycocotools(records: Sequence[Record], classes: int) -> tuple[list[float], float, float]:
    """The twelve figures, seconds for reading the rows, and seconds for the figures."""
    numbers = {number: number for number in range(classes)}
    lines = [{"image_id": record.image_id, "answer": record.answer} for record in records]
    results = [row for line in lines for row in coco_results(line, numbers)]
    known = [row for record in records for row in coco_annotations(_objects(record), record.image_id, numbers)]
    images = [{"id": record.image_id, "height": record.size[0], "width": record.size[1]} for record in records]
    with contextlib.redirect_stdout(io.StringIO()):
        started_at = time.perf_counter()
        targets: Any = COCO()
        targets.dataset = {
            "images": images,
            "annotations": [{**row, "id": number} for number, row in enumerate(known, 1)],
            "categories": [{"id": number, "name": str(number)} for number in numbers],
        }
        targets.createIndex()
        evaluation = COCOeval(targets, targets.loadRes(results), "bbox")
        loaded_s = time.perf_counter() - started_at
        started_at = time.perf_counter()
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return list(evaluation.stats), loaded_s, time.perf_counter() - started_at


if __name__ == "__main__":
    main()
