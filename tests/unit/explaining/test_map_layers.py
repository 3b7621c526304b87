"""Layers with feature maps: found without keeping their maps, and which of them are outputs of the network."""

import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.errors import CannotExplain
from models.explaining.explaining import Explainer
from models.explaining.explanation import Question, Seen
from models.explaining.feature_maps import feature_maps
from models.explaining.layer_choice import layer_of_box
from models.explaining.map_layers import find_map_layers
from models.explaining.plain_model import PlainNetwork
from models.explaining.subjects import Subject
from tests.checkout import DOCS
from tests.unit.explaining.test_grad_cam import PLAIN
from tests.unit.onnx_files import write_card, write_classifier

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]

COFFEE = (DOCS / "images" / "coffee.jpg").read_bytes()


class Counted(nn.Conv2d):
    """Notes how many of the outputs of all such layers are alive while it runs."""

    outputs: list[weakref.ref[Tensor]]
    most: int

    def forward(self, input: Tensor) -> Tensor:
        output = super().forward(input)
        self.outputs.append(weakref.ref(output))
        type(self).most = max(self.most, sum(each() is not None for each in self.outputs))
        return output


class Pyramid(nn.Module):
    """Returns the maps of two of its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1))
        self.deep = nn.Sequential(nn.Conv2d(4, 4, 3, 2, 1))
        self.twice = nn.Conv2d(4, 4, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        high = self.stem(images)
        low = self.deep(high)
        return self.twice(self.twice(high)).mean((2, 3)), low


def test_maps_are_not_kept_while_layers_are_found():
    Counted.outputs, Counted.most = [], 0
    network = nn.Sequential(*(Counted(3, 3, 1) for _ in range(9))).eval()
    assert len(find_map_layers(network, (16, 16))) == 9
    assert Counted.most <= 3


def test_layer_that_is_returned_has_the_shortest_name_of_its_map():
    found = {layer.name: layer.is_returned for layer in find_map_layers(Pyramid().eval(), (16, 16))}
    assert found == {"stem": False, "deep": True}


def test_level_that_a_box_comes_from_is_chosen():
    network = PlainNetwork(Pyramid().eval(), PLAIN)
    subject = Subject(0, 0.5, torch.tensor([0.0, 0.0, 9.0, 9.0]), lambda outputs: outputs[1].sum().reshape(1))
    chosen = layer_of_box(network, torch.rand(1, 3, 16, 16), subject, find_map_layers(network.modules, (16, 16)))
    assert chosen is not None and chosen.name == "deep"


def test_each_row_and_column_of_a_map_sees_pixels_of_the_input():
    maps = feature_maps(nn.Sequential(nn.Conv2d(3, 2, 3, 2, 1)), torch.rand(1, 3, 8, 6), "0")
    assert maps.seen((8, 6)) == (((0, 1), (1, 3), (3, 5), (5, 7)), ((0, 1), (1, 3), (3, 5)))


def test_unit_of_a_network_that_turns_its_input_sees_where_it_lies():
    class Turning(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first: Any = nn.Conv2d(3, 1, 2, 2)

        def forward(self, images: Tensor) -> Tensor:
            return self.first(images.flip([2, 3]))

    network = Turning().eval()
    blank, dot = torch.zeros(1, 3, 6, 6), torch.zeros(1, 3, 6, 6)
    dot[:, :, 0, 4] = 1
    maps = feature_maps(network, dot, "first")
    changed = (maps.values != feature_maps(network, blank, "first").values)[0].nonzero()
    row, column = (int(place[0]) for place in changed)
    rows, columns = maps.seen((6, 6)) or ((), ())
    assert (row, column) == (0, 2) and rows[row] == (0, 1) and columns[column] == (4, 5)


@pytest.fixture(scope="module")
def classifier() -> Explainer:
    return Explainer("efficientnet-lite0")


def test_units_see_parts_of_the_centre_crop(classifier: Explainer):
    sheet = classifier.explain(COFFEE, Question("features", layer="stages.2.0.depthwise.0")).sheet
    assert sheet is not None and sheet.seen is not None
    assert sheet.map_size == (28, 28) and len(sheet.tiles) == sheet.shown == 64
    assert (sheet.seen.rows[0][0], sheet.seen.rows[-1][1]) == pytest.approx((25, 375))
    assert (sheet.seen.columns[0][0], sheet.seen.columns[-1][1]) == pytest.approx((125, 475))
    low, high = sheet.seen.columns[14]
    assert high - low == pytest.approx(35 * 350 / 224)  # its receptive field, scaled as the crop of 350 pixels is


def test_units_behind_global_pooling_are_no_map(classifier: Explainer):
    with pytest.raises(CannotExplain, match="'classifier' has no feature maps over the image: its output is 1000"):
        classifier.explain(COFFEE, Question("features", layer="classifier"))


def test_tiles_lie_on_the_sheet_where_their_maps_are_drawn(classifier: Explainer):
    sheet = classifier.explain(COFFEE, Question("features", layer="stem.0")).sheet
    assert sheet is not None and isinstance(sheet.seen, Seen)
    height, width = sheet.tile_size
    for _, x, y in sheet.tiles:
        tile = sheet.picture[y : y + height, x : x + width]
        assert tile.shape[:2] == (height, width) and tile.reshape(-1, 3).std(0).max() > 0
    assert len({channel for channel, _, _ in sheet.tiles}) == 32


def test_activations_have_maps_and_layers_that_run_again_have_some_for_each_call():
    detector = Explainer("faster-rcnn-person")
    listed = {(layer.name, layer.call): layer for layer in detector.network_layers.layers}
    again = max((call for name, call in listed if name == "head.cls_logits"), default=0)
    first = detector.explain(COFFEE, Question("features", layer="head.cls_logits")).sheet
    last = detector.explain(COFFEE, Question("features", layer="head.cls_logits", call=again)).sheet
    assert again > 1 and first is not None and last is not None and first.map_size > last.map_size
    assert detector.explain(COFFEE, Question("features", layer="backbone.pyramid.backbone.stem.1")).sheet is not None
    with pytest.raises(CannotExplain, match=f"{again} times only"):
        detector.explain(COFFEE, Question("features", layer="head.cls_logits", call=again + 1))
    with pytest.raises(CannotExplain, match="call is for method=features"):
        detector.explain(COFFEE, Question("gradcam", call=2))


def test_layers_of_a_pose_estimator_end_with_its_keypoint_branch():
    found = Explainer("keypoint-rcnn-person").network_layers
    of_regions = [layer for layer in found.layers if layer.per_region]
    assert {layer.name.partition(".")[0] for layer in of_regions} == {
        *("box_head", "box_predictor", "keypoint_head", "keypoint_predictor"),
    }
    assert not any(layer.has_maps or layer.receptive_field for layer in of_regions)
    assert found.layers[-1].output_shape[0] == 17 and found.first is not None and found.filters is not None


def test_onnx_file_has_no_layers_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TAPETUM_CATALOG", str(tmp_path))
    write_card(write_classifier(tmp_path / "mine.onnx"))
    with pytest.raises(CannotExplain, match="mine is an ONNX file, and has no layers of torch"):
        _ = Explainer("mine").network_layers


def test_model_of_signals_has_no_layers_and_says_so():
    with pytest.raises(CannotExplain, match="mnist-1d takes signals: only models of images have"):
        Explainer("mnist-1d")
