import io
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
import yaml
from PIL import Image

from loadtests.agreement import agree, confident_predictions, prediction_from
from loadtests.contenders import with_one_model
from loadtests.overhead import Section
from loadtests.photos import CROWD, SMALL, photos
from loadtests.report import TITLES
from loadtests.scenarios import SECTIONS
from loadtests.systems.eager import load_eager
from loadtests.systems.fastapi_server import create_app
from loadtests.workloads import CLASSIFICATION, DETECTION, SEGMENTATION, WORKLOADS, Workload
from models.catalog.loading import load
from models.catalog.lookup import find
from services.kinds import TASKS
from services.serve_file import read_serve_file


def test_every_comparison_can_be_asked_for_and_has_a_title():
    assert set(SECTIONS) == {section.value for section in Section} == set(TITLES)


def test_every_task_but_poses_is_compared_where_the_gateway_answers_it():
    assert {task.task: task.path for task in TASKS.values()} == {
        "keypoints": "/v1/pose",  # the peers serve none
        **{name: workload.path for name, workload in WORKLOADS.items()},
    }


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
def test_workload_names_a_model_of_its_task(workload: Workload):
    assert find(workload.model).task == workload.task


def _config(folder: Path, *deployments: dict[str, Any]) -> Path:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({"applications": [{"args": {"deployments": deployments}}]}))
    return path


CLASSIFIER = {"name": "Classifier", "task": "classification", "models": ["noop"], "num_device_threads": 2}
DETECTOR = {"name": "Detector", "task": "detection", "models": ["yolox/tiny", "yolox/s"], "max_batch_size": 3}


def _one_deployment(folder: Path, model: str, *deployments: dict[str, Any]) -> tuple[str, list[str], int, int]:
    topology = read_serve_file(with_one_model(_config(folder, *deployments), model, folder / "one.yaml")).topology
    (kept,) = topology.deployments
    return kept.name, [spec.name for spec in kept.models], kept.device_threads, kept.max_batch_size


def test_one_model_gets_the_deployment_of_its_task(tmp_path: Path):
    assert _one_deployment(tmp_path, "yolox/nano", CLASSIFIER, DETECTOR) == ("Detector", ["yolox/nano"], 1, 3)
    assert _one_deployment(tmp_path, "efficientnet-lite0", CLASSIFIER, DETECTOR)[:2] == (
        "Classifier",
        ["efficientnet-lite0"],
    )


def test_one_model_gets_the_first_deployment_where_its_task_has_none(tmp_path: Path):
    assert _one_deployment(tmp_path, "yolox/nano", CLASSIFIER) == ("detection", ["yolox/nano"], 2, 16)


@pytest.mark.parametrize(
    ("workload", "picture"), [(CLASSIFICATION, "chelsea"), (DETECTION, CROWD), (SEGMENTATION, CROWD)], ids=WORKLOADS
)
async def test_peer_answers_as_the_adapter_does(workload: Workload, picture: str):
    (photo,) = photos(SMALL, [picture])
    transport = httpx.ASGITransport(create_app(workload, load_eager(workload.task)))
    async with httpx.AsyncClient(transport=transport, base_url="http://peer") as client:
        answer = (await client.post(workload.path, content=photo)).json()
    (expected,) = load(workload.model).predict([photo])
    assert (answer["model"], answer["image"]) == (workload.model, {"height": 480, "width": 640})
    assert confident_predictions(expected) and agree(prediction_from(workload.task, answer), expected)


def test_detecting_peer_gives_boxes_in_pixels_of_a_tall_photo():
    (photo,) = photos((900, 300), ["coffee"])
    model = load_eager("detection")
    tensor, size = model.preprocess(photo)
    assert (tuple(tensor.shape), size) == ((3, 416, 416), (900, 300))
    output = torch.tensor([[-10.0, 208.0, 1000.0, 500.0, 0.75, 0.0], [0.0, 0.0, 50.0, 50.0, 0.125, 0.0]])
    box = {"x_min": 0.0, "y_min": pytest.approx(450.0), "x_max": 300.0, "y_max": 900.0}
    assert model.answer(output, size)["predictions"] == [
        {"box": box, "class_id": 0, "class_name": "person", "score": 0.75}
    ]


def test_pictures_in_grey_are_sent_in_colour():
    (photo,) = photos(SMALL, ["camera"])
    assert Image.open(io.BytesIO(photo)).mode == "RGB"
