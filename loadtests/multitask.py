"""Compares a multi-task network with the single models of its tasks: time and accuracy, in one run.

    python -m loadtests.multitask --data person/instances_val.json

Every photo is predicted by the multi-task network once, for all tasks, and by each single model, in turn, in this
process and on one thread, so that whatever else the machine does slows all. Accuracy is that of `tapetum evaluate`.
`--counts` is the val folder of `services.evaluation.count_folder`, with `--classifier` a classifier trained on it.
Prints Markdown tables.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from math import isnan
from statistics import median
from types import SimpleNamespace
from typing import Any, Final

import torch

from loadtests.augmentation import CHUNK, SHOWN, Way, measure
from models.adapter import Adapter
from models.catalog.loading import load
from models.datasets.opening import open_dataset
from models.datasets.samples import DatasetError
from models.entries import Kind
from models.multitask.model import MultitaskModel
from models.runtime import Runtime

SINGLE: Final[Mapping[Kind, str]] = {
    "detection": "faster-rcnn-person",
    "instance": "mask-rcnn-person",
    "semantic": "unet-person",
}
"""Single models, by what they predict."""


def main() -> None:
    """Measures all models and prints the tables."""
    options = parse_options()
    torch.set_num_threads(1)
    runtime = Runtime(num_threads=1)
    whole = load(options.model, runtime)
    assert isinstance(whole, MultitaskModel)
    single = {kind: load(name, runtime) for kind, name in SINGLE.items()}
    single["classification"] = load(options.classifier or "efficientnet-lite0", runtime)
    show_times(whole, single, options)
    print("\n| task | figure | multi-task | single |\n| --- | --- | --- | --- |")
    for kind, adapter in single.items():
        if kind == "classification" and not (options.counts and options.classifier):
            continue
        data = options.counts if kind == "classification" else options.data
        chosen = SimpleNamespace(data=data, limit=options.limit, max_detections=100)
        part = whole.part(kind)  # each alone: a single model may have its classes in another order
        figures = {
            name: measure(one, {name: Way(one)}, chosen)[name]  # pyright: ignore[reportArgumentType]
            for name, one in (("multi", part), ("single", adapter))
        }
        for name in (name for name in SHOWN[kind] if not isnan(figures["multi"][name])):
            print(f"| {kind} | {name} | {figures['multi'][name]:.4f} | {figures['single'][name]:.4f} |", flush=True)


def show_times(whole: MultitaskModel, single: Mapping[Kind, Adapter[Any, Any]], options: argparse.Namespace) -> None:
    """Times all models on the same photos in turn, each image from bytes to predictions."""
    data = open_dataset(options.data, "detection", options.timed, ("person",))
    models: dict[str, Callable[[list[bytes]], Any]] = {"multi-task": whole.predict}
    models |= {f"{kind}: {adapter.entry.name}": adapter.predict for kind, adapter in single.items()}
    spent: dict[str, list[float]] = {name: [] for name in models}
    for index in range(len(data)):
        image = data.load(index).image
        for name, predict in models.items():
            started_at = time.perf_counter()
            predict([image])
            spent[name].append(time.perf_counter() - started_at)
    skipped = min(CHUNK, len(data) // 4)  # whose shapes are new to the network
    times = {name: median(seconds[skipped:]) for name, seconds in spent.items()}
    total = sum(seconds for name, seconds in times.items() if name != "multi-task")
    print("| model | ms a photo, median |\n| --- | --- |")
    for name, seconds in times.items():
        print(f"| {name} | {1000 * seconds:.1f} |")
    print(f"| sum of the single models | {1000 * total:.1f} |")
    print(f"\nthe multi-task network takes {times['multi-task'] / total:.2f} of the sum", flush=True)


def parse_options() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="multitask-person")
    parser.add_argument("--data", default="person/instances_val.json")
    parser.add_argument("--counts", help="photos in a folder for each number of people")
    parser.add_argument("--classifier", help="a model of the catalog that was trained on such folders")
    parser.add_argument("--limit", type=int, help="photos of the accuracy; all by default")
    parser.add_argument("--timed", type=int, default=60, help="photos of the times")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except DatasetError as error:
        sys.exit(f"error: {error}")
