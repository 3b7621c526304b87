"""R-CNN, Fast R-CNN and Faster R-CNN side by side: one network, the same photos, the same proposals.

    python -m loadtests.rcnn_family --data person --photos 50

The table of docs/rcnn.md. Proposals are those of the network's own RPN, best first, for all three. R-CNN and Fast R-CNN
are given them, and their time is not counted; Faster R-CNN computes them. Time is CPU time on one thread, from the
resized photo to the candidates before NMS, the median over the photos.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from loadtests.machine import describe
from models.catalog.loading import load
from models.datasets.opening import open_dataset
from models.datasets.samples import DatasetError, ObjectTarget, Sample
from models.detection.candidates import Candidates
from models.detection.detector import Detector
from models.detection.selection import iou
from models.detection.torchvision_detectors import TorchvisionCandidates
from models.parameters import DetectionParameters
from models.predictions import Detections
from models.runtime import Runtime
from models.training.average_precision import average_precision

COUNTS: Final = (50, 300, 1000)
WHOLE_CURVE: Final = DetectionParameters(score_threshold=0.001)
"""Average precision needs the whole precision-recall curve."""
SHOWN_SCORE: Final = 0.25
"""Objects from this score on count as found boxes, as in an answer by default."""
FOUND_IOU: Final = 0.5
"""A proposal covers an object from this IoU on."""

Method = Callable[[TorchvisionCandidates, NDArray[np.uint8], Tensor], list[Candidates]]
"""From a network, (1, H, W, 3) pixels and (P, 4) proposals to candidates."""
METHODS: Final[dict[str, Method]] = {
    "R-CNN": lambda network, pixels, proposals: network.proposed(pixels, [proposals], "rcnn"),
    "Fast R-CNN": lambda network, pixels, proposals: network.proposed(pixels, [proposals], "fast-rcnn"),
    "Faster R-CNN": lambda network, pixels, proposals: network.with_proposals(pixels, len(proposals)),
}


@dataclass(frozen=True)
class _Photo:
    """What was measured of one photo; by detector and number of proposals."""

    sample: Sample
    objects: int
    covered: dict[int, int]
    cpu_ms: dict[tuple[str, int], float] = field(default_factory=dict[tuple[str, int], float])
    found: dict[tuple[str, int], Detections] = field(default_factory=dict[tuple[str, int], Detections])


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        method: The detector.
        proposals: The most proposals of a photo.
        cpu_ms: Milliseconds of CPU for a photo, the median.
        boxes: Objects of a photo with a score from 0.25, the mean.
        recall: Share of the objects that a proposal covers with an IoU of 0.5 or more.
        map: Mean average precision, 0 to 1.
        map_50: Average precision at an IoU of 0.5.
    """

    method: str
    proposals: int
    cpu_ms: float
    boxes: float
    recall: float
    map: float
    map_50: float


def measure(model: str, data: str, photos: int) -> tuple[int, list[Row]]:
    """Measures all three detectors; Ctrl-C ends it with the photos so far.

    Args:
        model: Name of a two-stage detector of the catalog.
        data: Labelled photos, as `tapetum evaluate` reads them.
        photos: The most of them.

    Returns:
        The number of photos, and the rows.
    """
    detector: Any = load(model, Runtime(num_threads=1))
    network = detector.network if isinstance(detector, Detector) else None
    if not isinstance(network, TorchvisionCandidates) or not network.takes_proposals:
        raise typer.BadParameter(f"{model} is no two-stage detector")
    try:
        samples = open_dataset(data, "detection", photos)
    except DatasetError as error:
        raise typer.BadParameter(str(error)) from None
    done: list[_Photo] = []
    try:
        for index in track(range(len(samples)), "photos", console=Console(stderr=True)):
            photo = _measured(detector, network, samples.load(index), is_first=index == 0)
            done.append(photo)
    except KeyboardInterrupt:  # the photos so far
        if not done:
            raise
    classes = len(detector.class_names)
    return len(done), [_row(name, count, done, classes) for count in COUNTS for name in METHODS]


def _measured(detector: Detector, network: TorchvisionCandidates, sample: Sample, is_first: bool) -> _Photo:
    item = detector.preprocess(detector.decode(sample.image))
    pixels = item.pixels[None]
    (best,) = network.own_proposals(pixels, max(COUNTS))
    assert isinstance(sample.target, ObjectTarget)
    boxes = torch.as_tensor(np.asarray(sample.target.boxes), dtype=torch.float32).reshape(-1, 4)
    overlaps = iou(detector.project(boxes, item.image_size), best)
    photo = _Photo(sample, len(boxes), {n: int((overlaps[:, :n].amax(1) >= FOUND_IOU).sum()) for n in COUNTS})
    for count in COUNTS:
        for name, method in METHODS.items():
            if is_first or name != "R-CNN":  # the first run of a shape compiles; after crops, caches are cold
                method(network, pixels, best[:count])
            started_at = time.process_time()
            candidates = method(network, pixels, best[:count])
            photo.cpu_ms[name, count] = (time.process_time() - started_at) * 1e3
            (photo.found[name, count],) = detector.postprocess(candidates, [item], [WHOLE_CURVE])
    return photo


def _row(method: str, count: int, photos: Sequence[_Photo], class_count: int) -> Row:
    cell = (method, count)
    figures = average_precision(((photo.sample, photo.found[cell]) for photo in photos), class_count)
    boxes = statistics.mean(int((photo.found[cell].scores >= SHOWN_SCORE).sum()) for photo in photos)
    recall = sum(photo.covered[count] for photo in photos) / max(1, sum(photo.objects for photo in photos))
    cpu_ms = statistics.median(photo.cpu_ms[cell] for photo in photos)
    return Row(method, count, cpu_ms, boxes, recall, figures["map"], figures["map_50"])


def main(
    data: Annotated[str, typer.Option(metavar="SPEC", help="Labelled photos, as `tapetum evaluate` reads them.")],
    model: Annotated[str, typer.Option(metavar="NAME", help="A two-stage detector.")] = "faster-rcnn-person",
    photos: Annotated[int, typer.Option(min=1, metavar="N", help="The most photos.")] = 50,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the figures as JSON, too.")] = None,
) -> None:
    """Measure R-CNN, Fast R-CNN and Faster R-CNN: time, boxes, average precision."""
    machine = describe()
    count, rows = measure(model, data, photos)
    table = Table(title=f"{model}, {count} photos of {data}, {machine['cpu']}, one thread")
    for column in ("detector", "proposals", "CPU ms a photo", "boxes", "recall", "mAP", "AP50"):
        table.add_column(column, justify="left" if column == "detector" else "right")
    for row in rows:
        shares = (f"{value:.1%}" for value in (row.recall, row.map, row.map_50))
        table.add_row(row.method, str(row.proposals), f"{row.cpu_ms:.0f}", f"{row.boxes:.1f}", *shares)
    Console(width=110).print(table)
    if output is not None:
        output.write_text(
            json.dumps({"machine": machine, "photos": count, "rows": [asdict(row) for row in rows]}, indent=2)
        )


if __name__ == "__main__":
    typer.run(main)
