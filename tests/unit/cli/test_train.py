"""`tapetum train`: from a folder of images to answers, and one line for whatever goes wrong."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

import models.training.classifier_run
import models.training.detector_run
from models.datasets.photo_dataset import DatasetError
from models.errors import WeightsUnavailable
from models.training.engine import Progress, RunStopped, TrainingDiverged
from services.answers.wire import Item
from services.cli import app
from services.cli.console import Screen
from services.cli.training_display import training_display
from services.deployments.host import ModelHost
from tests.checkout import DOCS
from tests.unit.tiny_images import KINDS, write_pictures

COMMAND = [sys.executable, "-c", "from services.cli import main; main()"]
SMALL = ("--model", "torchvision/shufflenet_v2_x0_5", "--start", "none", "--precision", "fp32")
QUICK = (*SMALL, "--epochs", "14", "--batch-size", "9", "--learning-rate", "0.01", "--evaluate-every", "7")


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data") / "shapes", 15, seed=0)


def tapetum(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def train(data: Path, output: Path, *arguments: str) -> Result:
    return tapetum("train", "classifier", "--data", str(data), "--output", str(output), *arguments)


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    output = tmp_path_factory.mktemp("trained")
    return output, train(data, output, *QUICK)


def test_training_ends_with_the_card_and_says_how_to_try_it(trained: tuple[Path, Result]) -> None:
    output, result = trained
    name = "shapes-shufflenet_v2_x0_5"
    assert result.exit_code == 0
    assert result.stdout == f"{output / name}.json\n"
    *_, summary, hint = result.stderr.splitlines()
    assert re.fullmatch(rf"{name}: top1 [\d.]+ on shapes/val \(9 images\) \(0:00:\d\d of training\)", summary)
    assert hint == f"try it: TAPETUM_CATALOG={output} tapetum classify IMAGE --model {name}"


def test_a_pipe_gets_a_line_after_each_evaluation(trained: tuple[Path, Result]) -> None:
    evaluated = [line for line in trained[1].stderr.splitlines() if "top1" in line][:-1]
    assert [line.partition(",")[0] for line in evaluated] == ["epoch 7/14", "epoch 14/14"]
    assert re.match(
        r"epoch 7/14, step 28/56, 0:00:\d\d left, loss \d\.\d+, \d+ images/s, top1 \d\.\d+, val_loss \d", evaluated[0]
    )


def test_what_was_trained_answers_the_command_line_and_the_service(
    trained: tuple[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "shapes-shufflenet_v2_x0_5"
    monkeypatch.setenv("TAPETUM_CATALOG", str(trained[0]))
    files = sorted(write_pictures(tmp_path, 4, seed=5).glob("*/*.png"))
    result = tapetum("classify", *map(str, files), "--model", name, "--json", "--precision", "fp32")
    found = [json.loads(line)["predictions"][0]["class_name"] for line in result.stdout.splitlines()]
    assert sum(kind == path.parent.name for kind, path in zip(found, files, strict=True)) >= 11

    host = ModelHost({"name": "Classifier", "task": "classification", "models": [{"name": name, "precision": "fp32"}]})
    items = [Item(name, path.read_bytes(), {"top_k": 1}, time.time() + 60) for path in files]
    answers = asyncio.run(host.predict(items))
    served = [json.loads(bytes(answer.body or b""))["predictions"][0]["class_name"] for answer in answers]
    assert served == found
    assert host.describe()[0]["class_names"] == [*KINDS]


def test_the_same_command_goes_on_and_another_is_refused(trained: tuple[Path, Result], data: Path) -> None:
    output, first = trained
    again = train(data, output, *QUICK)
    assert again.stdout == first.stdout
    assert again.stderr.startswith("going on from ")
    other = train(data, output, *QUICK, "--seed", "3")
    assert other.exit_code == 2
    assert "error: " in other.stderr
    assert re.search(r"is of a run with \w+ .*: give the same options to go on", other.stderr)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--model", "resnet18"), 2, "there is no model 'resnet18'; did you mean torchvision/resnet18"),
        (("--model", "torchvision/alexnet", "--size", "32"), 2, "needs images of at least 64 pixels, not 32"),
        ((*SMALL, "--freeze-backbone"), 2, "a frozen backbone needs weights to start from"),
        ((*SMALL, "--name", "a/b"), 2, "a model cannot be called 'a/b'"),
        ((*SMALL, "--name", "noop"), 2, "there is another model called 'noop'"),
        ((*SMALL, "--start", "nonesuch"), 2, "there is no model 'nonesuch'"),
        ((*SMALL, "--start", "absent.json"), 1, "absent.json"),
        ((*SMALL, "--device", "tpu"), 1, "device 'tpu' is none of cpu, cuda and cuda:N"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    data: Path, tmp_path: Path, arguments: tuple[str, ...], status: int, message: str
) -> None:
    result = train(data, tmp_path, *arguments)
    assert (result.exit_code, result.stderr.count("\n")) == (status, 1)
    assert result.stderr.startswith("error: ")
    assert message in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("unett",), "there is no model 'unett'; did you mean unet"),
        (("mask-rcnn-efficientnet-lite0", "--native"), "--native is for a U-Net"),
        (("unet", "--anchor-scale", "0.5"), "--anchor-scale and --max-regions are for a Mask R-CNN"),
        (("unet-efficientnet-lite0", "--max-regions", "400"), "--anchor-scale and --max-regions are for a Mask R-CNN"),
        (("unet", "--size", "100"), "side must be a multiple of 32, not 100"),
    ],
)
def test_segmenter_that_cannot_be_is_said_in_one_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    options = ("--data", str(tmp_path / "absent"), "--output", str(tmp_path), "--model", *arguments)
    result = tapetum("train", "segmenter", *options)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith("error: ")
    assert message in result.stderr


def test_data_that_cannot_be_used_is_said_in_one_line(tmp_path: Path) -> None:
    result = train(tmp_path / "absent", tmp_path, *SMALL)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith(f"error: {tmp_path / 'absent'}: no such file or folder; data can be ")


@pytest.mark.parametrize("arguments", [("--epochs", "0"), ("--size", "8"), ("--val-share", "1"), ("--seed", "x")])
def test_values_out_of_range_are_usage_errors(data: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert train(data, tmp_path, *SMALL, *arguments).exit_code == 2


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (TrainingDiverged("the loss is nan at step 20"), 1, "error: the loss is nan at step 20"),
        (RunStopped(signal.SIGTERM), 143, "error: stopped; the same command goes on from"),
        (WeightsUnavailable("m", "no such file"), 1, "error: m: no such file"),
        (OSError(28, "No space left on device", "x.pt"), 1, "error: x.pt: No space left on device"),
    ],
)
def test_what_ends_a_run_is_said_in_one_line(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, message: str
) -> None:
    def failing(*_: object) -> Path:
        raise error

    monkeypatch.setattr(models.training.classifier_run, "train_classifier", failing)
    result = train(data, tmp_path, *SMALL)
    assert (result.exit_code, result.stderr.count("\n")) == (status, 1)
    assert result.stderr.startswith(message)


def test_an_interrupt_leaves_a_checkpoint_and_says_how_to_go_on(data: Path, tmp_path: Path) -> None:
    arguments = ["train", "classifier", "--data", str(data), "--output", str(tmp_path), "--name", "long", *SMALL]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*COMMAND, *arguments, "--epochs", "1000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=environment,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("epoch 1/1000")
        os.killpg(process.pid, signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert rest.splitlines()[-1] == f"error: stopped; the same command goes on from {tmp_path / 'long.run'}"
    assert (tmp_path / "long.run" / "checkpoint.pt").exists()
    assert "Traceback" not in rest


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The options that detectors were to be trained with, none of which is."""
    options: list[Any] = []

    def refuse(given: Any, *_: Any) -> Path:
        options.append(given)
        raise DatasetError("not today")

    monkeypatch.setattr(models.training.detector_run, "train_detector", refuse)
    return options


def test_a_detector_is_trained_as_the_options_say(asked: list[Any], tmp_path: Path) -> None:
    result = tapetum(
        *("train", "detector", "--model", "yolox-efficientnet-lite0", "--data", "plates", "--data", "more"),
        *("--classes", "plate, car", "--size", "320", "--epochs", "10", "--batch-size", "4", "--seed", "7"),
        *("--learning-rate", "0.001", "--freeze", "backbone", "--start", "none", "--output", str(tmp_path)),
    )
    (options,) = asked
    assert (result.exit_code, result.stderr) == (1, "error: not today\n")
    assert (options.architecture, options.name) == ("yolox-efficientnet-lite0", "plates-yolox-efficientnet-lite0")
    assert (options.data, options.classes) == ((Path("plates"), Path("more")), ("plate", "car"))
    assert (options.freeze, options.start, options.output) == ("backbone", "none", tmp_path)
    settings = options.settings
    assert (settings.side, settings.early_side, settings.closing_epochs) == (320, 256, 2)
    assert (settings.epochs, settings.batch_size, settings.seed) == (10, 4, 7)
    assert (options.schedule.learning_rate, options.schedule.evaluate_every) == (0.001, 5)


def test_a_detector_is_trained_at_the_size_of_its_bundled_kin_by_default(asked: list[Any]) -> None:
    tapetum("train", "detector", "--model", "yolox-tiny", "--data", "plates")
    settings = asked[0].settings
    assert (settings.side, settings.early_side, settings.closing_epochs, settings.epochs) == (416, 352, 8, 30)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "yolox-lite"), "there is no model 'yolox-lite'; did you mean"),
        (("--model", "yolox-tiny", "--size", "100"), "side must be a multiple of 32, not 100"),
    ],
)
def test_a_detector_that_cannot_be_is_refused(asked: list[Any], arguments: tuple[str, ...], message: str) -> None:
    result = tapetum("train", "detector", "--data", "plates", *arguments)
    assert (result.exit_code, asked) == (2, [])
    assert message in result.stderr


def test_a_terminal_shows_how_far_it_is() -> None:
    console = Console(stderr=True, force_terminal=True, width=80, record=True)
    with training_display(Screen(err=console), "plates") as report:
        report(Progress(3, 20, 55, 400, 0.4125, 123.4, 754.0, {"map": 0.251, "map_50": 0.512, "map_75": 0.2}))
    shown = console.export_text()
    assert "plates: getting ready" in shown
    assert "epoch 3/20 · step 55/400 · 0:12:34 left" in shown
    assert "loss 0.412 · 123 images/s · map 0.251 · map_50 0.512" in shown


@pytest.mark.parametrize("command", ["classifier", "detector", "segmenter"])
def test_help_ends_with_an_example(command: str) -> None:
    result = tapetum("train", command, "--help")
    assert f"Example: tapetum train {command} --model" in result.stdout


@pytest.mark.parametrize("command", ["classifier", "detector", "segmenter", "generator"])
def test_every_option_is_in_the_documentation(command: str) -> None:
    documentation = (DOCS / "training.md").read_text()
    options = set(re.findall(r"--[a-z-]+", tapetum("train", command, "--help").stdout))
    assert {option for option in options if f"`{option}" not in documentation} <= {"--help"}


@pytest.mark.parametrize("arguments", [("--help",), ("train", "--help"), ("train", "detector", "--help")])
def test_help_loads_no_torch(arguments: tuple[str, ...]) -> None:
    code = (
        "import sys\nfrom services.cli import app\n"
        f"try: app({list(arguments)!r})\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'numpy', 'ray'} & sys.modules.keys()), file=sys.stderr)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr
    assert loaded == "[]\n"
