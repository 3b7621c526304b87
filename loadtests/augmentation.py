"""Measures what test-time augmentation gains and costs: accuracy and time of a model, with it and without.

    python -m loadtests.augmentation --model yolo-digits --data digits:0:200
    python -m loadtests.augmentation --model unet-nuclei --data nuclei/val
    python -m loadtests.augmentation --model yolo-person --data person/instances_val.json --views

Every image is predicted both ways in turn, in this process and on one thread, so that whatever else the machine does
slows both. The figures are those of `tapetum evaluate`, with `--augment` and without; its reports have their intervals.
`--views` also measures other sets of views of a detector or a segmenter, by which those of
`models.augmentation.choice` were chosen. Prints rows of a Markdown table.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from types import SimpleNamespace
from typing import Any, Final

import torch

from models.adapter import Adapter
from models.augmentation.augmented import View
from models.augmentation.choice import augmented, mirrors, with_views
from models.catalog.loading import load
from models.datasets.opening import open_dataset
from models.datasets.samples import DatasetError
from models.letterbox_adapter import LetterboxedAdapter
from models.runtime import Runtime
from services.answers.wire import describe_prediction
from services.evaluation.class_match import ClassMatch
from services.evaluation.kinds import KINDS
from services.evaluation.kinds.kind_evaluation import Thresholds
from services.evaluation.scoring import MetricState, Record
from services.kinds.completion import complete

SHOWN: Final[Mapping[str, Sequence[str]]] = {
    "classification": ("top1", "top5", "ece"),
    "detection": ("map", "map_50", "map_75", "f1"),
    "keypoints": ("oks_ap", "oks_ap_50", "oks_ap_75", "f1"),
    "instance": ("map", "map_50", "map_75", "f1"),
    "semantic": ("iou", "boundary_iou"),
}
"""Headline figures by kind."""
CHUNK: Final = 32
"""Images whose predictions are in memory at a time."""
PLAIN: Final = "without"
SIZES: Final = (0.75, 1.0, 1.25, 1.5)


@dataclass
class Way:
    """One way to predict: its adapter, metric state, and seconds for every image."""

    adapter: Adapter[Any, Any]
    records: list[Record] = field(default_factory=list[Record])
    states: list[MetricState] = field(default_factory=list[MetricState])
    seconds: list[float] = field(default_factory=list[float])
    pixels: list[int] = field(default_factory=list[int])


def main() -> None:
    """Measures a model and prints its rows."""
    options = parse_options()
    torch.set_num_threads(1)
    adapter = load(options.model, Runtime(num_threads=1))
    ways = {PLAIN: Way(adapter)} | {name: Way(made) for name, made in augmented_ways(adapter, options.views).items()}
    figures = measure(adapter, ways, options)
    names = SHOWN[adapter.entry.kind]
    print(f"{len(ways[PLAIN].seconds)} images", file=sys.stderr)
    print(f"| {options.model} | " + " | ".join(names) + " | pixels | time |")
    print("| --- |" + " --- |" * (len(names) + 2))
    for name, way in ways.items():
        cells = [f"{figures[name][figure]:.4f}" for figure in names]
        pixels, ratio = (median_ratio(*parts) for parts in ((way.pixels, ways[PLAIN].pixels), times(way, ways[PLAIN])))
        print(f"| {name} | " + " | ".join(cells) + f" | × {pixels:.2f} | × {ratio:.1f} |")


def augmented_ways(adapter: Adapter[Any, Any], with_others: bool) -> dict[str, Adapter[Any, Any]]:
    """The augmented adapter of a model, and with `with_others` those of other sets of views."""
    chosen = augmented(adapter)
    if chosen is None:
        sys.exit(f"{adapter.entry.name} has no test-time augmentation")
    ways: dict[str, Adapter[Any, Any]] = {"with": chosen}
    if not with_others or not isinstance(adapter, LetterboxedAdapter):
        return ways
    for name, views in view_sets(mirrors(adapter.entry)).items():
        other = with_views(adapter, views)
        assert other is not None
        ways[name] = other
    return ways


def view_sets(mirror: bool) -> dict[str, list[View]]:
    """Sets of views by name: a size, with `m` for its mirror image."""
    usual, turned = View(), [View(mirrored=True)] if mirror else []
    sets = [[usual, *turned]]
    for others in ((1.25,), (0.75, 1.25), (0.75, 1.5)):
        sets.append([usual, *(View(size) for size in others)])
        if mirror:
            sets.append([usual, *(View(size, mirrored=True) for size in others)])
            sets.append([usual, *turned, *(View(size, each) for size in others for each in (False, True))])
    return {" ".join(f"{view.scale:g}{'m' * view.mirrored}" for view in views): views for views in sets}


def measure(
    adapter: Adapter[Any, Any], ways: Mapping[str, Way], options: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Predicts every image in every way, and computes the headline figures of each."""
    entry, kind = adapter.entry, KINDS[adapter.entry.kind]
    data = open_dataset(options.data, entry.kind, options.limit, adapter.class_names)
    match = ClassMatch.of(data, entry.name, adapter.class_names)
    facts: Any = SimpleNamespace(class_names=adapter.class_names, defaults=entry.defaults)
    given = kind.parameters(facts, Thresholds(max_detections=options.max_detections))
    parameters = complete(entry.kind, given, entry.defaults, adapter.class_names)
    metric = kind.metric(adapter.class_names, match.measured, options.max_detections)
    for index in range(len(data)):
        sample = data.load(index)
        target = match.translate(sample.target)
        for way in ways.values():
            if target is None:
                break
            started_at = time.perf_counter()
            item = way.adapter.preprocess(way.adapter.decode(sample.image))
            (found,) = way.adapter.postprocess(way.adapter.forward([item]), [item], [parameters])
            way.seconds.append(time.perf_counter() - started_at)
            way.pixels.append(item.pixel_count)
            answer = describe_prediction(found, adapter.class_names, parameters)
            way.records.append(Record(index, sample.image_id, sample.name, found.image_size, target, answer))
        if index % CHUNK == CHUNK - 1 or index == len(data) - 1:
            for way in ways.values():
                way.states.append(metric.update(way.records))
                way.records.clear()
    return {
        name: {figure: one.value for figure, one in metric.compute(way.states).headline.items()}
        for name, way in ways.items()
    }


def times(way: Way, plain: Way) -> tuple[list[float], list[float]]:
    """Seconds of two ways, without the first images, which pay for initialisation."""
    return way.seconds[len(way.seconds) // 10 :], plain.seconds[len(plain.seconds) // 10 :]


def median_ratio(some: Sequence[float], others: Sequence[float]) -> float:
    """Median over images of the ratio of two quantities."""
    return median(one / other for one, other in zip(some, others, strict=True))


def parse_options() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", required=True, help="name in the catalog")
    parser.add_argument("--data", required=True, help="labelled images, as for `tapetum evaluate`")
    parser.add_argument("--limit", type=int, help="only so many images")
    parser.add_argument("--max-detections", type=int, default=100, help="the most objects of an image that count")
    parser.add_argument("--views", action="store_true", help="also measure other sets of views")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except DatasetError as error:
        sys.exit(f"error: {error}")
