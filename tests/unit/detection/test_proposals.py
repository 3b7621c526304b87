"""R-CNN and Fast R-CNN modes of two-stage detectors: given proposals, from crops or from one feature map."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from models.catalog.loading import load
from models.detection.detector import Detector
from models.detection.proposals import CONTEXT, CROP_SIDE, ProposedInput, cut_out
from models.detection.torchvision_detectors import TorchvisionCandidates
from models.errors import InvalidProposals
from models.parameters import DetectionParameters
from models.request_adapter import adapter_for
from models.runtime import Runtime
from tests.photos import encoded

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

WHOLE = DetectionParameters(score_threshold=0.001)


@pytest.fixture(scope="module", params=["torch", "openvino"])
def detector(request: pytest.FixtureRequest) -> Any:
    return load("faster-rcnn-person", Runtime(precision="fp32", backend=request.param))


@pytest.fixture(scope="module")
def photo() -> Any:
    """416 × 416 pixels, the size of the network's input."""
    return np.array(Image.fromarray(skimage.data.astronaut()).resize((416, 416)))


def network_of(detector: Detector) -> TorchvisionCandidates:
    assert isinstance(detector.network, TorchvisionCandidates)
    return detector.network


def predicted(detector: Detector, photo: Any, proposals: Any, family: Any) -> Any:
    boxes: Any = tuple(tuple(box) for box in proposals)
    parameters = replace(WHOLE, proposals=boxes, family=family)
    return adapter_for(detector, None, parameters).predict([encoded(Image.fromarray(photo), "PNG")], parameters)[0]


def test_fast_rcnn_with_the_proposals_of_the_rpn_is_faster_rcnn_exactly(detector: Detector, photo: Any):
    network = network_of(detector)
    (own,) = network.own_proposals(photo[None])
    (expected,) = network.candidates(photo[None])
    (found,) = network.proposed(photo[None], [own], "fast-rcnn")
    assert len(own) > 50 and len(found) > 20
    for name in ("boxes", "scores", "class_ids"):
        assert torch.equal(getattr(found, name), getattr(expected, name))


def test_fast_rcnn_by_a_request_is_faster_rcnn_exactly(detector: Detector, photo: Any):
    (own,) = network_of(detector).own_proposals(photo[None])
    (expected,) = detector.predict([encoded(Image.fromarray(photo), "PNG")], WHOLE)
    found = predicted(detector, photo, own.tolist(), "fast-rcnn")
    assert len(found.scores) > 3
    assert np.array_equal(found.boxes, expected.boxes) and np.array_equal(found.scores, expected.scores)


def test_rcnn_finds_a_person_in_a_box_around_her_and_refines_it(detector: Detector, photo: Any):
    around = (0.0, 60.0, 290.0, 416.0)
    found = predicted(detector, photo, [around], "rcnn")
    assert detector.class_names[found.class_ids[0]] == "person"
    assert found.scores[0] > 0.5
    nothing = predicted(detector, photo, [(330.0, 20.0, 410.0, 120.0)], "rcnn")
    assert not len(nothing.scores) or nothing.scores[0] < found.scores[0] / 2


def test_rcnn_sees_nothing_but_its_crop(detector: Detector, photo: Any):
    box = (100.0, 100.0, 200.0, 220.0)
    margin = 20  # more than the context of the crop
    blackened = np.zeros_like(photo)
    blackened[100 - margin : 220 + margin, 100 - margin : 200 + margin] = photo[
        100 - margin : 220 + margin, 100 - margin : 200 + margin
    ]
    alone, within = (predicted(detector, pixels, [box], "rcnn") for pixels in (blackened, photo))
    assert np.array_equal(alone.scores, within.scores) and np.array_equal(alone.boxes, within.boxes)
    fast_alone, fast_within = (predicted(detector, pixels, [box], "fast-rcnn") for pixels in (blackened, photo))
    assert not np.array_equal(fast_alone.scores, fast_within.scores)


def test_rcnn_gives_the_same_for_many_crops_as_for_each_alone(detector: Detector, photo: Any):
    network = network_of(detector)
    (own,) = network.own_proposals(photo[None], 40)
    (together,) = network.proposed(photo[None], [own], "rcnn")
    alone = [network.proposed(photo[None], [box[None]], "rcnn")[0] for box in own]
    scores = torch.cat([each.scores for each in alone]).sort(descending=True).values
    assert torch.allclose(together.scores.sort(descending=True).values, scores, atol=1e-4)


def test_more_proposals_can_be_had_of_the_rpn_than_it_uses(detector: Detector, photo: Any):
    network = network_of(detector)
    counts = [len(network.own_proposals(photo[None], count)[0]) for count in (50, 300)]
    assert counts[0] == 50 and counts[1] > 200


def test_a_crop_is_the_warped_box_with_its_context():
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[20:60, 40:140] = 200
    crop = cut_out(pixels, torch.tensor([[40.0, 20.0, 140.0, 60.0]]), 114)[0]
    inside = slice(CONTEXT + 3, CROP_SIDE - CONTEXT - 3)
    assert crop.shape == (CROP_SIDE, CROP_SIDE, 3)
    assert (crop[inside, inside] == 200).all()
    assert (crop[: CONTEXT - 3] == 0).all() and (crop[:, : CONTEXT - 6] == 0).all()


def test_what_a_crop_has_outside_the_image_is_the_grey_of_the_padding():
    crop = cut_out(np.zeros((50, 50, 3), np.uint8), torch.tensor([[0.0, 0.0, 50.0, 50.0]]), 114)[0]
    assert (crop[: CONTEXT - 5] == 114).all() and (
        crop[CONTEXT + 5 : -CONTEXT - 5, CONTEXT + 5 : -CONTEXT - 5] == 0
    ).all()


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((10.0, 10.0, 10.0, 20.0), "box 0 has no area"),
        ((0.0, 0.0, 417.0, 20.0), "box 0 reaches beyond the image, which is 416 pixels high and 416 wide"),
        ((-1.0, 0.0, 20.0, 20.0), "box 0 begins outside the image"),
        ((0.0, 0.0, float("nan"), 20.0), "box 0 has no area"),
    ],
)
def test_a_box_that_is_not_in_the_image_is_refused(detector: Detector, photo: Any, box: Any, message: str):
    with pytest.raises(InvalidProposals, match=message):
        predicted(detector, photo, [box], "fast-rcnn")


def test_a_detector_of_one_stage_takes_no_proposals():
    one_stage = load("yolo-digits")
    with pytest.raises(InvalidProposals, match="yolo-digits has one stage; proposals need a two-stage detector"):
        adapter_for(one_stage, None, DetectionParameters(proposals=((0.0, 0.0, 9.0, 9.0),)))


@pytest.mark.parametrize("reason", ["compiled", "fixed size"])
def test_a_network_of_one_input_size_takes_no_crops(detector: Detector, photo: Any, reason: str):
    """A compiled network would be compiled for each number of crops, while the request waits."""
    other = copy.copy(detector)
    if reason == "compiled":
        other.runtime = replace(Runtime(backend="torch"), compile=True)
    else:
        preprocessing: Any = detector.entry.preprocessing
        other.entry = replace(detector.entry, preprocessing=replace(preprocessing, keep_aspect=False))
    box = (10.0, 10.0, 60.0, 90.0)
    with pytest.raises(InvalidProposals, match="faster-rcnn-person takes one input size: ask for family=fast-rcnn"):
        predicted(other, photo, [box], "rcnn")
    assert len(predicted(other, photo, [box], "fast-rcnn").scores) <= 1


def test_images_of_different_families_do_not_share_a_batch():
    pixels = np.zeros((32, 32, 3), np.uint8)
    fast, crops = (ProposedInput(pixels, (32, 32), torch.zeros(1, 4), family) for family in ("fast-rcnn", "rcnn"))
    assert len({fast.batch_key, crops.batch_key, pixels.shape}) == 3


@pytest.mark.parametrize("wrong", [{"family": "rcnn"}, {"proposals": ((0.0, 0.0, 1.0, 1.0),), "augment": True}])
def test_parameters_that_do_not_go_together_are_refused(wrong: Any):
    with pytest.raises(ValueError, match="proposals"):
        DetectionParameters(**wrong)
