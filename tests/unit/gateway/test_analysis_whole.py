"""`POST /v1/analyze?model=…` with the bundled multi-task network behind a real gateway: one pass answers all tasks."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image

from models.catalog.loading import load
from models.kinds import KINDS
from models.multitask.model import MultitaskModel
from models.runtime import Runtime
from services.answers.wire import describe_prediction
from services.client import Client, TapetumError
from services.settings import Settings
from tests.checkout import DOCS
from tests.unit.hosted_gateway import HostedGateway, hosted_gateway

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

MODEL = "multitask-person"
DEPLOYMENTS = [
    {"name": "Detector", "task": "detection", "models": ["yolo-person"]},
    {"name": "Multitask", "task": "multitask", "models": [MODEL]},
]
PHOTO = DOCS / "images" / "astronaut.jpg"


@pytest.fixture(scope="module")
def stack() -> Iterator[HostedGateway]:
    with hosted_gateway(DEPLOYMENTS, Settings(feedback_ttl_s=60)) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def model() -> MultitaskModel:
    loaded = load(MODEL, Runtime())
    assert isinstance(loaded, MultitaskModel)
    return loaded


def ask(stack: HostedGateway, **parameters: str) -> httpx.Response:
    named = {"model": MODEL, **{name.replace("_", ".", 1): value for name, value in parameters.items()}}
    return httpx.post(f"{stack.url}/v1/analyze", params=named, content=PHOTO.read_bytes(), timeout=60)


def numbers_of(predictions: list[dict[str, Any]]) -> list[Any]:
    """Classes, scores and boxes as shares of the photo; heads that are compiled alone round otherwise in bfloat16."""
    rows = [
        (
            row["class_id"],
            row.get("score", row.get("probability")),
            *(side / 512 for side in row.get("box", {}).values()),
        )
        for row in predictions
    ]
    return [number for row in rows for number in row]


def error_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["message"]


def test_every_part_answers_as_it_does_alone(stack: HostedGateway, model: MultitaskModel) -> None:
    document = ask(stack, detect_score_threshold="0.4").json()
    answers: dict[str, dict[str, Any]] = document["answers"]
    assert list(answers) == ["classify", "detect", "segment"]
    assert document["image"] == {"height": 512, "width": 512}
    kinds = {"classify": "classification", "detect": "detection", "segment": "instance"}
    for task, kind in kinds.items():
        part, given = model.part(kind), {"score_threshold": 0.4} if kind == "detection" else {}
        parameters = KINDS[kind].parameters(**{**part.entry.defaults, **given})
        (found,) = part.predict([PHOTO.read_bytes()], parameters)
        expected = describe_prediction(found, part.class_names, parameters)["predictions"]
        assert (answers[task]["model"], answers[task]["version"]) == (MODEL, "1")
        assert numbers_of(answers[task]["predictions"]) == pytest.approx(numbers_of(expected), abs=0.01)


def test_segment_is_the_masks_of_objects_or_the_map_of_classes(stack: HostedGateway) -> None:
    masks = ask(stack, tasks="segment").json()["answers"]["segment"]["predictions"]
    regions = ask(stack, tasks="segment", segment_kind="semantic").json()["answers"]["segment"]["predictions"]
    assert "box" in masks[0] and "score" in masks[0]
    assert {"class_name", "fraction"} <= regions[0].keys() and "score" not in regions[0]


def test_a_second_request_is_answered_by_the_cache(stack: HostedGateway) -> None:
    first = ask(stack, tasks="classify,detect", classify_top_k="2").json()["answers"]
    second = ask(stack, tasks="classify,detect", classify_top_k="2").json()["answers"]
    assert not first["detect"].pop("cached") and second["detect"].pop("cached")
    assert first["detect"] == second["detect"] and len(first["classify"]["predictions"]) == 2


def test_all_parts_are_drawn_in_one_picture(stack: HostedGateway) -> None:
    response = httpx.post(
        f"{stack.url}/v1/analyze", params={"model": MODEL}, content=PHOTO.read_bytes(), headers={"accept": "image/png"}
    )
    assert response.headers["content-type"] == "image/png"
    with Image.open(BytesIO(response.content)) as picture:
        assert picture.size[1] >= 512


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"tasks": "pose"}, f"{MODEL} has no part for pose; it has classify, detect, segment"),
        ({"detect_augment": "true"}, f"augment: all parts of {MODEL} share one pass of the network; leave it out"),
        ({"detect_classes": "dog"}, "the model has no class 'dog'; it has person"),
        ({"detect_model": "yolo-person"}, "detect.model: model names one network for all tasks"),
    ],
)
def test_what_the_network_cannot_do_is_refused(stack: HostedGateway, parameters: dict[str, str], message: str) -> None:
    status, told = error_of(ask(stack, **parameters))
    assert status == 422 and message in told


def test_other_endpoints_do_not_choose_it(stack: HostedGateway) -> None:
    with Client(stack.url) as client:
        assert client.detect(PHOTO).model == "yolo-person"
        with pytest.raises(TapetumError, match=f"{MODEL} is a model for multitask, not for detection"):
            client.detect(PHOTO, model=MODEL)
        answered = client.analyze(PHOTO, model=MODEL)
        assert list(answered.answers) == ["classify", "detect", "segment"]


def infer(stack: HostedGateway, outputs: tuple[str, ...] = (), **parameters: float | str | bool) -> httpx.Response:
    image = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [b64encode(PHOTO.read_bytes()).decode()]}
    named = {name.replace("_", ".", 1): value for name, value in parameters.items()}
    sent = {"inputs": [image], "parameters": named, "outputs": [{"name": name} for name in outputs]}
    return httpx.post(f"{stack.url}/v2/models/{MODEL}/infer", json=sent, timeout=60)


def tensors_of(response: httpx.Response) -> dict[str, list[Any]]:
    return {tensor["name"]: tensor["data"] for tensor in response.json()["outputs"]}


def test_the_open_inference_protocol_has_the_tensors_of_every_part(stack: HostedGateway) -> None:
    told = httpx.get(f"{stack.url}/v2/models/{MODEL}").json()
    tensors = tensors_of(infer(stack))
    on_request = {"instance.mask_pixels", "semantic.class_map", "predictions"}
    assert tensors.keys() == {output["name"] for output in told["outputs"]} - on_request
    answers: dict[str, Any] = ask(stack).json()["answers"]
    assert tensors["detection.scores"] == pytest.approx([row["score"] for row in answers["detect"]["predictions"]])
    classes = [row["class_name"] for row in answers["classify"]["predictions"]]
    assert tensors["classification.class_names"] == classes
    assert tensors["semantic.image_sizes"] == [512, 512]


def test_in_the_open_inference_protocol_only_the_parts_run_whose_outputs_are_named(stack: HostedGateway) -> None:
    tensors = tensors_of(infer(stack, ("detection.scores", "predictions"), detection_score_threshold=0.9))
    assert min(tensors["detection.scores"]) >= 0.9
    (answer,) = tensors["predictions"]
    assert list(json.loads(answer)["parts"]) == ["classification", "detection", "instance", "semantic"]
    (count,) = tensors_of(infer(stack, ("classification.class_ids",), classification_top_k=1)).values()
    assert len(count) == 1


@pytest.mark.parametrize(
    ("outputs", "parameters", "message"),
    [
        (("boxes",), {}, "unexpected output 'boxes' of multitask-person; it has classification.probabilities"),
        ((), {"detection_nope": 1}, "unexpected parameter 'detection.nope'; multitask-person has classification"),
        ((), {"detection_augment": True}, "unexpected parameter 'detection.augment'"),
        (
            ("semantic.masks",),
            {"detection_score_threshold": 0.5},
            "detection.score_threshold: no output of detection is requested, so it does not run",
        ),
        ((), {"detection_score_threshold": 2}, "detection.score_threshold: Input should be less than or equal to 1"),
    ],
)
def test_the_open_inference_protocol_refuses_what_no_part_has(
    stack: HostedGateway, outputs: tuple[str, ...], parameters: dict[str, Any], message: str
) -> None:
    response = infer(stack, outputs, **parameters)
    assert response.status_code in (400, 422) and message in response.json()["error"]


def test_without_models_of_single_tasks_it_is_the_default() -> None:
    with hosted_gateway(DEPLOYMENTS[1:], Settings()) as gateway:
        response = httpx.post(f"{gateway.url}/v1/analyze?tasks=classify", content=PHOTO.read_bytes(), timeout=60)
    assert response.json()["answers"]["classify"]["model"] == MODEL
