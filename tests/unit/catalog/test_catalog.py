"""The catalog knows every model without torch, and knows it as torchvision does."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torchvision.models

from models.catalog.lookup import find, names
from models.catalog.torchvision_entries import torchvision_entries
from models.classification.bundled import EFFICIENTNET_LITE0
from models.entries.signal_preprocessing import SignalPreprocessing
from models.errors import UnknownModel
from models.kinds import find_kind
from models.sources.torchvision_manifest import PATH, row_of


def test_the_manifest_is_what_torchvision_says():
    expected = json.loads(json.dumps([row_of(entry) for entry in torchvision_entries()]))
    assert json.loads(PATH.read_text()) == expected, "run python -m models.catalog.torchvision_entries"


def test_every_row_of_the_manifest_is_read_back_as_it_was_written():
    for entry in torchvision_entries():
        assert find(entry.name) == entry
        assert find(f"torchvision/{entry.architecture}@{entry.version}") == replace(
            entry, name=f"torchvision/{entry.architecture}@{entry.version}"
        )


def test_every_classifier_detector_pose_estimator_and_segmenter_of_torchvision_can_be_asked_for_by_name():
    classifiers = torchvision.models.list_models(module=torchvision.models)
    detectors = torchvision.models.list_models(
        module=torchvision.models.detection, exclude=["*maskrcnn*", "*keypoint*"]
    )
    poses = torchvision.models.list_models(module=torchvision.models.detection, include=["*keypoint*"])
    segmenters = torchvision.models.list_models(include=["*maskrcnn*", "deeplabv3*", "fcn_*", "lraspp*"])
    expected = tuple(f"torchvision/{builder}" for builder in (*classifiers, *detectors, *poses, *segmenters))
    assert names()[-len(expected) :] == expected
    assert [find(name).name for name in names()] == list(names())


def test_the_bundled_models_come_first_and_then_those_to_download():
    listed = names()
    assert listed[:2] == ("efficientnet-lite0", "noop")
    assert [name for name in listed if name.startswith("yolox/")] == [
        f"yolox/{size}" for size in ("nano", "tiny", "s", "m", "l", "x")
    ]
    assert len(set(listed)) == len(listed)


def test_without_weights_in_the_name_torchvisions_recommended_ones_are_taken():
    assert find("torchvision/resnet50").version == "IMAGENET1K_V2"
    assert find("torchvision/resnet50@IMAGENET1K_V1").weights.location.endswith("resnet50-0676ba61.pth")


def test_preprocessing_is_told_on_the_scale_of_bytes():
    assert find("torchvision/resnet18").image_preprocessing.mean == (123.675, 116.28, 103.53)
    assert find("efficientnet-lite0").image_preprocessing.std == (128.0, 128.0, 128.0)


def test_weights_that_forbid_commercial_use_say_so():
    assert "LICENSE" in find("torchvision/vit_h_14").weights.licence


@pytest.mark.parametrize(
    "name",
    ["", "resnet50", "torchvision/", "torchvision/none", "torchvision/resnet50@", "torchvision/resnet50@V9",
     "torchvision/vgg16@IMAGENET1K_FEATURES", "other/resnet50", "torchvision/quantized_resnet50"],
)  # fmt: skip
def test_an_unknown_name_is_refused_with_the_known_ones(name):
    with pytest.raises(UnknownModel) as caught:
        find(name)
    assert caught.value.known == names()


@pytest.mark.parametrize("name", names())
def test_an_entry_is_ready_for_json(name):
    entry = json.loads(json.dumps(find(name).to_dict()))
    assert entry["name"] == name
    if not {"length", "latent_size"} & entry["preprocessing"].keys():  # of signals and latent vectors
        sides = ("crop", "resize") if entry["task"] == "classification" else ("short_side", "long_side")
        assert entry["preprocessing"][sides[0]] <= entry["preprocessing"][sides[1]]
    assert entry["class_names"] is None or len(entry["class_names"]) == entry["class_count"]
    assert "folder" not in entry


def test_the_bundled_accuracy_has_both_figures():
    assert [figure.metric for figure in EFFICIENTNET_LITE0.accuracy] == ["top1", "top5"]


@pytest.mark.parametrize(
    "module", ["errors", "kinds", "imaging.decoding", "catalog.lookup", "predictions", "runtime", "adapter"]
)
def test_a_module_that_the_gateway_imports_loads_no_torch(module):
    program = f"import sys, models.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("name", names())
def test_an_entry_suits_the_record_of_its_kind(name):
    entry = find(name)
    kind = find_kind(entry.task, entry.segmentation)
    assert kind.name == entry.kind
    assert isinstance(entry.preprocessing, kind.preprocessing | SignalPreprocessing)
    kind.parameters(**entry.defaults)


@pytest.mark.parametrize(
    ("task", "segmentation", "message"),
    [
        (
            "pose",
            None,
            "task must be one of classification, detection, keypoints, segmentation, multitask, stylization, ",
        ),
        ("segmentation", None, "segmentation is None for the task segmentation"),
        ("detection", "instance", "segmentation is instance for the task detection"),
    ],
)
def test_a_task_that_does_not_agree_with_its_masks_has_no_kind(task, segmentation, message):
    with pytest.raises(ValueError, match=message):
        find_kind(task, segmentation)
