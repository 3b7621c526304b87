"""Fake backends whose answers the tests know, and the truth about them as clients post it."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any

import httpx
import numpy as np
from PIL import Image

from models.geometry.masks import Mask
from services.answers.wire import Item
from services.gateway.schemas import FeedbackAnswer
from tests.unit.gateway.test_detection import FakeDetector
from tests.unit.gateway.test_segmentation import CLASS_MAP
from tests.unit.gateway_fakes import FakeBackend, png, post

BOX = {"x_min": 10.0, "y_min": 10.0, "x_max": 20.0, "y_max": 20.0}
FIELD, WOOD = (Mask.from_array(np.equal(CLASS_MAP, class_id)).to_coco() for class_id in (1, 2))


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
    """`BOX`, so many pixels to the right."""
    return {**BOX, "x_min": 10.0 + x, "x_max": 20.0 + x}


async def tell(client: httpx.AsyncClient, request_id: str, target: Any, **members: Any) -> httpx.Response:
    """Post the truth about an image of an earlier request."""
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
    """Status and code."""
    return response.status_code, response.json()["error"]["code"]


def encoded(class_map: np.ndarray[Any, Any]) -> str:
    """A class map as a PNG file in base64."""
    file = io.BytesIO()
    Image.fromarray(class_map).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


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
