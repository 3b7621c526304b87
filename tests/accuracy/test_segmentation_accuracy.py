"""The bundled segmenters still find what their cards say, on images that were held out of their training."""

import pytest

from models.catalog.loading import load
from models.catalog.lookup import find
from models.datasets.opening import open_dataset
from models.datasets.samples import EvaluationSet
from models.runtime import Runtime
from models.training.segmenter_run import evaluate_adapter
from tests.checkout import SHARED_DATA

DATA = SHARED_DATA
SLICE = 40
EXACT = Runtime(precision="fp32")
"""The default of a CPU without bf16."""
MODELS = {
    "unet-person": ("iou", 0.70),
    "mask-rcnn-person": ("map_50", 0.42),
    "unet-nuclei": ("iou", 0.82),
    "mask-rcnn-nuclei": ("map_50", 0.70),
}
"""The figure that counts, and the least that it may be on the whole split."""
TOLERANCE = {"iou": 0.015, "map_50": 0.03}
"""How far the figure of the slice may lie from the card's.

The slice of `person` holds 40 people, so one of them found or missed moves AP50 by up to 0.025. A CPU without bf16
answers in fp32, where scores near each other change places: 0.709 for the card's 0.732.
"""

pytestmark = pytest.mark.skipif(not (DATA / "nuclei").is_dir(), reason=f"needs the held-out images of {DATA.name}/")


def held_out(model: str, limit: int | None = None) -> EvaluationSet:
    """The images that the model did not learn from, those with masks."""
    folder = DATA / ("nuclei" if model.endswith("nuclei") else "person")
    return open_dataset(str(folder), find(model).kind, limit)


def recorded(model: str, photos: int) -> float:
    """The figure of a model's card."""
    metric = MODELS[model][0]
    figures = [
        figure.value
        for figure in find(model).accuracy
        if figure.metric == metric and f"({photos} photos with masks)" in figure.dataset
    ]
    assert len(figures) == 1, f"{model} records {metric} on {photos} photos {len(figures)} times"
    return figures[0]


def measured(model: str, dataset: EvaluationSet, runtime: Runtime) -> float:
    figures = {name.lower(): value for name, value in evaluate_adapter(load(model, runtime), dataset).items()}
    return figures[MODELS[model][0]]


@pytest.mark.parametrize("model", MODELS)
def test_the_first_images_of_the_val_split_give_the_recorded_figure(model: str) -> None:
    found = measured(model, held_out(model, SLICE), Runtime())
    assert found == pytest.approx(recorded(model, SLICE), abs=TOLERANCE[MODELS[model][0]])


@pytest.mark.parametrize("model", MODELS)
def test_bfloat16_costs_little_on_the_whole_val_split(model: str) -> None:
    dataset = held_out(model)
    exact = measured(model, dataset, EXACT)
    assert exact == pytest.approx(recorded(model, len(dataset)), abs=0.005)
    default = exact if Runtime().resolve() == EXACT.resolve() else measured(model, dataset, Runtime())
    assert exact - 0.005 <= default <= exact + 0.015  # by OpenVINO in bf16 Mask R-CNNs get up to 0.01 more, unexplained
    assert default >= MODELS[model][1]
