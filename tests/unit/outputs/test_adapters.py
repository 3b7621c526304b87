"""A layout and an executor make the adapter of their kind; outputs that do not fit are refused on loading."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.adapter import ModelInput
from models.detection.candidates import Candidates
from models.detection.detector import Detector
from models.entries import CatalogEntry, LetterboxPreprocessing, WeightsSource
from models.errors import BrokenCard, NonFiniteOutput
from models.execution.external import NetworkExecutor
from models.outputs import adapters
from models.outputs.adapters import adapter_for
from models.outputs.layouts import OutputLayout
from models.parameters import DetectionParameters, SegmentationParameters
from models.runtime import Runtime
from models.segmentation.instances import InstanceSegmenter
from models.segmentation.mask_rcnn_regions import RegionMasks
from models.segmentation.semantic import SemanticSegmenter

RUNTIME = Runtime(precision="fp32", backend="torch")
CLASSES = ("cat", "dog", "stop sign")
BOX = (8.0, 4.0, 40.0, 36.0)
Outputs = Sequence[Tensor]


class Counting(NetworkExecutor):
    """Returns what a function makes of the pixels, and remembers the sizes of the batches."""

    def __init__(self, network: Callable[[Tensor], tuple[Tensor, ...]]) -> None:
        self._network = network
        self.batches: list[int] = []

    def run_all(self, pixels: NDArray[np.uint8]) -> tuple[Tensor, ...]:
        self.batches.append(len(pixels))
        return self._network(torch.from_numpy(pixels))


def entry(task: str, segmentation: Any = None) -> CatalogEntry:
    return CatalogEntry(
        name="mine",
        version="1",
        task=task,
        architecture="onnx",
        weights=WeightsSource("card", "mine.onnx", None, "CC0-1.0", "chance"),
        preprocessing=LetterboxPreprocessing(64, 64, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), keep_aspect=False),
        class_count=len(CLASSES),
        licence="CC0-1.0",
        accuracy=(),
        description="A test.",
        defaults={},
        class_names=CLASSES,
        segmentation=segmentation,
        outputs="test",
    )


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes an adapter with a layout of its own."""

    def make(kind: str, decode: Any, network: Any, *, one_by_one: bool = False) -> tuple[Any, Counting]:
        layout = OutputLayout("test", kind, "(N, …)", decode, one_by_one)
        monkeypatch.setattr(adapters, "LAYOUTS", {"test": layout})
        segmentation = kind if kind in ("semantic", "instance") else None
        executor = Counting(network)
        card = entry("segmentation" if segmentation else kind, segmentation)
        adapter = adapter_for(card, CLASSES, RUNTIME, executor, "0" * 64)
        executor.batches.clear()
        return adapter, executor

    return make


def inputs(count: int) -> list[ModelInput]:
    """Images of one grey each: 10, 20 …; their originals have twice their size."""
    return [ModelInput(np.full((64, 64, 3), 10 * (index + 1), np.uint8), (128, 128)) for index in range(count)]


def one_box(images: Tensor) -> tuple[Tensor, ...]:
    """A row of `BOX`, a score from the grey of the image, and the class."""
    scores = images[:, 0, 0, 0].float() / 100
    return (torch.stack([torch.tensor([*BOX, score, 1.0]) for score in scores.tolist()])[:, None],)


def boxes_of(outputs: Outputs, size: tuple[int, int], count: int) -> list[Candidates]:
    assert size == (64, 64) and count == 3
    return [Candidates(rows[:, :4], rows[:, 4], rows[:, 5].long()) for rows in outputs[0]]


@pytest.mark.parametrize(("one_by_one", "batches"), [(False, [3]), (True, [1, 1, 1])])
def test_boxes_come_in_the_order_of_the_images_and_in_pixels_of_the_originals(made, one_by_one, batches):
    adapter, executor = made("detection", boxes_of, one_box, one_by_one=one_by_one)
    assert isinstance(adapter, Detector)
    images = inputs(3)
    found = adapter.postprocess(adapter.forward(images), images, [DetectionParameters(0.15)] * 3)
    assert executor.batches == batches
    assert [np.round(each.scores.astype(float), 2).tolist() for each in found] == [[], [0.2], [0.3]]
    assert found[1].boxes.tolist() == [[16.0, 8.0, 80.0, 72.0]] and found[1].class_ids.tolist() == [1]


def test_object_of_a_class_without_a_name_is_refused(made):
    def of_class_three(outputs: Outputs, size: tuple[int, int], count: int) -> list[Candidates]:
        return [Candidates(each.boxes, each.scores, each.class_ids + 2) for each in boxes_of(outputs, size, count)]

    with pytest.raises(BrokenCard, match=r"returns \(1, 1, 6\) float32: there is an object of class 3, but .* 3 class"):
        made("detection", of_class_three, one_box)


@pytest.mark.parametrize("one_by_one", [False, True])
def test_logits_of_classes_become_a_class_map(made, one_by_one):
    def halves(images: Tensor) -> tuple[Tensor, ...]:
        logits = torch.zeros(len(images), 3, 8, 8)
        logits[:, 1, :, 4:] = 1.0
        return (logits,)

    adapter, _ = made("semantic", lambda outputs, size, count: outputs[0], halves, one_by_one=one_by_one)
    assert isinstance(adapter, SemanticSegmenter)
    images = inputs(2)
    found = adapter.postprocess(adapter.forward(images), images, [SegmentationParameters()] * 2)
    assert [each.class_map.shape for each in found] == [(128, 128)] * 2
    assert found[0].class_map[0, ::32].tolist() == [0, 0, 1, 1]


def masks_of(outputs: Outputs, size: tuple[int, int], count: int) -> list[RegionMasks]:
    def of(wanted: Tensor) -> Tensor:
        masks = torch.zeros(len(wanted), 2, 2)
        masks[:, :, 0] = 1.0
        return masks

    return [RegionMasks(objects, of) for objects in boxes_of(outputs, size, count)]


def test_masks_come_with_the_objects_that_are_found(made):
    adapter, _ = made("instance", masks_of, one_box)
    assert isinstance(adapter, InstanceSegmenter)
    images = inputs(1)
    (found,) = adapter.postprocess(adapter.forward(images), images, [SegmentationParameters(0.05)])
    (mask,) = found.masks
    assert 0 < mask.area < 64 * 64


def test_given_box_gets_the_mask_of_the_object_of_its_class_that_it_overlaps(made):
    adapter, _ = made("instance", masks_of, one_box)
    network = adapter.network
    boxes = torch.tensor([BOX, BOX, (40.0, 40.0, 60.0, 60.0)])
    cells = network.masks_in(inputs(1)[0].pixels, boxes, torch.tensor([1, 2, 1]))
    assert cells.sum((1, 2)).tolist() == [2.0, 0.0, 0.0]
    assert network.masks_in(inputs(1)[0].pixels, boxes[:0], torch.zeros(0, dtype=torch.int64)).shape[0] == 0


@pytest.mark.parametrize(
    ("kind", "decode"),
    [
        ("detection", lambda outputs, size, count: outputs[1]),
        ("detection", lambda outputs, size, count: []),
        ("instance", lambda outputs, size, count: outputs[0].view(7, 7)),
        ("semantic", lambda outputs, size, count: outputs[0]),
    ],
)
def test_layout_that_does_not_fit_is_refused_in_one_line(made, kind, decode):
    with pytest.raises(
        BrokenCard, match=r"outputs 'test' does not fit the network, which returns \(1, 1, 6\)"
    ) as caught:
        made(kind, decode, one_box)
    assert "\n" not in str(caught.value)


def test_output_that_is_not_finite_is_no_matter_of_the_layout(made):
    def refuse(_: Tensor) -> tuple[Tensor, ...]:
        raise NonFiniteOutput

    with pytest.raises(NonFiniteOutput):
        made("detection", boxes_of, refuse)
