"""Decoding the outputs of classifiers and semantic segmenters to logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.outputs.layouts import LAYOUTS

SIZE = (8, 12)


def decode(name: str, *outputs: torch.Tensor, class_count: int = 3) -> Any:
    return LAYOUTS[name].decode(outputs, SIZE, class_count)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1, 1), (2, 3, 1)])
def test_logits_without_dimensions_of_length_one(shape: tuple[int, ...]):
    logits = torch.randn(shape)
    assert torch.equal(decode("logits", logits), logits.reshape(2, 3))


def test_logits_among_other_outputs():
    logits = torch.randn(2, 3)
    assert torch.equal(decode("logits", torch.randn(2, 512), logits), logits)


def test_probabilities_come_back_from_the_softmax():
    likely = torch.tensor([[0.5, 0.5, 0.0], [0.125, 0.25, 0.625]])
    torch.testing.assert_close(decode("probabilities", likely).softmax(1), likely)


def test_half_precision_becomes_float32():
    assert decode("logits", torch.randn(2, 3).half()).dtype == torch.float32
    assert decode("class-logits", torch.randn(2, 3, 4, 4).half()).dtype == torch.float32


def test_class_logits_stay_as_they_are():
    logits = torch.randn(2, 3, 4, 6)
    assert torch.equal(decode("class-logits", logits, torch.randn(2, 3, 4, 6)), logits)


def test_one_map_of_logits_is_that_of_the_second_of_two_classes():
    logits = torch.randn(2, 1, 4, 6)
    likely = decode("class-logits", logits, class_count=2).softmax(1)
    torch.testing.assert_close(likely[:, 1:], logits.sigmoid())


def test_class_probabilities_come_back_from_the_softmax():
    likely = torch.randn(2, 3, 4, 6).softmax(1)
    torch.testing.assert_close(decode("class-probabilities", likely).softmax(1), likely)


def test_one_map_of_probabilities_is_that_of_the_second_of_two_classes():
    likely = torch.rand(2, 1, 4, 6)
    found = decode("class-probabilities", likely, class_count=2).softmax(1)
    torch.testing.assert_close(found[:, 1:], likely)


@pytest.mark.parametrize("shape", [(2, 4, 6), (2, 1, 4, 6)])
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.float32])
def test_class_map_becomes_logits_that_are_certain(shape: tuple[int, ...], dtype: torch.dtype):
    class_ids = torch.arange(48).remainder(3).reshape(shape).to(dtype)
    logits = decode("class-map", class_ids)
    assert (logits.shape, logits.dtype) == ((2, 3, 4, 6), torch.float32)
    assert torch.equal(logits.argmax(1), class_ids.reshape(2, 4, 6).long())
    assert float(logits.softmax(1).amax(1).min()) == 1.0


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("logits", (2, 4), r"returns \(2, 4\), and this layout needs \(N, 3\)"),
        ("probabilities", (2, 3, 2, 2), r"needs \(N, 3\)"),
        ("class-logits", (2, 1, 4, 4), r"needs \(N, 3, H, W\)"),
        ("class-probabilities", (2, 3), r"needs \(N, 3, H, W\)"),
        ("class-map", (2, 2, 4, 4), r"needs \(N, H, W\) or \(N, 1, H, W\)"),
    ],
)
def test_shapes_that_do_not_fit_are_one_line(name: str, shape: tuple[int, ...], message: str):
    with pytest.raises(ValueError, match=message) as caught:
        decode(name, torch.rand(shape))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", [3, -1])
def test_class_id_beyond_the_names_is_refused(wrong: int):
    with pytest.raises(ValueError, match=f"returns class id {wrong}, and the model has 3 class names"):
        decode("class-map", torch.full((1, 2, 2), wrong))
