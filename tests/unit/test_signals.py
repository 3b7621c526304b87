"""Signals: their text, the generator of MNIST-1D, the network of 2,050 parameters, and its card."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

from models.catalog.cards import read_card
from models.catalog.loading import load
from models.catalog.lookup import find
from models.classification.signal_network import SignalNetwork
from models.datasets.mnist1d import Mnist1d, open_mnist1d, templates
from models.datasets.opening import open_dataset
from models.datasets.samples import ClassTarget, DatasetError
from models.errors import BrokenCard, ExportError, ImageError
from models.export.captured_network import capture
from models.signals.decoding import decode_signal, encode_signal, is_signal, signal_of
from models.signals.plot import plot_signal
from models.training.signal_run import SignalOptions, read_signals, train_signal

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    "text", [b"1,-2.5,3e1", b"[1, -2.5, 30]", b"1\n-2.5\n30\n", b"1;-2.5;30", b" 1 -2.5  30 ", b"1,\r\n-2.5,\r\n30\r\n"]
)
def test_a_signal_is_read_from_csv_and_json(text: bytes) -> None:
    assert decode_signal(text, 3).tolist() == [1.0, -2.5, 30.0]
    assert is_signal(text)


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        (b"1,2", "invalid_signal", "the signal has 2 numbers; the model takes 3"),
        (b"1,nan,3", "invalid_signal", "number 2 of the signal is not finite"),
        (b"1,2,1e39", "invalid_signal", "number 3 of the signal is not finite"),
        (b"1,two,3", "invalid_signal", "number 2 of the signal is 'two', and not a number"),
        (b"1,,3", "invalid_signal", "number 2 of the signal is '', and not a number"),
        (b"1_0,2,3", "invalid_signal", "number 1 of the signal is '1_0', and not a number"),
        (b"1,5;2,5;3,5", "invalid_signal", "both commas and semicolons"),
        (b"\xff\xd8\xff\xe0", "invalid_signal", "not a signal"),
        (b" \n", "empty_image", "no bytes"),
        (b"1," * 200, "image_too_large", "at most 100 are accepted"),
    ],
)
def test_text_that_is_no_signal_is_refused_with_the_place(text: bytes, code: str, message: str) -> None:
    with pytest.raises(ImageError, match=message) as raised:
        decode_signal(text, 3, max_bytes=100)
    assert raised.value.code == code


@pytest.mark.parametrize("values", [[1, "2"], [1, None], [1, True], [1, [2]], [1, 10**400]])
def test_members_of_a_list_that_are_no_numbers_are_refused(values: list[object]) -> None:
    with pytest.raises(ImageError, match="number 2 of the signal is"):
        signal_of(values)


def test_equal_signals_have_one_encoding() -> None:
    assert encode_signal([0.1, 2]) == signal_of([0.1, 2.0]) == encode_signal(decode_signal(b"[1e-1, 2]"))
    assert not is_signal(b"\x89PNG\r\n") and not is_signal(b"P5 2 2 255\n")


def test_the_network_has_2050_parameters() -> None:
    network = SignalNetwork(10)
    counts = [sum(p.numel() for p in layer.parameters()) for layer in network.modules() if not list(layer.children())]
    assert [count for count in counts if count] == [60, 690, 690, 610]
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv1d)]
    assert [(layer.out_channels, layer.kernel_size, layer.stride) for layer in convolutions] == [(15, (3,), (2,))] * 3


def test_the_same_seed_makes_the_same_signals_and_no_split_shares_one() -> None:
    val, again, train = Mnist1d(3, 50), Mnist1d(3, 10), Mnist1d(3, 50, "train")
    assert [val.load(index).image for index in range(10)] == [again.load(index).image for index in range(10)]
    assert not {val.load(index).image for index in range(50)} & {train.load(index).image for index in range(50)}
    targets = [target.class_id for index in range(20) if isinstance(target := val.load(index).target, ClassTarget)]
    assert targets == [*range(10), *range(10)]


def test_templates_have_the_variance_of_the_papers() -> None:
    assert templates().shape == (10, 12)
    assert templates().std(axis=1) == pytest.approx(np.full(10, 1 / 6))
    assert not templates()[:, 0].any()


@pytest.mark.parametrize("spec", ["mnist1d:x", "mnist1d:1:2:3", "mnist1d:0:0"])
def test_a_wrong_spec_is_refused(spec: str) -> None:
    with pytest.raises(DatasetError, match=spec):
        open_mnist1d(spec)


def test_signals_are_not_for_detectors() -> None:
    with pytest.raises(DatasetError, match="are signals, for a classifier of signals"):
        open_dataset("mnist1d", "detection")


def test_the_bundled_model_is_right_for_nine_of_ten_signals() -> None:
    data = open_dataset("mnist1d", "classification")
    samples = [data.load(index) for index in range(len(data))]
    predictions = load("mnist-1d").predict([sample.image for sample in samples])
    right = [
        int(prediction.class_ids[0]) == sample.target.class_id
        for prediction, sample in zip(predictions, samples, strict=True)
        if isinstance(sample.target, ClassTarget)
    ]
    recorded = next(figure.value for figure in find("mnist-1d").accuracy if figure.metric == "top1")
    assert np.mean(right) == pytest.approx(recorded, abs=0.002)
    assert np.mean(right) >= 0.9


def test_signals_of_ones_own_are_trained_from_an_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", 200), ("val", 40)):
        labels = np.arange(count) % 2
        waves = np.sin(np.linspace(0, 6, 24) * (1 + labels[:, None])) + rng.normal(0, 0.1, (count, 24))
        np.savez(tmp_path / f"{split}.npz", signals=waves, labels=labels, class_names=np.array(["slow", "fast"]))
    card = train_signal(SignalOptions(data=str(tmp_path), output=tmp_path / "out", name="waves", epochs=20))
    document = json.loads(card.read_text())
    assert document["preprocessing"]["length"] == document["arguments"]["length"] == 24
    assert document["accuracy"][0]["value"] == 1.0
    monkeypatch.setenv("TAPETUM_CATALOG", str(card.parent))
    data = open_dataset(str(tmp_path), "classification")
    assert data.load(1).name == "01.csv"
    prediction = load("waves").predict([data.load(1).image])[0]
    assert (prediction.class_ids[0], prediction.image_size) == (1, (1, 24))


def test_a_share_of_an_array_without_splits_is_held_out(tmp_path: Path) -> None:
    np.savez(tmp_path / "all.npz", signals=np.ones((20, 24)), labels=np.arange(20) % 2)
    data = read_signals(str(tmp_path / "all.npz"), 0.25, 0)
    assert (data.signals.shape, data.val_signals.shape) == ((15, 24), (5, 24))


def test_a_card_of_a_signal_needs_the_network_of_signals(tmp_path: Path) -> None:
    bundled = find("mnist-1d").card
    assert bundled is not None
    document = json.loads(bundled.read_text())
    (tmp_path / "mnist-1d.json").write_text(json.dumps({**document, "architecture": "lenet5"}))
    with pytest.raises(BrokenCard, match=r"preprocessing\.length is for signals"):
        read_card(tmp_path / "mnist-1d.json")


def test_a_model_of_signals_is_not_exported() -> None:
    with pytest.raises(ExportError, match="has no network that could be exported"):
        capture("mnist-1d")


def test_a_plot_goes_from_the_left_to_the_right_and_up() -> None:
    pixels = np.asarray(Image.open(BytesIO(plot_signal(np.array([0, 1, 4], np.float32)))).convert("RGB"), np.int64)
    assert pixels.shape == (240, 480, 3)
    rows, columns = np.nonzero(pixels[:, :, 2] - pixels[:, :, 0] > 100)  # the line is blue
    assert rows[columns.argmin()] > 200 > 40 > rows[columns.argmax()]
    plot_signal(np.zeros(1, np.float32))
