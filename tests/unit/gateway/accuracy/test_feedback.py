"""`POST /v1/feedback`: the truth about earlier answers, of every kind of model, and what it says of wrong ones."""

from __future__ import annotations

import asyncio
import base64
import io
import struct
import time
import zlib
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from models.adapter import SegmentationParameters
from models.geometry.masks import Mask
from models.predictions import InstanceMasks, Prediction, SemanticMask
from services.answers.wire import Item
from services.gateway.accuracy.feedback_store import MemoryStore
from services.gateway.openapi import ACCURACY_EXAMPLE, FEEDBACK_EXAMPLE, describe_feedback
from services.gateway.schemas import AccuracyOverview, FeedbackAnswer, FeedbackRequest
from tests.unit.gateway.test_detection import FakeDetector
from tests.unit.gateway.test_segmentation import CLASS_MAP, FakeInstances, FakeSegmenter
from tests.unit.gateway_fakes import FakeBackend, MemoryCache, broken_inside, classify, gateway, make_app, png, post

pytestmark = pytest.mark.slow

BOX = {"x_min": 10.0, "y_min": 10.0, "x_max": 20.0, "y_max": 20.0}
FIELD, WOOD = (Mask.from_array(np.equal(CLASS_MAP, class_id)).to_coco() for class_id in (1, 2))
NO_IDS = np.zeros(0, np.int64)


@pytest.fixture(autouse=True)
def no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.accuracy.answer_log.SECOND_LOOK_S", 0.0)


class Cats(FakeBackend):
    """Says that every image is a tabby, and knows two cranes."""

    entry = {**FakeBackend.entry, "class_names": ["tabby", "crane", "crane", "7"]}  # noqa: RUF012  # read only

    def predictions_of(self, item: Item) -> list[dict[str, Any]]:
        return [{"class_id": 0, "class_name": "tabby", "probability": 0.5}]


class Street(FakeDetector):
    """Finds what the test says, best first, above the threshold and of the classes that were asked for."""

    image_size = (600, 600)

    def __init__(self, *found: tuple[int, float, dict[str, float]]) -> None:
        super().__init__()
        self.found = found

    def predictions_of(self, item: Item) -> list[dict[str, Any]]:
        wanted = item.parameters["class_ids"] or (0, 1, 2)
        return [
            {"box": box, "class_id": class_id, "class_name": self.entry["class_names"][class_id], "score": score}
            for class_id, score, box in self.found
            if class_id in wanted and score >= item.parameters["score_threshold"]
        ]


def moved(x: float) -> dict[str, float]:
    return {**BOX, "x_min": 10.0 + x, "x_max": 20.0 + x}


async def tell(client: httpx.AsyncClient, request_id: str, target: Any, **members: Any) -> httpx.Response:
    return await client.post("/v1/feedback", json={"request_id": request_id, "target": target, **members})


async def figures(client: httpx.AsyncClient, target: Any, path: str = "/v1/detect", **params: Any) -> dict[str, Any]:
    """Figures of one image of which the truth is told."""
    answer = await post(client, path, png(), params=params)
    assert answer.status_code == 200, answer.text
    told = await tell(client, answer.headers["x-request-id"], target)
    assert told.status_code == 200, told.text
    FeedbackAnswer.model_validate_json(told.content)
    return told.json()["figures"]


def error_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


async def test_class_is_right_by_name_or_id_or_one_of_equal_names():
    rights: list[tuple[int | str, float]] = [("tabby", 1.0), (0, 1.0), ("crane", 0.0), ("7", 0.0), (2, 0.0)]
    async with gateway(Cats(), MemoryCache()) as client:
        for name, right in rights:
            assert await figures(client, {"class": name}, "/v1/classify") == {"top1": right}
        overview = (await client.get("/v1/accuracy")).json()["models"][0]
    assert overview["name"] == "efficientnet-lite0"
    assert (overview["live"]["samples"], overview["live"]["figures"]) == (5, {"top1": 0.4})


async def test_answer_tells_its_request_and_the_window():
    async with gateway(Cats(), MemoryCache()) as client:
        request_id = (await classify(client, png())).json()["request_id"]
        told = (await tell(client, request_id, {"class": "tabby"})).json()
    assert (told["model"], told["version"], told["request_id"], told["index"]) == (
        "efficientnet-lite0",
        "1",
        request_id,
        0,
    )
    assert (told["live"]["samples"], told["live"]["figures"]) == (1, {"top1": 1.0})


async def test_images_of_a_list_are_told_apart_and_errors_have_no_answer():
    files = [("image", png(1)), ("image", broken_inside()), ("image", png(2))]
    async with gateway(Cats(), MemoryCache()) as client:
        request_id = (await client.post("/v1/classify", files=files)).json()["request_id"]
        first = await tell(client, request_id, {"class": "tabby"}, index=0)
        third = await tell(client, request_id, {"class": "crane"}, index=2)
        broken = await tell(client, request_id, {"class": "tabby"}, index=1)
        beyond = await tell(client, request_id, {"class": "tabby"}, index=3)
    assert [one.json()["figures"]["top1"] for one in (first, third)] == [1.0, 0.0]
    assert error_of(broken) == (404, "unknown_answer")
    assert error_of(beyond) == (422, "invalid_parameters") and "had 3 images" in beyond.json()["error"]["message"]


async def test_second_feedback_on_an_image_is_refused_and_a_new_answer_under_the_id_is_not():
    headers = {"x-request-id": "mine"}
    async with gateway(Cats(), MemoryCache()) as client:
        await classify(client, png(1), headers=headers)
        first, second, third = [await tell(client, "mine", {"class": "tabby"}) for _ in range(3)]
        await classify(client, png(2), headers=headers)
        other = await tell(client, "mine", {"class": "tabby"})
        overview = (await client.get("/v1/accuracy")).json()["models"][0]
    assert (first.status_code, other.status_code) == (200, 200)
    assert error_of(second) == error_of(third) == (409, "already_given")
    assert overview["live"]["samples"] == 2


async def test_wrong_truth_can_be_told_again_right():
    async with gateway(Cats(), MemoryCache()) as client:
        request_id = (await classify(client, png())).json()["request_id"]
        assert error_of(await tell(client, request_id, {"class": "dog"})) == (422, "invalid_parameters")
        assert (await tell(client, request_id, {"class": "tabby"})).status_code == 200


async def test_answers_that_nobody_keeps_take_no_feedback():
    backend, cache = Cats(), MemoryCache()
    async with gateway(backend, cache) as client:
        unstored = await classify(client, png(1), headers={"cache-control": "no-store"})
        stored = await classify(client, png(2))
        cache.bodies.clear()
        for request_id in ("never-given", unstored.json()["request_id"], stored.json()["request_id"]):
            assert error_of(await tell(client, request_id, {"class": "tabby"})) == (404, "unknown_answer")


@pytest.mark.parametrize(("cache", "options"), [(None, {}), (MemoryCache(), {"feedback_ttl_s": 0})])
async def test_feedback_that_is_off_says_so(cache: MemoryCache | None, options: dict[str, Any]):
    async with gateway(Cats(), cache, **options) as client:
        request_id = (await classify(client, png())).json()["request_id"]
        assert error_of(await tell(client, request_id, {"class": "tabby"})) == (404, "feedback_off")


async def test_request_id_expires():
    store = MemoryStore()
    store.remember("a", b"line", 0)
    store.remember("b", b"line", 60)
    assert (await store.recall("a"), await store.recall("b")) == (None, b"line")


async def test_drawn_cached_and_coco_answers_take_feedback():
    street = Street((0, 0.9, BOX))
    async with gateway(street, MemoryCache()) as client:
        first = await post(client, "/v1/detect", png())
        coco = await post(client, "/v1/detect", png(), params={"format": "coco"})
        drawn = await post(client, "/v1/detect", png(), params={"render": True})
        for response in (first, coco, drawn):
            told = await tell(client, response.headers["x-request-id"], {"objects": [{"class": 0, "box": BOX}]})
            assert told.json()["figures"] == {"precision": 1.0, "recall": 1.0, "mean_iou": 1.0}
    assert len(street.calls) == 1


async def test_best_object_chooses_first_and_each_target_is_found_once():
    # IoU with the target: 0.9/1.1 of the better one and 1 of the other, which comes too late.
    found = [(0, 0.9, moved(1.0)), (0, 0.8, BOX), (1, 0.7, BOX), (0, 0.6, moved(500.0))]
    there = [{"class": "person", "box": BOX}, {"class": "traffic light", "box": moved(5.0)}]
    async with gateway(Street(*found), MemoryCache()) as client:
        assert await figures(client, {"objects": there}) == {
            "precision": 0.25,
            "recall": 0.5,
            "mean_iou": pytest.approx(9 / 11, abs=1e-6),
        }


async def test_iou_of_one_half_is_enough_and_less_is_not():
    # Boxes of 10 x 10: shifted by 10/3, they share 2/3 of the one and 4/3 of it together.
    for shift, recall in ((10 / 3 - 1e-6, 1.0), (10 / 3 + 1e-3, 0.0)):
        async with gateway(Street((0, 0.9, moved(shift))), MemoryCache()) as client:
            assert (await figures(client, {"objects": [{"class": 0, "box": BOX}]}))["recall"] == recall


async def test_what_lies_in_a_crowd_counts_neither_way():
    found = [(0, 0.9, moved(100.0)), (1, 0.8, moved(100.0))]
    crowd = {"class": 0, "box": {**moved(100.0), "x_min": 50.0, "x_max": 500.0}, "crowd": True}
    async with gateway(Street(*found), MemoryCache()) as client:
        told = await figures(client, {"objects": [crowd]})
    assert told == {"precision": 0.0, "recall": None, "mean_iou": None}, "the other class was found for nothing"


async def test_nothing_there_and_nothing_found_says_nothing():
    async with gateway(Street(), MemoryCache()) as client:
        assert await figures(client, {"objects": []}) == {"precision": None, "recall": None, "mean_iou": None}
        assert (await client.get("/v1/accuracy")).json()["models"][0]["live"]["samples"] == 1


async def test_objects_of_classes_that_were_not_asked_for_are_not_missed():
    street = Street((0, 0.9, BOX), (1, 0.8, moved(50.0)))
    there = {"objects": [{"class": 0, "box": BOX}, {"class": 2, "box": moved(100.0)}]}
    async with gateway(street, MemoryCache()) as client:
        assert (await figures(client, there, classes="person"))["recall"] == 1.0
        assert (await figures(client, there))["recall"] == 0.5
        assert (await figures(client, there, score_threshold=0.95))["recall"] == 0.0


@pytest.mark.parametrize("mask_format", ["rle", "png"])
async def test_objects_with_masks_are_compared_by_masks_and_others_by_boxes(mask_format: str):
    # The masks fill their boxes; half of one is one of four columns less, at an IoU of 3/4.
    half = np.zeros((4, 6), bool)
    half[:2, 3:] = True
    masks = [{"class": "field", "mask": Mask.from_array(half).to_coco()}, {"class": 1, "mask": WOOD}]
    box = {"x_min": 0, "y_min": 2, "x_max": 2, "y_max": 4}
    async with gateway(FakeInstances(), MemoryCache()) as client:
        names = FakeInstances.entry["class_names"]
        masks[0]["class"] = names[0]
        by_masks = await figures(client, {"objects": masks}, "/v1/segment", mask_format=mask_format)
        by_boxes = await figures(
            client, {"objects": [{"class": 1, "box": box}]}, "/v1/segment", mask_format=mask_format
        )
    assert by_masks == {"precision": 1.0, "recall": 1.0, "mean_iou": (0.75 + 1) / 2}
    assert by_boxes == {"precision": 0.5, "recall": 1.0, "mean_iou": 1.0}


@pytest.mark.parametrize("mask_format", ["rle", "polygon", "png"])
async def test_pixels_are_compared_class_by_class_in_any_format(mask_format: str):
    # Found: field 8 pixels, wood 4. There: field 8, of which 4 found; wood as found; the rest is nobody's.
    truth = CLASS_MAP.copy()
    truth[0, 2:], truth[3, 2:] = 0, 1
    truth[2, 2:] = 255
    told = {"class_map": encoded(truth)}
    async with gateway(FakeSegmenter(), MemoryCache()) as client:
        got = await figures(client, told, "/v1/segment", mask_format=mask_format)
    if mask_format != "polygon":  # whose corners are rounded
        # field: 4 of 12; wood: 4 of 4; background: 4 of 4 + 4 (found there) + 4 (missed).
        assert got == {
            "iou": pytest.approx((4 / 12 + 1) / 2, abs=1e-6),
            "miou": pytest.approx((4 / 12 + 1 + 1 / 3) / 3, abs=1e-6),
        }
    assert got["iou"] == pytest.approx(2 / 3, abs=0.1)


def encoded(class_map: np.ndarray[Any, Any], mode: str | None = None) -> str:
    file = io.BytesIO()
    image = Image.fromarray(class_map)
    (image.convert(mode) if mode else image).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


async def test_masks_by_class_are_as_good_as_a_map_and_windows_add_pixels_up():
    masks = {"masks": [{"class": "field", "mask": FIELD}, {"class": 2, "mask": WOOD}]}
    nothing = {"masks": []}
    async with gateway(FakeSegmenter(), MemoryCache()) as client:
        assert await figures(client, masks, "/v1/segment") == {"iou": 1.0, "miou": 1.0}
        alone = await figures(client, nothing, "/v1/segment")
        assert alone == {"iou": None, "miou": 0.5}, "classes that are not there are in no mean, as in an evaluation"
        live = (await client.get("/v1/accuracy")).json()["models"][0]["live"]
    assert live["figures"]["iou"] == 0.5, "each class has half of its pixels, of both images together"


async def test_pixels_of_classes_that_were_not_asked_for_are_background():
    async with gateway(FakeSegmenter(), MemoryCache()) as client:
        got = await figures(client, {"class_map": encoded(CLASS_MAP)}, "/v1/segment", classes="field")
    assert got == {"iou": 1.0, "miou": 1.0}


def grey_png(values: np.ndarray[Any, Any], depth: int, size: tuple[int, int] | None = None) -> str:
    """A PNG file in base64 whose pixels are shades of grey of so many bits; its header may lie about its size."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = size or values.shape
    bits = np.unpackbits(values[..., None], axis=2)[..., -depth:].reshape(len(values), -1)
    rows = np.pad(np.packbits(bits, axis=1), ((0, 0), (1, 0)))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0))
    file = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows.tobytes())) + chunk(b"IEND", b"")
    return base64.b64encode(file).decode()


@pytest.mark.parametrize("depth", [2, 4, 8])
async def test_shades_of_a_class_map_are_class_ids_whatever_their_bits(depth: int):
    async with gateway(FakeSegmenter(), MemoryCache()) as client:
        told = {"class_map": grey_png(np.asarray(CLASS_MAP, np.uint8), depth)}
        assert await figures(client, told, "/v1/segment") == {"iou": 1.0, "miou": 1.0}


async def test_what_a_class_map_says_besides_its_pixels_is_not_inflated():
    file = io.BytesIO()
    Image.fromarray(np.asarray(CLASS_MAP, np.uint8)).save(file, "PNG", icc_profile=bytes(2**22))
    async with gateway(FakeSegmenter(), MemoryCache()) as client:
        told = {"class_map": base64.b64encode(file.getvalue()).decode()}
        assert await figures(client, told, "/v1/segment") == {"iou": 1.0, "miou": 1.0}


async def test_box_is_cut_to_the_image_as_answers_are():
    beyond = {"x_min": -1e300, "y_min": -30, "x_max": 20, "y_max": 1e300}
    async with gateway(Street((0, 0.9, {"x_min": 0, "y_min": 0, "x_max": 20, "y_max": 600})), MemoryCache()) as client:
        assert (await figures(client, {"objects": [{"class": 0, "box": beyond}]}))["mean_iou"] == 1.0


OBJECT = {"class": "person", "box": BOX}
BAD_RUNS = ["", "1", "o" * 50, "52203\u00e9", "5220", "!!", [24], [1, -1, 24], [2**70], [25, -1], ["a"], [[24]], None]


@pytest.mark.parametrize(
    ("backend", "target", "member"),
    [
        (Cats(), {}, "target.class"),
        (Cats(), {"class": "dog"}, "target.class"),
        (Cats(), {"class": 4}, "target.class"),
        (Cats(), {"class": True}, "target.class"),
        (Cats(), {"class": "tabby", "score": 1}, "target.score"),
        (Cats(), {"objects": []}, "target.class"),
        (Street(), {"class": "person"}, "target.objects"),
        (Street(), {"objects": [{"class": "person"}]}, "target.objects.0"),
        (Street(), {"objects": [{"box": BOX}]}, "target.objects.0.class"),
        (Street(), {"objects": [OBJECT, {**OBJECT, "class": "dog"}]}, "target.objects.1.class"),
        (Street(), {"objects": [{**OBJECT, "box": {**BOX, "x_max": 10.0}}]}, "target.objects.0.box"),
        (Street(), {"objects": [{**OBJECT, "box": {"x_min": 1}}]}, "target.objects.0.box.y_min"),
        (Street(), {"objects": [{**OBJECT, "box": {**BOX, "x_min": True}}]}, "target.objects.0.box.x_min"),
        (Street(), {"objects": [{**OBJECT, "box": {**BOX, "x_min": "10"}}]}, "target.objects.0.box.x_min"),
        (Street(), {"objects": [{**OBJECT, "box": {**BOX, "x_min": 600, "x_max": 601}}]}, "600 x 600 pixels"),
        (Street(), {"objects": [{**OBJECT, "box": {**BOX, "y_min": -9.5, "y_max": 0}}]}, "target.objects.0.box"),
        (Street(), {"objects": [{**OBJECT, "crowd": "yes"}]}, "target.objects.0.crowd"),
        (Street(), {"objects": [{**OBJECT, "mask": FIELD}]}, "target.objects.0.mask"),
        (Street(), {"objects": [OBJECT] * 1001}, "target.objects"),
        (FakeInstances(), {"objects": [{"class": 0, "mask": FIELD}, {"class": 0, "box": BOX}]}, "target.objects"),
        (FakeInstances(), {"objects": [{"class": 0, "mask": {**FIELD, "size": [6, 4]}}]}, "target.objects.0.mask"),
        *(
            (
                FakeInstances(),
                {"objects": [{"class": 0, "mask": {"size": [4, 6], "counts": bad}}]},
                "target.objects.0.mask",
            )
            for bad in BAD_RUNS[:-1]
            if bad != [24]
        ),
        (FakeSegmenter(), {}, "target"),
        (FakeSegmenter(), {"class_map": "", "masks": []}, "target"),
        (FakeSegmenter(), {"class_map": "no base64!"}, "target.class_map"),
        (FakeSegmenter(), {"class_map": base64.b64encode(b"no image").decode()}, "target.class_map"),
        (FakeSegmenter(), {"class_map": base64.b64encode(png(size=(6, 4))[:-30]).decode()}, "target.class_map"),
        (FakeSegmenter(), {"class_map": base64.b64encode(png(size=(6, 4))).decode()}, "target.class_map"),
        (FakeSegmenter(), {"class_map": encoded(CLASS_MAP.T.copy())}, "target.class_map"),
        (FakeSegmenter(), {"class_map": encoded(CLASS_MAP.astype(np.uint16))}, "target.class_map"),
        (FakeSegmenter(), {"class_map": grey_png(np.zeros((1, 8), np.uint8), 1, (30_000, 30_000))}, "target.class_map"),
        (FakeSegmenter(), {"class_map": encoded(CLASS_MAP + 3)}, "target.class_map"),
        (FakeSegmenter(), {"masks": [{"class": "background", "mask": FIELD}]}, "target.masks.0.class"),
        (
            FakeSegmenter(),
            {"masks": [{"class": 1, "mask": FIELD}, {"class": 2, "mask": {**WOOD, "counts": "1"}}]},
            "target.masks.1.mask",
        ),
    ],
)
async def test_truth_of_the_wrong_shape_is_refused_by_its_member(backend: FakeBackend, target: Any, member: str):
    path = {"classification": "/v1/classify", "detection": "/v1/detect"}.get(backend.entry["task"], "/v1/segment")
    async with gateway(backend, MemoryCache()) as client:
        answer = await post(client, path, png())
        told = await tell(client, answer.headers["x-request-id"], target)
    assert error_of(told) == (422, "invalid_parameters"), told.text
    assert member in told.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"no json", 400, "malformed_request"),
        (b"[]", 400, "malformed_request"),
        (b"{}", 422, "invalid_parameters"),
        (b'{"request_id": "a", "target": 5}', 422, "invalid_parameters"),
        (b'{"request_id": "", "target": {}}', 422, "invalid_parameters"),
        (b'{"request_id": "a", "index": -1, "target": {}}', 422, "invalid_parameters"),
        (b'{"request_id": "a", "index": true, "target": {}}', 422, "invalid_parameters"),
        (b'{"request_id": "a", "target": {}, "image": ""}', 422, "invalid_parameters"),
        (b'{"request_id": "' + b"a" * 3_000_000 + b'"}', 413, "body_too_large"),
        (b'{"request_id": "a", "target": {"objects": [' + b"0," * 300_000 + b"0]}}", 413, "body_too_large"),
        (
            b'{"request_id": "a", "target": {"objects": ' + b"[" * 300_000 + b"]" * 300_000 + b"}}",
            413,
            "body_too_large",
        ),
        (b'{"request_id": "a", "target": {"class": NaN}}', 400, "malformed_request"),
        (b'{"request_id": "\\ud800", "target": {}}', 400, "malformed_request"),
    ],
)
async def test_request_of_the_wrong_shape_is_refused(body: bytes, status: int, code: str):
    async with gateway(Cats(), MemoryCache(), max_body_bytes=2_000_000) as client:
        assert error_of(await client.post("/v1/feedback", content=body)) == (status, code)


async def test_feedback_that_is_wrong_everywhere_is_refused_at_once():
    objects = [{str(number): 0 for number in range(30)}] * 1000
    async with gateway(Street(), MemoryCache()) as client:
        request_id = (await post(client, "/v1/detect", png())).headers["x-request-id"]
        started_at = time.perf_counter()
        told = await tell(client, request_id, {"objects": objects, **objects[0]})
    assert error_of(told) == (422, "invalid_parameters") and len(told.content) < 10_000
    assert time.perf_counter() - started_at < 2


class SlowStore(MemoryStore):
    """Takes a second for the first feedback."""

    pushes = 0

    async def push(self, window: str, entries: Sequence[bytes], size: int) -> None:
        self.pushes += 1
        if self.pushes == 1:
            await asyncio.sleep(1)
        await super().push(window, entries, size)


async def test_feedback_that_ran_out_of_time_can_be_given_again():
    app = await make_app(Cats(), MemoryCache(), SlowStore())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        request_id = (await classify(client, png())).json()["request_id"]
        body = {"request_id": request_id, "target": {"class": 0}}
        late = await client.post("/v1/feedback", json=body, headers={"x-request-timeout": "0.05"})
        again = await client.post("/v1/feedback", json=body)
    assert error_of(late) == (504, "out_of_time")
    assert (again.status_code, again.json()["live"]["samples"]) == (200, 1)


async def test_keys_and_rates_hold_for_feedback_too():
    async with gateway(Cats(), MemoryCache(), api_keys="secret", rate_limit="2/minute") as client:
        assert error_of(await tell(client, "a", {})) == (401, "unauthorized")
        client.headers["x-api-key"] = "secret"
        responses = [await tell(client, "a", {}) for _ in range(3)]
    assert [error_of(response)[0] for response in responses] == [404, 404, 429]


async def test_feedback_is_counted_by_what_became_of_it():
    async with gateway(Cats(), MemoryCache()) as client:
        request_id = (await classify(client, png(3), params={"model": "noop"})).json()["request_id"]
        for one in (request_id, request_id, "nobody's-business"):
            await tell(client, one, {"class": 0})
        text = (await client.get("/metrics")).text
    assert 'tapetum_feedback_total{model="noop",outcome="ok"} 1.0' in text
    assert 'tapetum_feedback_total{model="noop",outcome="already_given"} 1.0' in text
    assert 'tapetum_feedback_total{model="",outcome="unknown_answer"}' in text
    assert "nobody's-business" not in text


async def test_documented_examples_are_understood():
    examples = describe_feedback()["requestBody"]["content"]["application/json"]["examples"]
    backends = {"classifier": Named(), "detector": Street(), "instance": FourByFour(), "semantic": FourByFourRegions()}
    for name, example in examples.items():
        FeedbackRequest.model_validate(example["value"])
        backend = next(one for kind, one in backends.items() if kind in name)
        path = {"classification": "/v1/classify", "detection": "/v1/detect"}.get(backend.entry["task"], "/v1/segment")
        async with gateway(backend, MemoryCache()) as client:
            request_id = (await post(client, path, png())).headers["x-request-id"]
            told = await client.post("/v1/feedback", json={**example["value"], "request_id": request_id})
        assert told.status_code == 200, (name, told.text)


async def test_documented_answers_are_as_they_are_checked():
    FeedbackAnswer.model_validate(FEEDBACK_EXAMPLE)
    AccuracyOverview.model_validate(ACCURACY_EXAMPLE)
    async with gateway(Cats()) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    for operation, example in (
        (paths["/v1/feedback"]["post"], FEEDBACK_EXAMPLE),
        (paths["/v1/accuracy"]["get"], ACCURACY_EXAMPLE),
    ):
        shown = operation["responses"]["200"]["content"]["application/json"]
        assert shown["example"] == example and "schema" in shown


class Named(Cats):
    entry = {**Cats.entry, "class_names": ["Egyptian cat"]}  # noqa: RUF012  # read only


class FourByFour(FakeInstances):
    entry = {**FakeInstances.entry, "class_names": ["person"]}  # noqa: RUF012  # read only

    def predict_one(self, parameters: SegmentationParameters) -> Prediction:
        return InstanceMasks(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), NO_IDS, (4, 4), ())


class FourByFourRegions(FakeSegmenter):
    entry = {**FakeSegmenter.entry, "class_names": ["background", "person"]}  # noqa: RUF012  # read only

    def predict_one(self, parameters: SegmentationParameters) -> Prediction:
        return SemanticMask(np.zeros((4, 4), np.uint8), NO_IDS, None, (4, 4))
