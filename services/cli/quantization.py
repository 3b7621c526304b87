"""Quantizes a model, compares it with the original, and writes its card if it loses little accuracy."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from models.catalog.cards import weights_path
from models.catalog.lookup import find, own_folders
from models.datasets.opening import open_dataset
from models.datasets.samples import DatasetError
from models.entries import Accuracy, Speed
from models.errors import UnknownModel
from services.cli.catalog_folders import reading_models_of
from services.cli.console import CommandError, Screen, printable
from services.cli.evaluation_display import evaluation_display
from services.cli.evaluation_session import one_line_errors, with_caps
from services.cli.label_problems import tell
from services.evaluation.gates import Condition, check_against
from services.evaluation.job import Plan, evaluate
from services.evaluation.predictors import PredictorConfig
from services.evaluation.result import value_of
from services.evaluation.worker_pool import Place, default_workers

if TYPE_CHECKING:
    from models.adapter import Adapter, ModelInput
    from models.export.quantization import QuantizedModel

_BATCH_SIZES: Final = (1, 8)
_RUNS: Final = 15
_COMMANDS: Final = {
    "classification": "classify",
    "detection": "detect",
    "keypoints": "pose",
    "segmentation": "segment",
}


@dataclass(frozen=True, slots=True)
class Quantization:
    """The options of the command.

    Attributes:
        name: Of the model.
        new_name: Of the quantized one.
        data: Labelled images, see `services.evaluation.job.Plan`.
        calibration: Images for the ranges of activations, likewise.
        images: The most of them.
        output: Folder of the card.
        max_loss: The most points (hundredths) that the most important figure may fall by.
        limit: Evaluate on so many images.
        workers: Processes of the evaluation.
        allow_outside: Whether labels may name files outside the data folder.
    """

    name: str
    new_name: str
    data: str
    calibration: str
    images: int
    output: Path
    max_loss: float
    limit: int | None
    workers: int | None
    allow_outside: bool


def run_quantization(screen: Screen, wanted: Quantization) -> int:
    """Quantize, evaluate and time both models, and write the card.

    Returns:
        Exit status: 1 where the quantized model loses too much accuracy.

    Raises:
        CommandError: An error that the user can fix.
        ModelsError: Likewise.
    """
    from models.export.quantization import quantize, require_quantizer

    require_quantizer()
    _check_name(wanted)
    plan = with_caps(_plan(wanted, wanted.name))
    with one_line_errors(screen, plan), tempfile.TemporaryDirectory(prefix="tapetum-int8-") as folder:
        with screen.err.status(f"quantizing {printable(wanted.name)}"):
            images = list(_images(wanted))
            with redirect_stdout(StringIO()):  # NNCF shows its progress there
                quantized = quantize(wanted.name, wanted.new_name, images)
            quantized.write(Path(folder))
        with reading_models_of(Path(folder), *own_folders()):
            before, after = (
                _evaluated(screen, wanted, name, Path(folder, f"{number}.run"))
                for number, name in enumerate((wanted.name, wanted.new_name))
            )
            with screen.err.status("timing both"):
                speeds = _speeds((wanted.name, wanted.new_name), images)
        _show(screen, wanted, before, after, speeds)
        failures = check_against(after, before, [Condition(None, wanted.max_loss)])
        for failure in failures:
            screen.err.print(Text.assemble(("not written: ", "bold red"), printable(failure)), soft_wrap=True)
        if not failures:
            _write(screen, wanted, quantized, (before, after), speeds[wanted.new_name])
    return 1 if failures else 0


def _check_name(wanted: Quantization) -> None:
    try:
        find(wanted.new_name)
    except UnknownModel:
        if weights_path(wanted.output / f"{wanted.new_name}.json").exists():
            raise CommandError(f"{wanted.output} has a model {wanted.new_name} already; choose a --name", 2) from None
        return
    raise CommandError(f"there is a model {wanted.new_name} already; choose a --name", 2)


def _plan(wanted: Quantization, name: str, output: Path | None = None) -> Plan:
    place = Place(wanted.workers or default_workers())
    return Plan(
        PredictorConfig(name), wanted.data, wanted.limit, place=place, output=output, allow_outside=wanted.allow_outside
    )


def _images(wanted: Quantization) -> Iterator[bytes]:
    """Encoded images for calibration, evenly sampled."""
    entry = find(wanted.name)
    data = open_dataset(wanted.calibration, entry.kind, None, entry.class_names, wanted.allow_outside)
    step = max(1.0, len(data) / wanted.images)
    for number in range(min(wanted.images, len(data))):
        try:
            yield data.load(int(number * step)).image
        except DatasetError:
            continue


def _evaluated(screen: Screen, wanted: Quantization, name: str, folder: Path) -> Mapping[str, Any]:
    with evaluation_display(screen, name) as display:
        return evaluate(with_caps(_plan(wanted, name, folder)), display.report, display.say).result


_Speeds = Mapping[int, float]
"""Images a second by batch size."""


def _speeds(names: Sequence[str], images: Sequence[bytes]) -> Mapping[str, _Speeds]:
    """Images a second of `forward` in one thread, the models in turns; images of one input shape."""
    from models.catalog.loading import load
    from models.runtime import Runtime

    adapters = {name: load(name, Runtime(num_threads=1)) for name in names}
    inputs = _of_one_shape(adapters[names[0]], images)
    speeds: dict[str, dict[int, float]] = {name: {} for name in names}
    for size in _BATCH_SIZES:
        batch = [inputs[index % len(inputs)] for index in range(size)]
        durations: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(_RUNS):
            for name, adapter in adapters.items():
                started_at = time.perf_counter()
                adapter.forward(batch)
                durations[name].append(time.perf_counter() - started_at)
        for name, found in durations.items():
            speeds[name][size] = round(size / statistics.median(found), 1)
    return speeds


def _of_one_shape(adapter: Adapter[Any, Any], images: Sequence[bytes]) -> list[ModelInput]:
    inputs = [adapter.preprocess(adapter.decode(image)) for image in images[: 4 * max(_BATCH_SIZES)]]
    return [item for item in inputs if item.batch_key == inputs[0].batch_key]


def _show(
    screen: Screen,
    wanted: Quantization,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    speeds: Mapping[str, _Speeds],
) -> None:
    for metric in before["headline"]:
        was, now = value_of(before, metric), value_of(after, metric)
        screen.out.print(f"{metric}: {was:.4f} before, {now:.4f} in int8 ({100 * (now - was):+.2f} points)")
    for size in _BATCH_SIZES:
        was, now = speeds[wanted.name][size], speeds[wanted.new_name][size]
        precision = before["model"]["runtime"]["precision"]
        line = f"images a second on one thread, batches of {size}: {was:g} in {precision}, {now:g} in int8"
        screen.out.print(f"{line} ({now / was:.2f} times as many)", soft_wrap=True)


def _write(
    screen: Screen,
    wanted: Quantization,
    quantized: QuantizedModel,
    results: tuple[Mapping[str, Any], Mapping[str, Any]],
    speeds: _Speeds,
) -> None:
    from models.training.machine import machine_name

    before, after = results
    dataset = f"{after['data']['name']} ({after['data']['images']} images)"
    command = f"tapetum models quantize {wanted.name} --data {wanted.data}"
    original = f"before quantization: {wanted.name} in {before['model']['runtime']['precision']}, by the same command"
    accuracy = [
        Accuracy(dataset, metric, round(value_of(result, metric), 4), note)
        for result, note in ((after, f"in int8, by {command}"), (before, original))
        for metric, figure in result["headline"].items()
        if figure["value"] is not None
    ]
    machine = machine_name("cpu")
    speed = tuple(Speed(machine, "int8", size, found, f"one thread, by {command}") for size, found in speeds.items())
    card = quantized.write(wanted.output, tuple(accuracy), speed)
    command = _COMMANDS[quantized.card.task]
    tell(screen, f"try it: TAPETUM_CATALOG={wanted.output} tapetum {command} IMAGE --model {wanted.new_name}")
    screen.out.print(printable(card), soft_wrap=True)
