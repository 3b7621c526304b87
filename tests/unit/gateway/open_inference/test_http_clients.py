"""Unmodified clients of the Open Inference Protocol over HTTP, against real models behind a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from google.protobuf.json_format import ParseDict
from pycocotools import mask as coco_mask
from tritonclient.utils import InferenceServerException

from services.gateway.open_inference.protobuf import config_pb
from tests.photos import encoded, photo
from tests.unit.hosted_gateway import HostedGateway, hosted_gateway

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

CAT, ASTRONAUT = encoded(photo("chelsea"), "JPEG"), encoded(photo("astronaut"), "PNG")


@pytest.fixture(scope="module")
def gateway() -> Iterator[HostedGateway]:
    deployments = [
        {"name": "Classifier", "task": "classification", "models": ["efficientnet-lite0"], "precision": "fp32"},
        {"name": "Detector", "task": "detection", "models": ["yolo-person"], "precision": "fp32"},
        {
            "name": "Segmenter",
            "task": "segmentation",
            "models": ["unet-person", "mask-rcnn-person"],
            "precision": "fp32",
        },
    ]
    with hosted_gateway(deployments) as started:
        yield started


@pytest.fixture
def client(gateway: HostedGateway) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(gateway.address) as connected:
        yield connected


def images(*files: bytes, shape: Sequence[int] | None = None) -> list[triton.InferInput]:
    given = triton.InferInput("image", shape or [len(files)], "BYTES")
    given.set_data_from_numpy(np.array(files, dtype=object).reshape(shape or -1))
    return [given]


def pixels(array: np.ndarray, *, binary: bool = True) -> list[triton.InferInput]:
    given = triton.InferInput("pixels", list(array.shape), "UINT8")
    given.set_data_from_numpy(array, binary_data=binary)
    return [given]


def of_v1(gateway: HostedGateway, path: str, file: bytes, **parameters: Any) -> dict[str, Any]:
    """The answer of the JSON endpoint to the same image."""
    response = httpx.post(f"{gateway.url}/v1/{path}", content=file, params=parameters)
    return response.raise_for_status().json()


def test_probes_and_metadata(client):
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("yolo-person")
    assert client.is_model_ready("yolo-person", "1") and not client.is_model_ready("yolo-person", "2")
    assert not client.is_model_ready("no-such-model")
    server = client.get_server_metadata()
    assert server["name"] == "tapetum" and "binary_tensor_data" in server["extensions"]
    model = client.get_model_metadata("yolo-person", "1")
    assert (model["name"], model["versions"], model["platform"]) == ("yolo-person", ["1"], "tapetum")
    assert [one["name"] for one in model["inputs"]] == ["image", "pixels"]
    assert {"name": "boxes", "datatype": "FP32", "shape": [-1, 4]} in model["outputs"]


def test_the_configuration_is_one_that_triton_would_read(client):
    config: Any = ParseDict(client.get_model_config("unet-person"), config_pb.ModelConfig())
    assert (config.name, config.max_batch_size, config.input[0].optional) == ("unet-person", 0, True)
    assert config.dynamic_batching.preferred_batch_size[0] == 16


def test_the_index_lists_every_model(client):
    index = client.get_model_repository_index()
    assert [one["name"] for one in index] == ["efficientnet-lite0", "yolo-person", "unet-person", "mask-rcnn-person"]
    assert {(one["version"], one["state"]) for one in index} == {("1", "READY")}


def test_classes_are_those_of_v1(gateway, client):
    result = client.infer("efficientnet-lite0", images(CAT, ASTRONAUT), request_id="seven")
    expected = [of_v1(gateway, "classify", file)["predictions"] for file in (CAT, ASTRONAUT)]
    assert result.get_response()["id"] == "seven"
    assert result.get_response()["model_version"] == "1"
    assert result.as_numpy("class_ids").tolist() == [[one["class_id"] for one in row] for row in expected]
    assert result.as_numpy("class_names")[0, 0].decode() == expected[0][0]["class_name"]
    probabilities = [[one["probability"] for one in row] for row in expected]
    np.testing.assert_allclose(result.as_numpy("probabilities"), probabilities, atol=1e-7)


def test_parameters_of_the_request_are_those_of_v1(client):
    result = client.infer("efficientnet-lite0", images(CAT), parameters={"top_k": 2})
    assert result.as_numpy("class_ids").shape == (1, 2)
    people = client.infer("yolo-person", images(ASTRONAUT), parameters={"score_threshold": 0.99, "classes": "person"})
    assert people.as_numpy("boxes").shape == (0, 4)
    assert people.as_numpy("num_detections").tolist() == [0]


def test_the_classification_extension_returns_labelled_text(client):
    wanted = [triton.InferRequestedOutput("probabilities", class_count=3)]
    result = client.infer("efficientnet-lite0", images(CAT, ASTRONAUT), outputs=wanted)
    texts = result.as_numpy("probabilities")
    assert texts.shape == (2, 3)
    probability, class_id, name = texts[0, 0].decode().split(":")
    assert name.endswith("cat") and class_id.isdigit() and 0.3 < float(probability) < 0.5


def test_objects_of_several_images_lie_one_behind_the_other(gateway, client):
    empty = encoded(photo("coffee").resize((64, 64)), "PNG")
    result = client.infer("yolo-person", images(ASTRONAUT, empty, ASTRONAUT))
    (person,) = of_v1(gateway, "detect", ASTRONAUT)["predictions"]
    box = [person["box"][edge] for edge in ("x_min", "y_min", "x_max", "y_max")]
    assert result.as_numpy("num_detections").tolist() == [1, 0, 1]
    np.testing.assert_allclose(result.as_numpy("boxes"), [box, box], atol=1e-4)
    np.testing.assert_allclose(result.as_numpy("scores"), [person["score"]] * 2, atol=1e-6)
    assert result.as_numpy("image_sizes").tolist() == [[512, 512], [64, 64], [512, 512]]


def test_pixels_are_answered_as_the_file_that_has_them(client):
    array = np.asarray(photo("astronaut"))[np.newaxis]
    of_pixels, of_file = client.infer("yolo-person", pixels(array)), client.infer("yolo-person", images(ASTRONAUT))
    np.testing.assert_array_equal(of_pixels.as_numpy("boxes"), of_file.as_numpy("boxes"))


def test_pixels_may_come_as_json(client):
    array = np.asarray(photo("chelsea").resize((60, 40)))[np.newaxis]
    as_json, binary = (client.infer("efficientnet-lite0", pixels(array, binary=flag)) for flag in (False, True))
    np.testing.assert_array_equal(as_json.as_numpy("class_ids"), binary.as_numpy("class_ids"))


def test_a_column_of_images_is_taken_too(client):
    assert client.infer("efficientnet-lite0", images(CAT, CAT, shape=(2, 1))).as_numpy("class_ids").shape == (2, 5)


def test_masks_are_run_lengths_and_pixels(gateway, client):
    wanted = [triton.InferRequestedOutput(name) for name in ("masks", "mask_pixels", "num_detections")]
    result = client.infer("mask-rcnn-person", images(ASTRONAUT), outputs=wanted)
    found = of_v1(gateway, "segment", ASTRONAUT, model="mask-rcnn-person")["predictions"]
    assert [json.loads(text) for text in result.as_numpy("masks")] == [one["mask"] for one in found]
    decoded = np.stack([coco_mask.decode(one["mask"]) for one in found])
    np.testing.assert_array_equal(result.as_numpy("mask_pixels"), decoded)


def test_a_class_map_has_the_pixels_of_the_masks(gateway, client):
    wanted = [triton.InferRequestedOutput("class_map"), triton.InferRequestedOutput("num_masks", binary_data=False)]
    result = client.infer("unet-person", images(ASTRONAUT), outputs=wanted)
    (person,) = of_v1(gateway, "segment", ASTRONAUT, model="unet-person")["predictions"]
    assert result.as_numpy("num_masks").tolist() == [1]
    assert int((result.as_numpy("class_map") == 1).sum()) == person["area_pixels"]


def test_every_kind_returns_its_predictions_as_json(gateway, client):
    for path, model in (("classify", "efficientnet-lite0"), ("detect", "yolo-person"), ("segment", "unet-person")):
        result = client.infer(model, images(ASTRONAUT), outputs=[triton.InferRequestedOutput("predictions")])
        (text,) = result.as_numpy("predictions")
        assert json.loads(text)["predictions"] == of_v1(gateway, path, ASTRONAUT, model=model)["predictions"]


@pytest.mark.parametrize("sent", ["gzip", "deflate", None])
@pytest.mark.parametrize("received", ["gzip", "deflate", None])
def test_bodies_may_be_compressed(client, sent, received):
    result = client.infer(
        "efficientnet-lite0",
        images(CAT),
        request_compression_algorithm=sent,
        response_compression_algorithm=received,
    )
    assert result.as_numpy("class_ids").shape == (1, 5)
    assert result._result["outputs"]


def test_answers_are_cached_with_those_of_v1(gateway, client):
    file = encoded(photo("rocket").resize((96, 96)), "PNG")
    before = gateway.backends["Classifier"].images
    of_v1(gateway, "classify", file)
    client.infer("efficientnet-lite0", images(file))
    assert gateway.backends["Classifier"].images == before + 1


def test_statistics_count_requests_images_and_failures(client):
    (before,) = client.get_inference_statistics("efficientnet-lite0")["model_stats"]
    client.infer("efficientnet-lite0", images(CAT, CAT), headers={"Cache-Control": "no-store"})
    with pytest.raises(InferenceServerException):
        client.infer("efficientnet-lite0", images(b"no image"))
    (after,) = client.get_inference_statistics("efficientnet-lite0", "1")["model_stats"]
    assert after["inference_count"] == before["inference_count"] + 2
    for outcome in ("success", "fail"):
        assert after["inference_stats"][outcome]["count"] == before["inference_stats"][outcome]["count"] + 1
    assert after["inference_stats"]["compute_infer"]["ns"] > before["inference_stats"]["compute_infer"]["ns"]
    assert after["last_inference"] > before["last_inference"]
    assert len(client.get_inference_statistics()["model_stats"]) == 4


@pytest.mark.parametrize(
    ("model", "given", "status", "message"),
    [
        ("no-such-model", {}, "404", "no model 'no-such-model' is served"),
        ("efficientnet-lite0", {"model_version": "9"}, "404", "no version '9'"),
        ("efficientnet-lite0", {"parameters": {"top_k": 0}}, "422", "top_k"),
        ("efficientnet-lite0", {"parameters": {"render": True}}, "422", "unexpected parameter 'render'"),
        ("efficientnet-lite0", {"outputs": [triton.InferRequestedOutput("boxes")]}, "422", "unexpected output 'boxes'"),
        (
            "yolo-person",
            {"outputs": [triton.InferRequestedOutput("scores", class_count=2)]},
            "422",
            "has no classification",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(client, model, given, status, message):
    with pytest.raises(InferenceServerException) as refused:
        client.infer(model, images(CAT), **given)
    assert refused.value.status() == status
    assert message in refused.value.message()


def test_a_broken_image_of_several_is_named(client):
    with pytest.raises(InferenceServerException, match="image 1: not an image"):
        client.infer("efficientnet-lite0", images(CAT, b"no image", CAT))


def test_a_short_time_limit_ends_a_request(client):
    with pytest.raises(InferenceServerException) as refused:
        client.infer("mask-rcnn-person", images(ASTRONAUT), timeout=1, headers={"Cache-Control": "no-store"})
    assert refused.value.status() == "504"


async def test_the_asynchronous_client_is_answered(gateway):
    async with triton_aio.InferenceServerClient(gateway.address) as client:
        assert await client.is_model_ready("yolo-person")
        results: list[Any] = await asyncio.gather(*(client.infer("efficientnet-lite0", images(CAT)) for _ in range(16)))
        with pytest.raises(InferenceServerException, match="no model"):
            await client.infer("no-such-model", images(CAT))
    assert {tuple(result.as_numpy("class_ids")[0]) for result in results} == {(282, 285, 281, 287, 904)}


def test_clients_at_a_time_get_their_own_answers(gateway):
    files = [encoded(photo("chelsea").crop((0, 0, 200 + 20 * index, 200)), "PNG") for index in range(8)]
    expected = [of_v1(gateway, "classify", file)["predictions"][0]["class_id"] for file in files]

    def ask(index: int) -> bool:
        with triton.InferenceServerClient(gateway.address) as client:
            result: Any = client.infer(
                "efficientnet-lite0", images(files[index % 8]), headers={"Cache-Control": "no-store"}
            )
            return int(result.as_numpy("class_ids")[0, 0]) == expected[index % 8]

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(64)))
