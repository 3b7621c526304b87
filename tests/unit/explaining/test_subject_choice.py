"""Which class and which candidate are explained, also by models that nobody trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.catalog.cards import write_card
from models.detection.architectures import build_detector
from models.entries import CatalogEntry, LetterboxPreprocessing, WeightsSource
from models.errors import CannotExplain, NonFiniteOutput
from models.explaining.explaining import Explainer
from models.explaining.explanation import Method, Question, Target
from models.explaining.subject_choice import best_candidate, chosen_class, require_found
from tests.unit.detector_cards import write_detector
from tests.unit.explaining.test_occlusion import encoded
from tests.unit.pose_cards import write_pose_estimator

pytest.importorskip("captum")
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]

FASTER = "torchvision/fasterrcnn_mobilenet_v3_large_320_fpn"


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TAPETUM_CATALOG", str(tmp_path))
    return tmp_path


def noise(height: int, width: int) -> bytes:
    return encoded(np.random.default_rng(3).integers(0, 255, (height, width, 3), np.uint8))


def test_of_candidates_that_overlap_a_box_almost_alike_the_best_score_is_explained():
    boxes = torch.tensor([[0, 0, 100, 100], [0, 0, 100, 101], [0, 0, 100, 60], [0, 0, 100, 100]]).float()
    scores = torch.tensor([0.6, 0.9, 1.0, 0.04])
    index, rank = best_candidate(boxes, scores, boxes[0])
    assert index == 1 and rank == pytest.approx(100 / 101)
    assert best_candidate(boxes, scores, None) == (2, 1.0)


def test_box_without_a_candidate_is_not_found():
    boxes, scores = torch.tensor([[0.0, 0.0, 10.0, 10.0]]), torch.tensor([0.9])
    _, rank = best_candidate(boxes, scores, torch.tensor([50.0, 50.0, 60.0, 60.0]))
    with pytest.raises(CannotExplain, match="does not find this box"):
        require_found(rank)


def test_class_of_most_pixels_is_explained_but_for_the_background():
    logits = torch.zeros(3, 2, 2)
    logits[0, 0], logits[2, 1, 0], logits[0, 1, 1] = 5, 5, 5
    class_id, where = chosen_class(logits, None)
    assert class_id == 2 and where.tolist() == [[False, False], [True, False]]
    assert chosen_class(logits, 1)[1].all()


@pytest.mark.parametrize("method", ["gradcam", "occlusion"])
def test_pose_is_not_explained_but_its_maps_are_shown(catalog: Path, method: Method):
    write_pose_estimator(catalog)
    explainer, image = Explainer("dolls"), noise(48, 64)
    with pytest.raises(CannotExplain, match="ask for method=features") as caught:
        explainer.explain(image, Question(method))
    assert caught.value.known == ("features",)
    with pytest.raises(CannotExplain, match="box is for detectors and instance segmenters"):
        explainer.explain(image, Question(method, target=Target((0, 0, 9, 9), 0)))
    assert explainer.explain(image, Question("features")).sheet is not None


def test_features_refuse_a_box(catalog: Path):
    write_detector(catalog)
    with pytest.raises(CannotExplain, match="leave box out"):
        Explainer("finds-anything").explain(noise(48, 64), Question("features", target=Target((0, 0, 9, 9), 0)))


def test_network_that_returns_nan_is_an_error(catalog: Path):
    write_detector(catalog)
    explainer = Explainer("finds-anything")
    with torch.no_grad():
        next(explainer._plain.network.modules.parameters()).fill_(float("nan"))
    with pytest.raises(NonFiniteOutput):
        explainer.explain(noise(48, 64), Question())


def test_map_of_a_network_that_pads_its_input_lies_where_the_image_is(catalog: Path):
    torch.manual_seed(0)
    network = build_detector(FASTER, 1, {}).eval()
    preprocessing = LetterboxPreprocessing(320, 427, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), stride=1)
    entry = CatalogEntry(
        "pads", "1", "detection", FASTER, WeightsSource("card", "", None, "CC0-1.0", "chance"), preprocessing, 1, "",
        (), "", defaults={}, class_names=("thing",),
    )  # fmt: skip
    write_card(catalog, entry, network.state_dict(), exact=True)
    found = Explainer("pads").explain(noise(480, 641), Question(layer="backbone.body.16"))
    assert found.heat is not None and found.heat.values.shape == (10, 14)  # of 320 x 448 pixels
    assert found.heat.area == pytest.approx((0, 0, 448 * 641 / 427, 320 * 480 / 319))
