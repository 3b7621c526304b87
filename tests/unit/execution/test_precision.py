"""A network whose outputs half precision changes is found when it is loaded, and runs in a higher precision."""

import pytest
import torch
from torch import nn

from models import runtime
from models.catalog.loading import load
from models.entries import Preprocessing
from models.errors import PrecisionTooLow, UnsupportedRuntime
from models.execution import precision
from models.execution.executor import Executor, executor_for
from models.execution.precision import deviation
from models.runtime import Runtime

PREPROCESSING = Preprocessing(8, 8, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
FP16, BF16 = (Runtime(precision=precision, backend="torch") for precision in ("fp16", "bf16"))


class Scaled(nn.Module):
    """Multiplies pixels and divides by the same number: exact in float32, an overflow in fp16."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.up, self.down, self.last = (nn.Conv2d(3, 3, 1, bias=False) for _ in range(3))
        for layer, value in ((self.up, factor), (self.down, 1 / factor), (self.last, 1.0)):
            layer.weight = nn.Parameter(value * torch.eye(3).view(3, 3, 1, 1))

    def forward(self, images):
        return self.last(self.down(self.up(images)))


class Cancelling(nn.Module):
    """Adds a large number and subtracts it again, which leaves nothing of a pixel in bf16."""

    def forward(self, images):
        return images + 2.0**20 - 2.0**20


def test_fp16_that_overflows_is_refused_and_bf16_is_taken():
    with pytest.raises(PrecisionTooLow, match="fp16 on cpu differs from fp32 by inf%"):
        executor_for(Scaled(1000.0).eval(), PREPROCESSING, FP16)
    assert isinstance(executor_for(Scaled(1000.0).eval(), PREPROCESSING, BF16), Executor)


def test_half_precision_that_only_rounds_is_taken():
    assert isinstance(executor_for(Scaled(2.0).eval(), PREPROCESSING, FP16), Executor)


def test_bf16_that_loses_the_pixels_is_refused():
    with pytest.raises(PrecisionTooLow, match="bf16 on cpu"):
        executor_for(Cancelling().eval(), PREPROCESSING, BF16)


def test_deviation_is_the_root_mean_square_of_the_worst_output_relative_to_it():
    expected = (torch.tensor([3.0, 4.0]), torch.zeros(0), torch.tensor([1.0]))
    assert deviation(expected, (torch.tensor([3.0, 4.5]), torch.zeros(0), torch.tensor([1.01]))) == pytest.approx(0.1)
    assert deviation(expected, (torch.tensor([3.0, float("nan")]), torch.zeros(0), torch.tensor([1.0]))) == float("inf")


def test_the_next_precision_is_one_that_the_machine_supports(monkeypatch):
    monkeypatch.setattr(Runtime, "resolve", lambda runtime: runtime)
    assert FP16.more_precise().precision == "bf16"
    assert BF16.more_precise().precision == "fp32"

    def refuse(_):
        raise UnsupportedRuntime("no bf16")

    monkeypatch.setattr(Runtime, "resolve", refuse)
    assert FP16.more_precise().precision == "fp32"


def test_a_model_whose_outputs_bf16_changes_is_loaded_in_fp32_unless_bf16_was_asked_for(monkeypatch, caplog):
    monkeypatch.setattr(runtime, "cpu_has_bf16", lambda: True)
    monkeypatch.setitem(precision.TOLERANCES, "bf16", 1e-3)
    assert load("yolo-digits", Runtime(backend="torch")).runtime.precision == "fp32"
    (record,) = caplog.records
    assert record.getMessage().startswith("yolo-digits runs in fp32: bf16 on cpu differs from fp32 by ")
    with pytest.raises(PrecisionTooLow):
        load("yolo-digits", BF16)
