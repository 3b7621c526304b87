"""`POST /v1/detect`: parameters, the model's own defaults, classes by name, and COCO's format."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from services.answers.wire import Item
from tests.unit.gateway_fakes import FakeBackend, MemoryCache, broken_inside, classify, gateway, png, post

MODEL = "street-net"


class FakeDetector(FakeBackend):
    """Finds one object of each class that was asked for, its score the threshold."""

    names = (MODEL,)
    entry = {  # noqa: RUF012  # read only
        **FakeBackend.entry,
        "task": "detection",
        "class_names": ["person", "traffic light", "7"],
        "defaults": {"score_threshold": 0.3, "iou_threshold": 0.65, "max_detections": 50},
    }

    def predictions_of(self, item: Item) -> list[dict[str, Any]]:
        names = self.entry["class_names"]
        wanted = item.parameters["class_ids"]
        return [
            {
                "box": {"x_min": 1.25, "y_min": 2.0, "x_max": 3.35, "y_max": 4.5},
                "class_id": class_id,
                "class_name": names[class_id],
                "score": item.parameters["score_threshold"],
            }
            for class_id in (range(len(names)) if wanted is None else wanted)
        ]

    @property
    def told(self) -> list[dict[str, Any]]:
        """The parameters of every image that has come."""
        return [item.parameters for call in self.calls for item in call]


async def detect(client: httpx.AsyncClient, image: bytes = png(), **params: Any) -> httpx.Response:
    return await post(client, "/v1/detect", image, params=params)


async def test_objects_are_answered_with_the_models_own_defaults():
    backend = FakeDetector()
    async with gateway(backend) as client:
        response = await detect(client)
    assert response.status_code == 200
    assert response.json()["model"] == MODEL
    assert response.json()["predictions"][0] == {
        "box": {"x_min": 1.25, "y_min": 2.0, "x_max": 3.35, "y_max": 4.5},
        "class_id": 0,
        "class_name": "person",
        "score": 0.3,
    }
    assert backend.told == [
        {
            "score_threshold": 0.3,
            "iou_threshold": 0.65,
            "max_detections": 50,
            "class_ids": None,
            "class_agnostic": False,
        }
    ]


async def test_parameters_mean_the_same_in_query_form_and_json():
    backend = FakeDetector()
    encoded = base64.b64encode(png()).decode()
    given = {"score_threshold": 0.5, "max_detections": 7, "class_agnostic": True, "classes": ["traffic light", 0]}
    text = {**given, "class_agnostic": "true", "classes": "traffic light, person"}
    async with gateway(backend) as client:
        await client.post("/v1/detect", json={"image": {"base64": encoded}, **given})
        await client.post("/v1/detect", files={"image": png()}, data=text)
        await detect(client, **text)
    assert (
        backend.told
        == [
            {
                "score_threshold": 0.5,
                "iou_threshold": 0.65,
                "max_detections": 7,
                "class_ids": (0, 1),
                "class_agnostic": True,
            }
        ]
        * 3
    )


async def test_classifiers_have_their_own_default_too():
    class Three(FakeBackend):
        entry = {**FakeBackend.entry, "defaults": {"top_k": 3}}  # noqa: RUF012  # read only

    async with gateway(Three()) as client:
        few, more = await classify(client, png()), await classify(client, png(), params={"top_k": 4})
    assert [len(response.json()["predictions"]) for response in (few, more)] == [3, 4]


async def test_requests_that_mean_the_same_share_an_answer():
    backend = FakeDetector()
    same: list[dict[str, Any]] = [
        {},
        {"score_threshold": "0.30", "iou_threshold": 0.65},
        {"classes": "7,person,traffic light"},
        {"classes": "0,1,2", "class_agnostic": "no"},
        {"format": "coco"},
        {"model": MODEL},
    ]
    async with gateway(backend, MemoryCache()) as client:
        for params in same:
            assert (await detect(client, **params)).status_code == 200
        assert len(backend.calls) == 1
        by_name, by_id = await detect(client, classes="7"), await detect(client, classes="2")
    assert (by_name.json()["cached"], by_id.json()["cached"]) == (False, True)


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"score_threshold": 1.5}, "score_threshold"),
        ({"score_threshold": "nan"}, "score_threshold"),
        ({"iou_threshold": -0.1}, "iou_threshold"),
        ({"max_detections": 0}, "max_detections"),
        ({"max_detections": 1001}, "max_detections"),
        ({"classes": ""}, "classes"),
        ({"classes": "x" * 201}, "classes"),
        ({"class_agnostic": "perhaps"}, "class_agnostic"),
        ({"format": "voc"}, "format"),
        ({"top_k": 3}, "top_k"),
        ({"image_id": 3}, "image_id"),
        ({"format": "coco", "image_id": "1,2"}, "image_id"),
    ],
)
async def test_parameter_that_is_wrong_is_named(params: dict[str, Any], problem: str):
    backend = FakeDetector()
    async with gateway(backend) as client:
        response = await detect(client, **params)
    assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_parameters")
    assert problem in response.json()["error"]["message"]
    assert backend.calls == []


@pytest.mark.parametrize("classes", [[True], [1.5], [None], [["person"]], {"person": 1}, True, 1.5])
async def test_classes_of_another_kind_are_refused(classes: Any):
    document = {"image": {"base64": base64.b64encode(png()).decode()}, "classes": classes}
    async with gateway(FakeDetector()) as client:
        response = await client.post("/v1/detect", json=document)
    assert response.status_code == 422


async def test_unknown_class_is_told_those_of_the_model():
    class Many(FakeDetector):
        entry = {**FakeDetector.entry, "class_names": [f"class {n}" for n in range(300)]}  # noqa: RUF012  # read only

    async with gateway(FakeDetector()) as client:
        few = (await detect(client, classes="person,preson,9")).json()["error"]
    async with gateway(Many()) as client:
        many = (await detect(client, classes="person")).json()["error"]
    assert few["message"] == "the model has no class 'preson', '9'; it has person, traffic light, 7"
    assert few["details"] == {"unknown": ["preson", "9"], "known": ["person", "traffic light", "7"], "classes": 3}
    assert (len(many["details"]["known"]), many["details"]["classes"], len(many["message"]) < 100) == (100, 300, True)


async def test_coco_format_is_a_plain_list_that_pycocotools_reads():
    async with gateway(FakeDetector()) as client:
        response = await detect(client, format="coco", image_id=397133, classes="person,7")
    assert response.json() == [
        {"image_id": 397133, "category_id": 1, "bbox": [1.25, 2.0, 2.1, 2.5], "score": 0.3},
        {"image_id": 397133, "category_id": 3, "bbox": [1.25, 2.0, 2.1, 2.5], "score": 0.3},
    ]


async def test_coco_format_numbers_categories_as_the_data_set_does():
    class Coco(FakeDetector):
        entry = {**FakeDetector.entry, "category_ids": [1, 10, 90]}  # noqa: RUF012  # read only

    async with gateway(Coco()) as client:
        response = await detect(client, format="coco")
    assert [found["category_id"] for found in response.json()] == [1, 10, 90]


@pytest.mark.parametrize(
    ("given", "ids"),
    [(None, [0, 1]), ("12,a.jpg", [12, "a.jpg"]), ("7,007", [7, "007"]), ([5, "5"], [5, "5"]), ([-1, 2], [-1, 2])],
)
async def test_images_of_a_list_have_their_own_ids(given: Any, ids: list[int | str]):
    encoded = {"base64": base64.b64encode(png()).decode()}
    document = {"images": [encoded, encoded], "format": "coco", "classes": "person", "image_id": given}
    async with gateway(FakeDetector()) as client:
        response = await client.post("/v1/detect", json=document)
    assert [found["image_id"] for found in response.json()] == ids


async def test_list_answer_has_errors_in_their_places_and_coco_has_none_to_give():
    files = [("image", image) for image in (png(1), broken_inside(), b"no image")]
    async with gateway(FakeDetector()) as client:
        listed = await client.post("/v1/detect", files=files)
        coco = await client.post("/v1/detect", files=files, data={"format": "coco", "image_id": "a,b,c"})
    codes = [result.get("error", {}).get("code") for result in listed.json()["results"]]
    assert codes == [None, "broken_image", "unsupported_image"]
    error = coco.json()["error"]
    assert (coco.status_code, error["code"], error["details"]) == (400, "broken_image", {"image_id": "b"})


async def test_etag_differs_between_formats_and_ids():
    async with gateway(FakeDetector(), MemoryCache()) as client:
        params: list[dict[str, Any]] = [{}, {"format": "coco"}, {"format": "coco", "image_id": 1}]
        tags = [(await detect(client, **some)).headers["etag"] for some in params]
        again = [(await detect(client, **some)).headers["etag"] for some in params]
    assert len(set(tags)) == 3
    assert again == tags


async def test_model_for_another_task_is_refused():
    async with gateway(FakeDetector()) as client:
        wrong = await classify(client, png(), params={"model": MODEL})
        none = await classify(client, png())
    assert (wrong.status_code, wrong.json()["error"]["details"]) == (422, {"task": "detection"})
    assert (none.status_code, none.json()["error"]["code"]) == (404, "unknown_model")


async def test_documentation_describes_detection():
    async with gateway(FakeDetector()) as client:
        document = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/v1/detect"]["post"]
    parameters = {parameter["name"]: parameter["schema"] for parameter in operation["parameters"]}
    assert parameters.keys() >= {"score_threshold", "classes", "format", "image_id"}
    assert parameters["classes"]["type"] == "string", "a query has no lists, but commas"
    examples = operation["responses"]["200"]["content"]["application/json"]["examples"]
    assert examples["format=coco"]["value"][0]["category_id"] == 1
