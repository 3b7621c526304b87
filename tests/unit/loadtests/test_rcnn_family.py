"""`loadtests.rcnn_family`: the rows of its table, with one photo and few proposals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from loadtests import rcnn_family

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

PHOTO = Path(__file__).parents[3] / "docs" / "images" / "astronaut.jpg"


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """A COCO folder with one photo of one person."""
    (tmp_path / "images").mkdir()
    shutil.copy(PHOTO, tmp_path / "images" / PHOTO.name)
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [14, 110, 320, 402], "area": 128640, "iscrowd": 0}
    document = {
        "images": [{"id": 1, "file_name": PHOTO.name, "height": 512, "width": 512}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [box],
    }
    (tmp_path / "instances_val.json").write_text(json.dumps(document))
    return tmp_path


def test_all_three_detectors_are_measured_with_the_same_proposals(labels: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rcnn_family, "COUNTS", (5, 20))
    app = typer.Typer()
    app.command()(rcnn_family.main)
    output = labels / "figures.json"
    result = CliRunner().invoke(app, ["--data", str(labels), "--photos", "1", "--output", str(output)])
    assert result.exit_code == 0, result.output
    found = json.loads(output.read_text())
    rows = {(row["method"], row["proposals"]): row for row in found["rows"]}
    assert found["photos"] == 1 and len(rows) == 6
    for count in (5, 20):
        fast, faster = (rows[method, count] for method in ("Fast R-CNN", "Faster R-CNN"))
        assert {name: fast[name] for name in ("boxes", "recall", "map", "map_50")} == {
            name: faster[name] for name in ("boxes", "recall", "map", "map_50")
        }
        assert fast["recall"] == 1.0 and fast["map_50"] == pytest.approx(1.0)
    assert rows["R-CNN", 20]["cpu_ms"] > 2 * rows["Fast R-CNN", 20]["cpu_ms"]
    assert "Faster R-CNN" in result.stdout


def test_a_model_of_one_stage_is_refused(labels: Path):
    app = typer.Typer()
    app.command()(rcnn_family.main)
    result = CliRunner().invoke(app, ["--data", str(labels), "--model", "yolo-person"])
    assert result.exit_code == 2
