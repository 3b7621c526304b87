"""`POST /v1/analyze` over fakes: which tasks are answered, what fails alone, and what is refused as a whole."""

from __future__ import annotations

import asyncio
import io
from base64 import b64encode
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from PIL import Image

from services.answers.wire import Item, Outcome
from services.errors import ServiceError
from services.gateway.accuracy.feedback_store import MemoryStore
from services.gateway.app import create_app
from services.gateway.serving.backends import Backend
from services.gateway.serving.registry import Registry
from services.settings import Settings
from services.telemetry import REQUESTS
from services.topology import check_topology
from tests.unit.gateway.test_rendering import FakeDetector
from tests.unit.gateway_fakes import FakeBackend, MemoryCache, Signing, broken_inside, png

PHOTO = png(200, size=(640, 480))
PERSON = {"box": {"x_min": 40.0, "y_min": 90.0, "x_max": 210.0, "y_max": 310.0}}


class Classifier(FakeBackend):
    image_size = (480, 640)


class Detector(FakeDetector):
    names = ("yolo-person",)
    image_size = (480, 640)


class FailingDetector(Detector):
    async def predict(self, items: list[Item]) -> list[Outcome | ServiceError]:
        self.calls.append(items)
        return [ServiceError("the model failed on this image") for _ in items]


def application(detector: FakeBackend, settings: Settings | None = None) -> FastAPI:
    deployments = [
        {"name": "Classifier", "task": "classification", "models": ["efficientnet-lite0", "noop"]},
        {"name": "Detector", "task": "detection", "models": ["yolo-person"]},
    ]
    backends: dict[str, Backend] = {"Classifier": Signing(Classifier()), "Detector": Signing(detector)}
    registry = Registry(check_topology({"deployments": deployments}), backends)
    asyncio.run(registry.readiness())
    return create_app(settings or Settings(), registry, MemoryCache(), MemoryStore())


def ask(app: FastAPI, *, content: bytes = PHOTO, **options: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            given = {"content": content} if not options.keys() & {"json", "files"} else {}
            return await client.post("/v1/analyze", **given, **options)

    return asyncio.run(send())


@pytest.fixture
def app() -> FastAPI:
    return application(Detector())


def test_every_task_with_a_loaded_model_is_answered_as_by_its_own_endpoint(app: FastAPI) -> None:
    async def send() -> tuple[httpx.Response, dict[str, Any]]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            single = {name: (await client.post(f"/v1/{name}", content=PHOTO)).json() for name in ("classify", "detect")}
            return await client.post("/v1/analyze", content=PHOTO), single

    response, single = asyncio.run(send())
    answer = response.json()
    assert list(answer["answers"]) == ["classify", "detect"]
    for name, alone in single.items():
        del alone["request_id"]
        assert alone.pop("image") == answer["image"]
        assert answer["answers"][name] == {**alone, "cached": True}
    assert "forward" not in response.headers["server-timing"] and "cache;dur" in response.headers["server-timing"]


def test_a_part_is_counted_by_its_own_task_and_the_whole_as_an_analysis(app: FastAPI) -> None:
    labels = [("detection", "yolo-person", "1", "ok"), ("analysis", "", "", "ok")]
    before = [REQUESTS.labels(*each)._value.get() for each in labels]
    ask(app)
    assert [REQUESTS.labels(*each)._value.get() for each in labels] == [count + 1 for count in before]


def test_prefixed_parameters_reach_their_task_from_query_form_and_json(app: FastAPI) -> None:
    image = {"image": {"base64": b64encode(PHOTO).decode()}}
    form = {"data": {"tasks": "classify", "classify.top_k": "3"}, "files": {"image": PHOTO}}
    for response in (
        ask(app, params={"tasks": "classify", "classify.top_k": 3}),
        ask(app, **form),
        ask(app, json={**image, "tasks": ["classify"], "classify": {"top_k": 3}}),
        ask(app, json={**image, "classify": {"top_k": 3}}, params={"tasks": "classify", "classify.model": "noop"}),
    ):
        assert len(response.json()["answers"]["classify"]["predictions"]) == 3, response.text


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"tasks": "fly"}, "there is no task fly"),
        ({"tasks": "detect,detect"}, "detect is given twice"),
        ({"tasks": ""}, "the list is empty; there are: classify, detect"),
        ({"tasks": "classify", "detect.classes": "dog"}, "detect.classes: detect is not one of tasks"),
        ({"detect.top_k": "3"}, "detect.top_k"),
        ({"detect.score_threshold": "7"}, "detect.score_threshold: Input should be less"),
        ({"detect.format": "coco"}, "detect.format: an analysis has no such parameter"),
        ({"detect.render": "true"}, "detect.render: an analysis has no such parameter"),
        ({"detect": "dog"}, "detect: it is a task"),
        ({"model": "yolo-person"}, "yolo-person is a model for detection, not for multitask"),
        ({"model": "x", "detect.model": "yolo-person"}, "detect.model: model names one network for all tasks"),
        ({"render": "cutout"}, "render: only a segmentation"),
        ({"top_k": "3"}, "top_k: Extra inputs"),
    ],
)
def test_wrong_parameters_are_refused_by_name(app: FastAPI, params: dict[str, str], message: str) -> None:
    response = ask(app, params=params)
    assert response.status_code == 422 and message in response.json()["error"]["message"]


@pytest.mark.parametrize("tasks", [["detect", ["a"]], [{}], 5, {}, [], [None]])
def test_tasks_that_are_no_list_of_names_are_refused(app: FastAPI, tasks: Any) -> None:
    response = ask(app, json={"image": {"base64": b64encode(PHOTO).decode()}, "tasks": tasks})
    assert response.status_code == 422 and response.json()["error"]["message"].startswith("tasks")


def test_a_parameter_in_query_and_json_is_refused(app: FastAPI) -> None:
    document = {"image": {"base64": b64encode(PHOTO).decode()}, "detect": {"score_threshold": 0.1}}
    response = ask(app, json=document, params={"detect.score_threshold": "0.2"})
    assert response.status_code == 422 and "detect.score_threshold is given twice" in response.text


def test_a_task_that_fails_has_its_error_in_its_place() -> None:
    response = ask(application(FailingDetector()))
    answers = response.json()["answers"]
    assert response.status_code == 200 and answers["classify"]["model"] == "efficientnet-lite0"
    assert answers["detect"]["error"]["code"] == "internal_error"
    assert answers["detect"]["error"]["request_id"] == response.json()["request_id"]


def test_a_task_that_is_asked_alone_and_fails_is_an_error_response() -> None:
    response = ask(application(FailingDetector()), params={"tasks": "detect"})
    assert response.status_code == 500 and response.json()["error"]["code"] == "internal_error"


def test_an_unknown_model_or_task_without_a_model_fails_alone(app: FastAPI) -> None:
    answers = ask(app, params={"tasks": "classify,detect,pose", "detect.model": "zzz"}).json()["answers"]
    assert [answers[name]["error"]["code"] for name in ("detect", "pose")] == ["unknown_model"] * 2
    assert answers["classify"]["predictions"]


def test_no_answer_at_all_is_the_first_error_with_the_others_as_details(app: FastAPI) -> None:
    error = ask(app, params={"tasks": "detect,segment", "detect.classes": "unicorn"}).json()["error"]
    assert error["code"] == "invalid_parameters"
    assert error["details"]["errors"]["segment"]["code"] == "unknown_model"


def test_a_broken_image_is_the_error_of_the_single_endpoints(app: FastAPI) -> None:
    for image, status in ((b"", 400), (b"text", 415), (broken_inside(), 400)):
        assert ask(app, content=image).status_code == status


def test_several_images_have_their_answers_or_errors_in_their_order(app: FastAPI) -> None:
    images = [{"base64": b64encode(image).decode()} for image in (PHOTO, b"text", broken_inside())]
    results = ask(app, json={"images": images}).json()["results"]
    assert list(results[0]["answers"]) == ["classify", "detect"]
    assert [result["error"]["code"] for result in results[1:]] == ["unsupported_image", "broken_image"]


def test_a_slow_task_loses_its_answer_at_the_time_limit_and_the_others_keep_theirs() -> None:
    detector = Detector()
    detector.takes_s = 5.0
    answers = ask(application(detector), headers={"x-request-timeout": "0.6"}).json()["answers"]
    assert answers["detect"]["error"]["code"] == "out_of_time" and answers["classify"]["predictions"]


def test_two_at_once_get_their_own_answers(app: FastAPI) -> None:
    photos = [png(level, size=(64, 48)) for level in range(6)]

    async def send() -> list[list[int]]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            each = [client.post(path, content=photo) for path in ("/v1/analyze", "/v1/classify") for photo in photos]
            found = [answer.json() for answer in await asyncio.gather(*each)]
            parts = [one["answers"]["classify"] if "answers" in one else one for one in found]
            ids = [part["predictions"][0]["class_id"] for part in parts]
            return [ids[:6], ids[6:]]

    analyzed, single = asyncio.run(send())
    assert analyzed == single and len(set(single)) == 6


def test_the_answers_are_drawn_in_one_picture_and_a_failed_task_is_an_error(app: FastAPI) -> None:
    response = ask(app, headers={"accept": "image/png"})
    assert response.headers["content-type"] == "image/png" and response.headers["vary"] == "Accept"
    assert Image.open(io.BytesIO(response.content)).size == (640, 480)
    assert ask(app, params={"render": "true", "tasks": "classify,pose"}).status_code == 404


def test_feedback_names_the_task_of_an_analysis(app: FastAPI) -> None:
    async def send() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            await client.post("/v1/analyze", content=PHOTO, headers={"x-request-id": "one"})
            truth = {"request_id": "one", "target": {"objects": [{"class": "person", **PERSON}]}}
            return [await client.post("/v1/feedback", json={**truth, **more}) for more in ({}, {"task": "detect"})]

    without, of_task = asyncio.run(send())
    assert without.status_code == 404 and "analysis" in without.json()["error"]["message"]
    assert of_task.status_code == 200 and of_task.json()["model"] == "yolo-person", of_task.text


def test_an_unknown_parameter_of_a_task_is_answered_with_the_parameters_of_that_task(app: FastAPI) -> None:
    error = ask(app, params={"tasks": "detect", "detect.nope": "3"}).json()["error"]
    known = error["details"]["known"]
    assert error["message"].startswith("detect.nope: ")
    assert "detect.score_threshold" in known and not {"classify", "detect.format"}.intersection(known)
    assert ask(app, params={"tasks": "detect", "detect.": "3"}).json()["error"]["message"].startswith('detect."": ')


def test_an_empty_name_of_a_network_is_unknown_and_no_default(app: FastAPI) -> None:
    assert ask(app, params={"model": ""}).json()["error"]["code"] == "unknown_model"


@pytest.mark.parametrize("wrong", [[[1]], [True], [""], [{}]])
def test_a_class_that_is_no_name_and_no_id_is_refused_with_one_message(app: FastAPI, wrong: list[object]) -> None:
    document = {"image": {"base64": b64encode(PHOTO).decode()}, "detect": {"classes": wrong}}
    message = ask(app, json=document).json()["error"]["message"]
    assert message == "detect.classes.0: Input should be a name, of 1 to 200 characters, or an id"
