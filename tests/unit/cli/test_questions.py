"""What a file does not say is asked for on a terminal, until the answer can be used."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import typer

from models.errors import OpenQuestion
from models.importing.card import NORMALISATIONS, CardOptions
from services.cli.console import Screen
from services.cli.questions import Given, ask, read_normalisation

GIVEN = Given(CardOptions("pets"))
Answer = Callable[..., Given]


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Answer:
    """Asks about an option, and answers with texts, one after the other."""

    def answered(option: str, choices: tuple[str, ...], *texts: str) -> Given:
        remaining = iter(texts)
        monkeypatch.setattr(typer, "prompt", lambda *_, **__: next(remaining))
        return ask(Screen(), OpenQuestion("best.onnx", "does not say it", option, choices), GIVEN)

    return answered


def test_task_is_chosen_by_name_or_number(answer: Answer):
    choices = ("detection", "instance")
    assert answer("--task", choices, "2").options.task == "instance"
    assert answer("--task", choices, "detection").options.task == "detection"
    assert answer("--task", choices, "3", "pose", "1").options.task == "detection"


def test_layout_is_chosen_with_its_description(answer: Answer, capsys: pytest.CaptureFixture[str]):
    assert answer("--layout", ("yolov5", "yolox"), "yolox").options.layout == "yolox"
    assert "yolov5: (N, A, 5 + C): cx, cy, w, h in pixels" in capsys.readouterr().err


def test_class_names_are_asked_for_again_after_a_mistake(answer: Answer, capsys: pytest.CaptureFixture[str]):
    assert answer("--classes", (), "missing.txt", "cat, dog").options.class_names == ("cat", "dog")
    assert "missing.txt: there is no such file" in capsys.readouterr().err


def test_normalisation_is_a_name_or_numbers(answer: Answer):
    names = tuple(NORMALISATIONS)
    assert answer("--mean", names, "imagenet").options.normalisation == NORMALISATIONS["imagenet"]
    assert answer("--mean", names, "x", "1,2,3 4").options.normalisation == ((1, 2, 3), (4, 4, 4))


def test_architecture_is_a_text(answer: Answer):
    assert answer("--architecture", (), "torchvision/resnet18").architecture == "torchvision/resnet18"


@pytest.mark.parametrize(
    ("mean", "std", "expected"),
    [
        (None, None, None),
        ("123.675,116.28,103.53", "58.395,57.12,57.375", NORMALISATIONS["imagenet"]),
        ("0.485,0.456,0.406", "0.229,0.224,0.225", NORMALISATIONS["imagenet"]),
        ("0", "255", NORMALISATIONS["0 to 1"]),
        ("0.5,0.5,0.5", "0.5,0.5,0.5", NORMALISATIONS["-1 to 1"]),
        ("0,0,0", "1,1,1", NORMALISATIONS["0 to 255"]),
    ],
)
def test_mean_and_std_are_read_on_either_scale(mean: str | None, std: str | None, expected: object):
    assert read_normalisation(mean, std) == expected


@pytest.mark.parametrize(("mean", "std"), [("1,2", "1"), ("nan", "1"), ("1", "0,1,1"), ("1", None), (None, "1")])
def test_other_numbers_are_refused(mean: str | None, std: str | None):
    with pytest.raises(ValueError, match=r"--mean|--std"):
        read_normalisation(mean, std)
