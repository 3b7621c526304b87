"""Bare FastAPI and uvicorn, with no model behind: the least that HTTP in Python costs."""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response

from loadtests.processes import LOOPBACK
from loadtests.systems.noop_answer import ANSWER, JSON

app = FastAPI()


@app.post("/v1/classify")
async def classify(request: Request) -> Response:
    """Read the body and answer the same as always."""
    await request.body()
    return Response(ANSWER, media_type=JSON)


@app.get("/readyz")
async def ready() -> dict[str, Any]:
    """There is nothing to wait for."""
    return {"status": "ready"}


if __name__ == "__main__":
    uvicorn.run(app, host=LOOPBACK, port=int(sys.argv[1]), log_level="warning", access_log=False)
