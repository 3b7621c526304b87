"""Heat maps from gradients: by hand on a small network, and the sanity checks of Adebayo 2018 (arXiv:1810.03292)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from models.entries import Preprocessing
from models.errors import CannotExplain, ExplainingUnavailable
from models.explaining import captum_library
from models.explaining.explaining import Explainer
from models.explaining.explanation import Question, Target
from models.explaining.grad_cam import grad_cam
from models.explaining.map_layers import find_map_layers, kept_maps
from models.explaining.plain_model import PlainNetwork
from models.explaining.subjects import Subject

pytest.importorskip("captum")
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]

PHOTOS = Path(__file__).parents[3] / "docs" / "images"
ASTRONAUT, COFFEE, NUCLEI = ((PHOTOS / f"{name}.jpg").read_bytes() for name in ("astronaut", "coffee", "nuclei"))
PLAIN = Preprocessing(8, 8, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


class Small(nn.Module):
    """A convolution, global average pooling, and a linear layer to two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 4, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.scores = nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.scores(self.act(self.features(images)).mean((2, 3)))


@pytest.fixture(scope="module")
def classifier() -> Explainer:
    return Explainer("efficientnet-lite0")


@pytest.fixture(scope="module")
def detector() -> Explainer:
    return Explainer("yolo-person")


def class_subject(class_id: int) -> Subject:
    return Subject(class_id, 0.5, None, lambda outputs: outputs[0][:, class_id])


def test_map_of_small_network_equals_grad_cam_by_hand():
    torch.manual_seed(3)
    network = PlainNetwork(Small().eval(), PLAIN)
    images = network.normalised(np.random.default_rng(0).integers(0, 9, (1, 8, 8, 3), np.uint8))
    (layer,) = (each for each in find_map_layers(network.modules, (8, 8)) if each.name == "features")
    found = grad_cam(network, images, class_subject(1), layer)

    # The gradient of a class by a cell is its weight / 64 where the cell is above 0: channel weights are their means.
    small = network.modules
    assert isinstance(small, Small)
    maps = small.features(images)[0].detach()
    weights = small.scores.weight[1].detach() / 64 * (maps > 0).float().mean((1, 2))
    expected = (weights[:, None, None] * maps).sum(0).clamp(min=0)
    assert found.max() > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_layers_that_work_in_place_do_not_change_the_maps():
    network = PlainNetwork(Small().eval(), PLAIN)
    images = network.normalised(np.full((1, 8, 8, 3), 5, np.uint8))
    with torch.no_grad(), kept_maps(network.modules, ["features"]) as maps:
        network.outputs(images)
    assert torch.equal(maps["features"], network.modules.features(images))  # type: ignore[operator]


def test_map_lies_where_the_image_differs_though_the_network_turns_its_input(classifier: Explainer):
    found = classifier.explain(COFFEE, Question())
    assert found.heat is not None and found.class_name == "espresso"
    y, x = np.unravel_index(found.heat.values.argmax(), found.heat.values.shape)
    left, top, right, bottom = found.heat.area
    place = left + (x + 0.5) / 7 * (right - left), top + (y + 0.5) / 7 * (bottom - top)
    assert found.heat.area == (125.0, 25.0, 475.0, 375.0)
    assert 200 <= place[0] <= 400 and 80 <= place[1] <= 280  # the cup


def test_randomised_weights_change_the_map():
    plain, shaken = Explainer("efficientnet-lite0"), Explainer("efficientnet-lite0")
    before = plain.explain(COFFEE, Question(wanted_class=967)).heat
    torch.manual_seed(0)
    for module in shaken._plain.network.modules.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.reset_parameters()
    after = shaken.explain(COFFEE, Question(wanted_class=967)).heat
    assert before is not None and after is not None
    correlation: Any = spearmanr(before.values.ravel(), after.values.ravel())
    assert abs(correlation.statistic) < 0.5


def test_map_depends_on_the_class_that_is_asked_for(classifier: Explainer):
    cup, flag = (classifier.explain(ASTRONAUT, Question(wanted_class=each)).heat for each in ("football helmet", 8))
    assert cup is not None and flag is not None
    assert np.abs(cup.values - flag.values).max() > 0.5


def test_heat_of_a_box_lies_mostly_within_it(detector: Explainer):
    found = detector.explain(ASTRONAUT, Question())
    assert found.box is not None and found.heat is not None and found.class_name == "person"
    rows, columns = found.heat.values.shape
    _, _, right, bottom = found.heat.area
    x = (np.arange(columns) + 0.5) / columns * right
    y = (np.arange(rows) + 0.5) / rows * bottom
    inside = ((y >= found.box[1]) & (y <= found.box[3]))[:, None] & ((x >= found.box[0]) & (x <= found.box[2]))
    assert found.heat.values[inside].sum() > 0.7 * found.heat.values.sum()


def test_each_box_has_a_map_of_its_own():
    explainer = Explainer("mask-rcnn-nuclei")
    places = []
    for box in ((413.2, 481.9, 437.7, 507.7), (330.0, 0.0, 360.0, 30.0)):
        try:
            found = explainer.explain(NUCLEI, Question(target=Target(box, 0)))
        except CannotExplain:
            continue
        assert found.heat is not None
        places.append(np.unravel_index(found.heat.values.argmax(), found.heat.values.shape))
    assert len(places) == len(set(places)) >= 1


def test_box_that_the_network_does_not_find_is_refused(detector: Explainer):
    with pytest.raises(CannotExplain, match="does not find this box"):
        detector.explain(ASTRONAUT, Question(target=Target((480.0, 0.0, 511.0, 40.0), 0)))


def test_semantic_segmenter_is_explained_by_its_class():
    found = Explainer("unet-person").explain(ASTRONAUT, Question())
    assert (found.class_name, found.box, found.layer) == ("person", None, "bottom")
    assert found.heat is not None and found.heat.values[:, :8].sum() > found.heat.values[:, 8:].sum()


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (Question(wanted_class="unicorn"), "no class 'unicorn'"),
        (Question(wanted_class=1000), "no class '1000'"),
        (Question(layer="neck"), "no layer 'neck'"),
        (Question("features", wanted_class="espresso"), "leave class out"),
        (Question(target=Target((0, 0, 9, 9), 0)), "box is for detectors"),
    ],
)
def test_question_that_does_not_fit_the_model_is_refused(classifier: Explainer, question: Question, message: str):
    with pytest.raises(CannotExplain, match=message):
        classifier.explain(COFFEE, question)


def test_missing_captum_is_an_error_of_its_own(classifier: Explainer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(captum_library, "find_spec", lambda _: None)
    with pytest.raises(ExplainingUnavailable, match=r"pip install 'tapetum\[explain\]'"):
        classifier.explain(COFFEE, Question())
    assert classifier.explain(COFFEE, Question("features")).sheet is not None


def test_layers_with_channels_last_are_no_maps():
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 5, 4, 4)
            self.last = nn.Sequential(nn.Linear(5, 5))

        def forward(self, images: Tensor) -> Tensor:
            return self.last(self.first(images).permute(0, 2, 3, 1)).mean((1, 2))

    assert [layer.name for layer in find_map_layers(Turned().eval(), (64, 64))] == ["first"]


def test_background_cannot_be_explained():
    with pytest.raises(CannotExplain, match="background"):
        Explainer("unet-person").explain(ASTRONAUT, Question(wanted_class="background"))


def test_model_without_a_network_is_refused():
    with pytest.raises(CannotExplain, match="noop has no network"):
        Explainer("noop")


def test_features_have_the_receptive_field_of_their_layer(classifier: Explainer):
    found = classifier.explain(COFFEE, Question("features", layer="stages.1"))
    assert found.sheet is not None and found.heat is None
    assert (found.sheet.channels, found.sheet.shown) == (24, 24)
    assert found.sheet.field_stride == 4 and found.sheet.field_size == 19
    assert found.sheet.picture.std() > 10
