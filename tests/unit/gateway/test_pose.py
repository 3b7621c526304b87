"""`POST /v1/pose` of a real model behind a gateway: JSON, COCO's format, pictures, tensors, feedback, both clients."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from services.client import AsyncClient, Client, Pose, TapetumError
from tests.photos import encoded, photo
from tests.unit.hosted_gateway import HostedGateway, hosted_gateway
from tests.unit.pose_cards import write_pose_estimator

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

IMAGE = encoded(photo("astronaut").resize((160, 120)), "PNG")
NAMES = ("nose", "left_hand", "right_hand")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostedGateway]:
    folder = write_pose_estimator(tmp_path_factory.mktemp("catalog")).parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAPETUM_CATALOG", str(folder))
        with hosted_gateway([{"name": "Poses", "task": "keypoints", "models": ["dolls"]}]) as gateway:
            yield gateway


def ask(stack: HostedGateway, **params: Any) -> httpx.Response:
    return httpx.post(f"{stack.url}/v1/pose", content=IMAGE, params=params, timeout=60)


def test_an_answer_has_the_key_points_of_every_object_and_the_lines_between_them(stack: HostedGateway) -> None:
    answer = ask(stack).json()
    assert answer["model"] == "dolls" and answer["skeleton"] == [[0, 1], [0, 2]]
    assert 0 < len(answer["predictions"]) <= 5
    for row in answer["predictions"]:
        assert [point["name"] for point in row["keypoints"]] == list(NAMES)
        assert all(0 <= point["x"] <= 160 and 0 <= point["y"] <= 120 for point in row["keypoints"])
        assert all(0 <= point["score"] <= 1 and point["visible"] for point in row["keypoints"])
        assert row["class_name"] == "doll" and row["score"] >= 0.3
        mean = sum(point["score"] for point in row["keypoints"]) / 3
        assert row["pose_score"] == pytest.approx(row["score"] * mean, abs=2e-4)


def test_the_keypoint_threshold_marks_points_and_keeps_them(stack: HostedGateway) -> None:
    plain, strict = ask(stack).json(), ask(stack, keypoint_threshold=1).json()
    points = [point for row in strict["predictions"] for point in row["keypoints"]]
    assert not any(point["visible"] for point in points)
    assert [(point["x"], point["y"]) for point in points] == [
        (point["x"], point["y"]) for row in plain["predictions"] for point in row["keypoints"]
    ]


@pytest.mark.parametrize("value", ["2", "-0.1", "high"])
def test_a_threshold_out_of_range_is_refused(stack: HostedGateway, value: str) -> None:
    response = ask(stack, keypoint_threshold=value)
    assert response.status_code == 422 and "keypoint_threshold" in response.json()["error"]["message"]


def test_detection_parameters_count(stack: HostedGateway) -> None:
    assert len(ask(stack, max_detections=1).json()["predictions"]) == 1
    refused = ask(stack, max_detections=101)
    assert refused.status_code == 422 and "max_detections" in refused.json()["error"]["message"]
    assert ask(stack, score_threshold=1).json()["predictions"] == []
    assert ask(stack, classes="cat").status_code == 422


def test_cocos_format_has_three_numbers_a_key_point(stack: HostedGateway) -> None:
    rows = ask(stack, format="coco", image_id=9, keypoint_threshold=0.1).json()
    plain = ask(stack, keypoint_threshold=0.1).json()["predictions"]
    assert {row["image_id"] for row in rows} == {9} and {row["category_id"] for row in rows} == {1}
    for row, same in zip(rows, plain, strict=True):
        triples = [row["keypoints"][start : start + 3] for start in range(0, 9, 3)]
        expected = [[point["x"], point["y"], 2 if point["visible"] else 0] for point in same["keypoints"]]
        assert triples == expected and row["score"] == same["pose_score"] and "bbox" not in row


def test_a_picture_shows_the_skeletons(stack: HostedGateway) -> None:
    drawn = ask(stack, render="true")
    assert drawn.headers["content-type"].startswith("image/")
    with Image.open(io.BytesIO(drawn.content)) as picture:
        assert picture.size == (480, 360)
    hidden = ask(stack, render="true", keypoint_threshold=1)
    assert hidden.content != drawn.content


def test_a_second_answer_comes_from_the_cache(stack: HostedGateway) -> None:
    assert not ask(stack, max_detections=3).json()["cached"]
    assert ask(stack, max_detections=3).json()["cached"]
    assert not ask(stack, max_detections=3, keypoint_threshold=0.5).json()["cached"]


def test_clients_return_typed_poses(stack: HostedGateway) -> None:
    with Client(stack.url) as client:
        answer = client.pose(IMAGE, keypoint_threshold=0.1)
        several = client.pose_many([IMAGE, b"no image"])
    assert answer.skeleton == ((0, 1), (0, 2)) and isinstance(answer.predictions[0], Pose)
    assert [point.name for point in answer.predictions[0].keypoints] == list(NAMES)
    assert answer.to_json()["predictions"] == ask(stack, keypoint_threshold=0.1).json()["predictions"]
    assert isinstance(several[1], TapetumError) and several[1].code == "unsupported_image"


async def test_the_asynchronous_client_asks_too(stack: HostedGateway) -> None:
    async with AsyncClient(stack.url) as client:
        answer = await client.pose(IMAGE)
        (listed,) = await client.pose_many([IMAGE])
    assert not isinstance(listed, TapetumError) and answer.predictions == listed.predictions


def test_the_open_inference_protocol_has_tensors_of_key_points(stack: HostedGateway) -> None:
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [b64encode(IMAGE).decode()]}
    response = httpx.post(f"{stack.url}/v2/models/dolls/infer", json={"inputs": [tensor]}, timeout=60)
    assert response.status_code == 200, response.text
    outputs = {output["name"]: output for output in response.json()["outputs"]}
    count = outputs["num_detections"]["data"][0]
    assert outputs["keypoints"]["shape"] == [count, 3, 2] and outputs["keypoint_scores"]["shape"] == [count, 3]
    rows = ask(stack).json()["predictions"]
    expected = [number for row in rows for point in row["keypoints"] for number in (point["x"], point["y"])]
    np.testing.assert_allclose(outputs["keypoints"]["data"], expected, atol=0.01)
    assert outputs["keypoint_visible"]["datatype"] == "BOOL"


def feedback(stack: HostedGateway, objects: list[dict[str, Any]], **params: Any) -> httpx.Response:
    request_id = ask(stack, max_detections=1, **params).json()["request_id"]
    document = {"request_id": request_id, "target": {"objects": objects}}
    return httpx.post(f"{stack.url}/v1/feedback", json=document, timeout=60)


def as_target(row: dict[str, Any]) -> dict[str, Any]:
    flat = [number for point in row["keypoints"] for number in (point["x"], point["y"], 2)]
    return {"class": "doll", "box": row["box"], "keypoints": flat}


def test_feedback_with_the_same_key_points_is_a_match(stack: HostedGateway) -> None:
    (row,) = ask(stack, max_detections=1).json()["predictions"]
    figures = feedback(stack, [as_target(row)]).json()["figures"]
    assert figures == {"precision": 1, "recall": 1, "mean_oks": pytest.approx(1, abs=1e-4)}


def test_feedback_with_other_key_points_is_a_miss(stack: HostedGateway) -> None:
    (row,) = ask(stack, max_detections=1).json()["predictions"]
    far = {**as_target(row), "area": 1.0}
    far["keypoints"] = [number + 40 if place % 3 < 2 else 2 for place, number in enumerate(far["keypoints"])]
    figures = feedback(stack, [far]).json()["figures"]
    assert (figures["precision"], figures["recall"], figures["mean_oks"]) == (0, 0, None)


def test_an_unlabelled_person_counts_for_nothing(stack: HostedGateway) -> None:
    (row,) = ask(stack, max_detections=1).json()["predictions"]
    figures = feedback(stack, [{"class": "doll", "box": row["box"]}]).json()["figures"]
    assert figures["recall"] is None


@pytest.mark.parametrize(("points", "message"), [([1, 2, 2], "9 numbers"), ([1, 2, 7] * 3, "third number")])
def test_feedback_with_wrong_key_points_is_refused(stack: HostedGateway, points: list[float], message: str) -> None:
    box = {"x_min": 1, "y_min": 1, "x_max": 50, "y_max": 50}
    response = feedback(stack, [{"class": "doll", "box": box, "keypoints": points}])
    assert response.status_code == 422 and message in response.json()["error"]["message"]


def test_the_catalog_tells_the_skeleton(stack: HostedGateway) -> None:
    entry = httpx.get(f"{stack.url}/v1/models/dolls").json()
    assert entry["task"] == "keypoints" and entry["skeleton"]["names"] == list(NAMES)
    assert entry["skeleton"]["edges"] == [[0, 1], [0, 2]] and entry["skeleton"]["mirrored"] == [0, 2, 1]


def test_the_documentation_shows_the_endpoint(stack: HostedGateway) -> None:
    document = httpx.get(f"{stack.url}/openapi.json").json()
    operation = document["paths"]["/v1/pose"]["post"]
    assert "keypoint_threshold" in str(operation["parameters"])
