"""The models of the shared stack, and the answers that clients other than the page get of them."""

from __future__ import annotations

from typing import Any, Final

import httpx

CLASSIFIER: Final = "efficientnet-lite0"
DETECTOR: Final = "yolo-person"
DIGITS: Final = "yolo-digits"
SEGMENTER: Final = "unet-person"
NUCLEI: Final = "mask-rcnn-nuclei"
COLD_NUCLEI: Final = "unet-nuclei"
"""Loaded on demand, and not at the start."""
COLD_POSE: Final = "keypoint-rcnn-person"
"""Likewise."""
ADMIN_KEY: Final = "an-administrator-of-this-test"


def asked(url: str, path: str, image: bytes, **query: Any) -> Any:
    """The JSON that another client gets for an image.

    Args:
        url: Of the server.
        path: Like `classify`.
        image: An encoded image.
        query: The parameters.
    """
    headers = {"content-type": "image/jpeg"}
    response = httpx.post(f"{url}/v1/{path}", content=image, params=query, headers=headers, timeout=60)
    return response.raise_for_status().json()
