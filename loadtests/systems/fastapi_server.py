"""The server that most would write first: FastAPI and uvicorn around torch, one request at a time."""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI, Request

from loadtests.processes import LOOPBACK
from loadtests.systems.eager import EagerClassifier

app = FastAPI()
classifier = EagerClassifier()


@app.post("/v1/classify")
async def classify(request: Request) -> dict[str, Any]:
    """Classify the photo that the body is."""
    tensor, size = classifier.preprocess(await request.body())
    probabilities = classifier.forward(tensor.unsqueeze(0))
    return classifier.answer(probabilities[0], size)


@app.get("/readyz")
async def ready() -> dict[str, str]:
    """The classifier is loaded before the server listens."""
    return {"status": "ready"}


if __name__ == "__main__":
    uvicorn.run(app, host=LOOPBACK, port=int(sys.argv[1]), log_level="warning", access_log=False)
