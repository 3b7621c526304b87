"""The clients' analyses: what they send, and what they make of answers and errors."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from services.client import AsyncClient, Client, TapetumError

CLASSES = {
    "model": "efficientnet-lite0",
    "version": "1",
    "predictions": [{"class_id": 0, "class_name": "cup", "probability": 0.5}],
    "cached": True,
}
ERROR = {"error": {"code": "not_ready", "message": "later", "details": {}, "request_id": "r"}}
ANALYSIS = {"image": {"height": 4, "width": 6}, "answers": {"classify": CLASSES, "detect": ERROR}}


def answering(body: Any, sent: list[Any]) -> httpx.MockTransport:
    def handle(request: httpx.Request) -> httpx.Response:
        sent.append((request.url.path, json.loads(request.content)))
        return httpx.Response(200, json=body)

    return httpx.MockTransport(handle)


def test_an_analysis_has_the_answer_or_the_error_of_each_task() -> None:
    sent: list[Any] = []
    with Client("http://test", transport=answering({**ANALYSIS, "request_id": "r"}, sent)) as client:
        found = client.analyze(b"image", ["classify", "detect"], detect={"score_threshold": 0.4, "model": None})
    path, document = sent[0]
    assert path == "/v1/analyze" and document["tasks"] == ["classify", "detect"]
    assert document["detect"] == {"score_threshold": 0.4}
    assert found.image_size == found.classes.image_size == (4, 6) and found.classes.request_id == "r"
    assert found.classes.predictions[0].class_name == "cup" and found.classes.cached
    with pytest.raises(TapetumError, match="later"):
        _ = found.objects
    with pytest.raises(TapetumError, match="no answer for segment"):
        _ = found.masks


def test_several_images_have_an_analysis_or_an_error_each() -> None:
    sent: list[Any] = []

    async def send() -> list[Any]:
        transport = answering({"results": [ANALYSIS, ERROR], "request_id": "r"}, sent)
        async with AsyncClient("http://test", transport=transport) as client:
            return await client.analyze_many([b"one", b"two"])

    first, second = asyncio.run(send())
    assert first.classes.predictions and isinstance(second, TapetumError) and second.code == "not_ready"
    assert len(sent[0][1]["images"]) == 2 and "tasks" not in sent[0][1]
