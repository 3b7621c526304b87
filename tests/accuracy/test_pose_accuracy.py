"""The bundled pose estimator still finds what its card says, on photos that were held out of its training."""

import pytest

from models.catalog.loading import load
from models.datasets.labelled_photos import LabelledPhotos
from models.datasets.opening import open_dataset
from models.pose.estimator import PoseEstimator
from models.training.pose_accuracy import pose_accuracy
from tests.accuracy.test_detection_accuracy import recorded
from tests.checkout import SHARED_DATA

VAL = SHARED_DATA / "person" / "keypoints_val.json"
SLICE = 40
MODEL = "keypoint-rcnn-person"

pytestmark = pytest.mark.skipif(not VAL.is_file(), reason=f"needs the held-out photos of {VAL.parent.name}/")


def measured(limit: int | None = None) -> dict[str, float]:
    adapter, dataset = load(MODEL), open_dataset(str(VAL), "keypoints", limit)
    assert isinstance(adapter, PoseEstimator) and isinstance(dataset, LabelledPhotos)
    return pose_accuracy(adapter, dataset)


def test_the_first_photos_of_the_val_split_give_the_recorded_precision() -> None:
    found = measured(SLICE)
    assert found["oks_ap_50"] == pytest.approx(recorded(MODEL, SLICE, "oks_ap_50"), abs=0.015)
    assert found["oks_ap"] == pytest.approx(recorded(MODEL, SLICE, "oks_ap"), abs=0.01)


def test_the_whole_val_split_gives_the_recorded_precision() -> None:
    found = measured()
    assert found["oks_ap"] == pytest.approx(
        recorded(MODEL, len(open_dataset(str(VAL), "keypoints")), "oks_ap"), abs=0.005
    )
