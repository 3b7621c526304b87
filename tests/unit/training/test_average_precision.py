"""Training measures with the same code: the areas and crowds of a COCO file, and NaN where there is no such object."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.datasets.opening import open_dataset
from models.datasets.samples import Sample
from models.geometry.masks import Mask
from models.predictions import Detections, InstanceMasks
from models.training.average_precision import average_precision
from models.training.run_log import RunLog
from tests.unit.object_scenes import SIZE, coco_files, pycocotools_evaluation, seeded_scenes

NAMES = {"map": 0, "map_50": 1, "map_75": 2, "map_small": 3, "map_medium": 4, "map_large": 5}


def written(folder: Path, file: dict, masks: bool) -> list[Sample]:
    for row in file["images"]:
        row["file_name"] = f"{row['id']}.png"
        Image.new("L", (SIZE[1], SIZE[0])).save(folder / row["file_name"])
    (folder / "instances_val.json").write_text(json.dumps(file))
    data = open_dataset(str(folder), "instance" if masks else "detection")
    return [data.load(index) for index in range(len(data))]


@pytest.mark.parametrize("masks", [False, True])
def test_a_data_set_is_measured_as_pycocotools_does(masks: bool, tmp_path: Path) -> None:
    scenes = seeded_scenes(8, masks=True)
    samples = written(tmp_path, coco_files(scenes, 4, masks=True)[0], masks)
    predictions: list[Detections] = []
    for scene in scenes:
        order = np.argsort(-scene.predictions.scores, kind="stable")
        found = scene.predictions.only(order)
        columns = found.boxes.astype(np.float32), found.scores.astype(np.float32), found.class_ids, SIZE
        assert found.masks is not None
        predictions.append(InstanceMasks(*columns, found.masks) if masks else Detections(*columns))
    figures = average_precision(zip(samples, predictions, strict=True), 4, masks=masks)
    oracle = pycocotools_evaluation(scenes, 4, masks).stats
    for name, place in NAMES.items():
        assert figures[name] == pytest.approx(oracle[place], abs=1e-3)  # boxes are rounded to 32 bits
        assert not masks or figures[name] == pytest.approx(oracle[place], abs=1e-9)


def test_crowds_without_masks_cover_their_boxes(tmp_path: Path) -> None:
    pixels = np.zeros(SIZE, np.bool_)
    pixels[10:60, 10:60] = True
    annotations = [
        {"id": 1, "bbox": [10, 10, 50, 50], "iscrowd": 0, "segmentation": Mask.from_array(pixels).to_coco()},
        {"id": 2, "bbox": [100, 100, 80, 80], "iscrowd": 1},
    ]
    annotations = [{**row, "image_id": 1, "category_id": 7, "area": 900.0} for row in annotations]
    file = {"images": [{"id": 1, "height": SIZE[0], "width": SIZE[1]}], "categories": [{"id": 7, "name": "cell"}]}
    samples = written(tmp_path, {**file, "annotations": annotations}, masks=True)
    inside = np.zeros(SIZE, np.bool_)
    inside[110:130, 110:130] = True
    masks = (Mask.from_array(inside), Mask.from_array(pixels))
    found = InstanceMasks(
        np.zeros((2, 4), np.float32), np.array([0.9, 0.8], np.float32), np.zeros(2, np.int64), SIZE, masks
    )
    figures = average_precision(zip(samples, [found], strict=True), 1, masks=True)
    assert figures["map"] == pytest.approx(1)
    assert figures["map_small"] == pytest.approx(1)  # as the file has its area
    assert math.isnan(figures["map_large"])


def test_a_log_leaves_out_what_is_not_there(tmp_path: Path) -> None:
    RunLog(tmp_path / "log.jsonl").add({"step": 3, "map": 0.5, "map_large": math.nan})
    row = json.loads((tmp_path / "log.jsonl").read_text())
    assert row["map"] == 0.5
    assert "map_large" not in row
