"""What Tapetum's no-op model answers, as bytes, for the servers that it is compared with."""

from __future__ import annotations

import orjson

JSON = "application/json"
ANSWER = orjson.dumps(
    {
        "model": "noop",
        "version": "1",
        "image": {"height": 480, "width": 640},
        "predictions": [
            {"class_id": class_id, "class_name": f"class {class_id}", "probability": round((10 - class_id) / 55, 6)}
            for class_id in range(5)
        ],
        "cached": True,
        "request_id": "0123456789abcdef",
    }
)
