"""`POST /v1/segment`: parameters, what says nothing to a model, classes without the background, and the schemas."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from pycocotools.coco import COCO
from pydantic import TypeAdapter

from models.entries import MaskFormat
from models.geometry.masks import Mask
from models.parameters import SegmentationParameters
from models.predictions import InstanceMasks, Prediction, SemanticMask
from services.answers.wire import Item, Outcome, describe_prediction
from services.kinds import TASKS
from services.kinds.detection import DetectParameters
from services.kinds.segmentation import (
    CocoSegmentation,
    Instance,
    Region,
    SegmentAnswer,
    SegmentListAnswer,
    SegmentParameters,
)
from tests.unit.gateway_fakes import FakeBackend, MemoryCache, broken_inside, gateway, png, post

MODEL = "field-net"
SIZE = (4, 6)
CLASS_MAP = np.array([[0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1], [2, 2, 0, 0, 0, 0], [2, 2, 0, 0, 0, 0]], np.uint8)


def semantic_mask(parameters: SegmentationParameters) -> SemanticMask:
    present = np.array([1, 2], np.int64)
    if parameters.class_ids is not None:
        present = present[np.isin(present, parameters.class_ids)]
    shares = np.full(len(present), 0.75, np.float32) if parameters.probabilities else None
    return SemanticMask(CLASS_MAP, present, shares, SIZE)


def instance_masks(parameters: SegmentationParameters) -> InstanceMasks:
    boxes, scores = np.array([[2, 0, 6, 2], [0, 2, 2, 4]], np.float32), np.array([0.9, 0.6], np.float32)
    kept = (scores >= parameters.score_threshold) & (np.arange(2) < parameters.max_detections)
    masks = (Mask.from_array(CLASS_MAP == 1), Mask.from_array(CLASS_MAP == 2))
    ids = np.array([0, 1], np.int64)
    chosen = tuple(mask for mask, keep in zip(masks, kept, strict=True) if keep)
    return InstanceMasks(boxes[kept], scores[kept], ids[kept], SIZE, chosen)


class FakeSegmenter(FakeBackend):
    """Finds two rectangles in every image, and writes them down as a replica does."""

    names = (MODEL,)
    entry = {  # noqa: RUF012  # read only
        **FakeBackend.entry,
        "task": "segmentation",
        "segmentation": "semantic",
        "class_names": ["background", "field", "wood", "7"],
        "defaults": {},
    }

    def _answer(self, item: Item) -> Outcome:
        if item.image == broken_inside():
            return super()._answer(item)
        parameters = SegmentationParameters(**item.parameters)
        answer = describe_prediction(self.predict_one(parameters), self.entry["class_names"], parameters)
        return Outcome(orjson.dumps(answer), None, {"forward": 1.5})

    def predict_one(self, parameters: SegmentationParameters) -> Prediction:
        """The prediction for any image."""
        return semantic_mask(parameters)

    @property
    def told(self) -> list[dict[str, Any]]:
        """The parameters of every image that has come."""
        return [item.parameters for call in self.calls for item in call]


class FakeInstances(FakeSegmenter):
    entry = {  # noqa: RUF012  # read only
        **FakeSegmenter.entry,
        "segmentation": "instance",
        "class_names": ["field", "wood"],
        "defaults": {"score_threshold": 0.3, "max_detections": 50},
    }

    def predict_one(self, parameters: SegmentationParameters) -> Prediction:
        return instance_masks(parameters)


async def segment(client: httpx.AsyncClient, image: bytes = png(), **params: Any) -> httpx.Response:
    return await post(client, "/v1/segment", image, params=params)


async def test_classes_are_answered_with_their_pixels():
    backend = FakeSegmenter()
    async with gateway(backend) as client:
        response = await segment(client)
    answer = response.json()
    assert response.status_code == 200
    assert {**answer, "request_id": ""} == {
        "model": MODEL,
        "version": "1",
        "image": {"height": 4, "width": 6},
        "predictions": [
            {
                "class_id": 1,
                "class_name": "field",
                "area_pixels": 8,
                "fraction": 0.333333,
                "mask": Mask.from_array(CLASS_MAP == 1).to_coco(),
            },
            {
                "class_id": 2,
                "class_name": "wood",
                "area_pixels": 4,
                "fraction": 0.166667,
                "mask": Mask.from_array(CLASS_MAP == 2).to_coco(),
            },
        ],
        "cached": False,
        "request_id": "",
    }
    assert backend.told == [
        {
            "score_threshold": 0.5,
            "max_detections": 100,
            "class_ids": None,
            "mask_format": "rle",
            "probabilities": False,
        }
    ]


async def test_instance_model_is_told_its_own_defaults():
    backend = FakeInstances()
    async with gateway(backend) as client:
        response = await segment(client)
    assert [found["score"] for found in response.json()["predictions"]] == [0.9, 0.6]
    assert (backend.told[0]["score_threshold"], backend.told[0]["max_detections"]) == (0.3, 50)


async def test_parameters_mean_the_same_in_query_form_and_json():
    backend = FakeInstances()
    encoded = base64.b64encode(png()).decode()
    given = {"score_threshold": 0.7, "max_detections": 7, "mask_format": "polygon", "classes": ["wood"]}
    text = {**given, "classes": "wood"}
    async with gateway(backend) as client:
        await client.post("/v1/segment", json={"image": {"base64": encoded}, **given})
        await client.post("/v1/segment", files={"image": png()}, data=text)
        await segment(client, **text)
    expected = {**given, "class_ids": (1,), "probabilities": False}
    del expected["classes"]
    assert backend.told == [expected] * 3


@pytest.mark.parametrize(
    ("kind", "same"),
    [
        (
            FakeSegmenter,
            [
                {},
                {"score_threshold": 0.9, "max_detections": 3},
                {"classes": "7,wood,field"},
                {"classes": "1,2,3", "probabilities": "false"},
                {"mask_format": "rle"},
            ],
        ),
        (FakeInstances, [{}, {"probabilities": "true"}, {"score_threshold": "0.30"}, {"classes": "wood,field"}]),
    ],
    ids=["semantic", "instance"],
)
async def test_requests_that_mean_the_same_share_an_answer(kind: type[FakeSegmenter], same: list[dict[str, Any]]):
    backend = kind()
    async with gateway(backend, MemoryCache()) as client:
        for params in same:
            assert (await segment(client, **params)).status_code == 200
        assert len(backend.calls) == 1
        other = await segment(client, mask_format="png")
    assert other.json()["cached"] is False


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"mask_format": "foo"}, "mask_format"),
        ({"mask_format": "RLE"}, "mask_format"),
        ({"score_threshold": 1.5}, "score_threshold"),
        ({"score_threshold": "nan"}, "score_threshold"),
        ({"max_detections": 0}, "max_detections"),
        ({"max_detections": 1001}, "max_detections"),
        ({"classes": ""}, "classes"),
        ({"probabilities": "perhaps"}, "probabilities"),
        ({"iou_threshold": 0.5}, "iou_threshold"),
        ({"format": "voc"}, "format"),
        ({"top_k": 3}, "top_k"),
    ],
)
async def test_parameter_that_is_wrong_is_named_as_in_detection(params: dict[str, Any], problem: str):
    backend = FakeSegmenter()
    async with gateway(backend) as client:
        response = await segment(client, **params)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (422, "invalid_parameters")
    assert problem in error["message"]
    assert error["details"]["problems"][0]["parameter"].startswith(problem)
    assert error["details"]["known"] == sorted(SegmentParameters.model_fields)
    assert backend.calls == []


@pytest.mark.parametrize(
    "given",
    [
        {"mask_format": 1},
        {"mask_format": ["rle"]},
        {"probabilities": "x"},
        {"classes": 1.5},
        {"max_detections": True},
        {"score_threshold": False},
    ],
)
async def test_values_of_another_kind_are_refused(given: dict[str, Any]):
    document = {"image": {"base64": base64.b64encode(png()).decode()}, **given}
    async with gateway(FakeSegmenter()) as client:
        response = await client.post("/v1/segment", json=document)
    assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_parameters")


@pytest.mark.parametrize("classes", ["background", "0", "field,background"])
async def test_background_is_no_class_to_ask_for(classes: str):
    backend = FakeSegmenter()
    async with gateway(backend) as client:
        response = await segment(client, classes=classes)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (422, "invalid_parameters")
    assert error["message"] == (
        "'background' is the background, which has no mask of its own; the classes are field, wood, 7"
    )
    assert error["details"] == {"unknown": ["background"], "known": ["field", "wood", "7"], "classes": 3}
    assert backend.calls == []


async def test_first_class_of_an_instance_model_is_no_background():
    async with gateway(FakeInstances()) as client:
        assert (await segment(client, classes="0")).status_code == 200


async def test_unknown_class_is_told_those_of_the_model():
    async with gateway(FakeSegmenter()) as client:
        error = (await segment(client, classes="field,sea")).json()["error"]
    assert error["message"] == "the model has no class 'sea'; it has field, wood, 7"


async def test_list_answer_has_errors_in_their_places():
    files = [("image", image) for image in (png(1), broken_inside(), b"no image")]
    async with gateway(FakeSegmenter()) as client:
        response = await client.post("/v1/segment", files=files, data={"mask_format": "png"})
    results = response.json()["results"]
    assert [result.get("error", {}).get("code") for result in results] == [None, "broken_image", "unsupported_image"]
    assert "class_map" in results[0]
    SegmentListAnswer.model_validate_json(response.content)


@pytest.mark.parametrize("mask_format", ["rle", "polygon", "png"])
@pytest.mark.parametrize(
    ("kind", "row"), [(FakeSegmenter, Region), (FakeInstances, Instance)], ids=["regions", "objects"]
)
async def test_answers_are_as_the_schemas_say(kind: type[FakeSegmenter], row: type[Any], mask_format: MaskFormat):
    async with gateway(kind()) as client:
        response = await segment(client, mask_format=mask_format, probabilities=True)
    answer = SegmentAnswer.model_validate_json(response.content)
    assert [type(found) for found in answer.predictions] == [row, row]
    assert orjson.loads(answer.model_dump_json(exclude_unset=True)) == response.json(), "and nothing is left over"


async def test_coco_format_is_a_plain_list_that_pycocotools_reads():
    async with gateway(FakeInstances()) as client:
        response = await segment(client, format="coco", image_id=397133)
    assert response.json() == [
        {"image_id": 397133, "category_id": 1, "segmentation": Mask.from_array(CLASS_MAP == 1).to_coco(), "score": 0.9},
        {"image_id": 397133, "category_id": 2, "segmentation": Mask.from_array(CLASS_MAP == 2).to_coco(), "score": 0.6},
    ]
    truth = COCO()
    dataset: Any = {"images": [{"id": 397133}], "categories": [{"id": 1}, {"id": 2}], "annotations": []}
    truth.dataset = dataset
    truth.createIndex()
    read = truth.loadRes(response.json())
    assert [found["area"] for found in read.loadAnns(read.getAnnIds())] == [8, 4], "pixels of masks, not of boxes"


async def test_coco_format_shares_its_answer_with_json_and_has_a_tag_of_its_own():
    backend = FakeInstances()
    async with gateway(backend, MemoryCache()) as client:
        plain, coco = await segment(client), await segment(client, format="coco", mask_format="rle")
        SegmentAnswer.model_validate_json(plain.content)
        TypeAdapter(tuple[CocoSegmentation, ...]).validate_json(coco.content)
    assert plain.headers["etag"] != coco.headers["etag"]
    assert len(backend.calls) == 1


@pytest.mark.parametrize(
    ("kind", "params", "headers", "message"),
    [
        (FakeSegmenter, {"format": "coco"}, {}, "format: coco is a list of objects, and this model finds classes"),
        (FakeInstances, {"format": "coco", "mask_format": "polygon"}, {}, "mask_format: results in COCO's format have"),
        (FakeInstances, {"format": "coco", "mask_format": "png"}, {}, "mask_format: results in COCO's format have"),
        (FakeInstances, {"format": "coco", "image_id": "1,2"}, {}, "image_id: 2 ids for 1 images"),
        (FakeInstances, {"image_id": 3}, {}, "image_id: it is shown with format=coco only"),
        (FakeInstances, {"format": "coco"}, {"accept": "image/png"}, "format: coco is a list, which cannot be drawn"),
    ],
)
async def test_coco_format_of_what_it_cannot_hold_is_refused(
    kind: type[FakeSegmenter], params: dict[str, Any], headers: dict[str, str], message: str
):
    backend = kind()
    async with gateway(backend) as client:
        response = await post(client, "/v1/segment", png(), params=params, headers=headers)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (422, "invalid_parameters")
    assert error["message"].startswith(message)
    assert error["details"]["parameter"] == message.partition(":")[0]
    assert backend.calls == []


async def test_documentation_describes_segmentation():
    async with gateway(FakeSegmenter()) as client:
        document = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/v1/segment"]["post"]
    parameters = {parameter["name"]: parameter["schema"] for parameter in operation["parameters"]}
    assert parameters.keys() >= {
        "mask_format",
        "score_threshold",
        "max_detections",
        "classes",
        "probabilities",
        "format",
        "image_id",
    }
    assert parameters["classes"]["type"] == "string"
    api = TASKS["segmentation"]
    examples = operation["responses"]["200"]["content"]["application/json"]["examples"]
    assert examples.keys() == api.examples.keys()
    for example in examples.values():
        TypeAdapter(api.answer).validate_python(example["value"])


@pytest.mark.parametrize("mask_format", ["rle", "polygon", "png"])
def test_examples_are_what_the_encoder_writes(mask_format: MaskFormat):
    api = TASKS["segmentation"]
    square = np.zeros((4, 4), np.uint8)
    square[1:3, 1:3] = 1
    found = SemanticMask(square, np.array([1], np.int64), None, (4, 4))
    answer = describe_prediction(found, ("background", "person"), SegmentationParameters(mask_format=mask_format))
    name = "a semantic model" + ("" if mask_format == "rle" else f", mask_format={mask_format}")
    assert answer == {member: api.examples[name][member] for member in answer}


def test_drawn_answers_are_made_of_run_lengths():
    drawn = SegmentParameters(mask_format="png", classes=("field",)).for_drawing()
    assert (drawn.mask_format, drawn.classes) == ("rle", ("field",))
    other = DetectParameters(max_detections=3)
    assert other.for_drawing() == other


async def test_drawn_answer_and_json_share_what_the_model_found():
    backend = FakeSegmenter()
    async with gateway(backend, MemoryCache()) as client:
        await segment(client)
        picture = await post(
            client, "/v1/segment", png(size=(6, 4)), params={"mask_format": "png"}, headers={"accept": "image/png"}
        )
        again = await post(client, "/v1/segment", png(size=(6, 4)), params={"mask_format": "rle"})
    assert picture.headers["content-type"] == "image/png"
    assert again.json()["cached"] is True
    assert {told["mask_format"] for told in backend.told} == {"rle"}
