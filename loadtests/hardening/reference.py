"""Requests whose right answers are known, because they were asked before anything went wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import httpx
from PIL import Image

from loadtests.hardening.mutations import encode
from loadtests.photos import photos

TOLERANCE = 0.02
"""In probability and score: batches are put together differently, which moves the last bits of a network."""

_NAMES = ("coffee", "chelsea", "astronaut", "rocket", "crowd")
_TURNS = (0, 90, 180, 270)


@dataclass(frozen=True)
class Reference:
    """One request and its answer.

    Attributes:
        path: Of the request.
        image: JPEG file.
        answer: `predictions` of the response.
        is_cached: Whether the cache may answer.
    """

    path: str
    image: bytes
    answer: Any = None
    is_cached: bool = False

    def ask(self, client: httpx.Client) -> httpx.Response:
        """Send the request."""
        headers = {"content-type": "image/jpeg"}
        if not self.is_cached:
            headers["cache-control"] = "no-store"
        return client.post(self.path, content=self.image, headers=headers)

    def problem(self, response: httpx.Response) -> str | None:
        """How a response with status 200 differs from the right answer; None where it does not."""
        found, wanted = _best(response.json()["predictions"]), _best(self.answer)
        if found[0] != wanted[0] or not math.isclose(found[1], wanted[1], abs_tol=TOLERANCE):
            return f"{self.path}: {found} instead of {wanted}"
        return None


def references(client: httpx.Client) -> list[Reference]:
    """Requests for every task, each with its answer; no two images are alike."""
    paths = ("/v1/classify", "/v1/detect?model=yolo-person", "/v1/detect?model=yolo-digits", "/v1/segment")
    requests = [
        Reference(path, image, is_cached=number % 5 == 0)
        for number, image in enumerate(_pictures())
        for path in (paths[number % len(paths)],)
    ]
    return [
        Reference(request.path, request.image, request.ask(client).raise_for_status().json()["predictions"])
        for request in requests
    ]


def _pictures() -> list[bytes]:
    import io

    found: list[bytes] = []
    for photo in photos((240, 320), _NAMES):
        with Image.open(io.BytesIO(photo)) as image:
            found += [encode(image.rotate(turn, expand=True), "JPEG", {"quality": 90}) for turn in _TURNS]
    return found


def _best(predictions: list[dict[str, Any]]) -> tuple[Any, float]:
    """Class and score of the best prediction; of semantic masks, class and share of the largest."""
    if not predictions:
        return None, 0.0
    best = predictions[0]
    return best["class_id"], next(best[name] for name in ("probability", "score", "fraction") if name in best)
