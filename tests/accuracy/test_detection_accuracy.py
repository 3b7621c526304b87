"""The bundled detectors still find what their cards say, on photos that were held out of their training."""

import pytest

from models.catalog.loading import load
from models.catalog.lookup import find
from models.datasets.opening import open_dataset
from models.runtime import Runtime
from models.training.detector_run import evaluate_adapter
from tests.checkout import SHARED_DATA

VAL = SHARED_DATA / "person" / "instances_val.json"
SLICE = 40
EXACT = Runtime(precision="fp32")
"""The default of a CPU without bf16."""
MODELS = ("yolo-person", "faster-rcnn-person")

pytestmark = pytest.mark.skipif(not VAL.is_file(), reason=f"needs the held-out photos of {VAL.parent.name}/")


def recorded(model: str, photos: int, metric: str) -> float:
    """The figure of a model's card."""
    figures = [
        figure.value
        for figure in find(model).accuracy
        if figure.metric == metric and f"({photos} photos)" in figure.dataset
    ]
    assert len(figures) == 1, f"{model} records {metric} on {photos} photos {len(figures)} times"
    return figures[0]


@pytest.mark.parametrize("model", MODELS)
def test_the_first_photos_of_the_val_split_give_the_recorded_precision(model: str) -> None:
    found = evaluate_adapter(load(model), open_dataset(str(VAL), "detection", SLICE))
    assert found["map_50"] == pytest.approx(recorded(model, SLICE, "map_50"), abs=0.015)
    assert found["map"] == pytest.approx(recorded(model, SLICE, "map"), abs=0.01)


@pytest.mark.parametrize("model", MODELS)
def test_bfloat16_costs_at_most_a_fifth_of_a_point_on_the_whole_val_split(model: str) -> None:
    dataset = open_dataset(str(VAL), "detection")
    default = evaluate_adapter(load(model), dataset)
    if Runtime().resolve() != EXACT.resolve():
        exact = evaluate_adapter(load(model, EXACT), dataset)
        assert default["map"] >= exact["map"] - 0.002
    assert default["map"] == pytest.approx(recorded(model, len(dataset), "map"), abs=0.005)
    assert default["map_50"] >= 0.5
    assert default["map"] >= 0.24
