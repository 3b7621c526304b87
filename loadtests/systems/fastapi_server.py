"""The server that most would write first: FastAPI and uvicorn around torch, one request at a time.

Arguments: the task, and the port.
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI, Request

from loadtests.processes import LOOPBACK
from loadtests.systems.eager import EagerModel, load_eager
from loadtests.workloads import WORKLOADS, Workload


def create_app(workload: Workload, model: EagerModel) -> FastAPI:
    """The application.

    Args:
        workload: Says where it answers.
        model: Answers.
    """
    app = FastAPI()

    @app.post(workload.path)
    async def predict(request: Request) -> dict[str, Any]:
        """Answer to the photo that the body is."""
        tensor, size = model.preprocess(await request.body())
        outputs = model.forward(tensor.unsqueeze(0))
        return model.answer(outputs[0], size)

    @app.get("/readyz")
    async def ready() -> dict[str, str]:
        """The model is loaded before the server listens."""
        return {"status": "ready"}

    return app


if __name__ == "__main__":
    workload = WORKLOADS[sys.argv[1]]
    app = create_app(workload, load_eager(workload.task))
    uvicorn.run(app, host=LOOPBACK, port=int(sys.argv[2]), log_level="warning", access_log=False)
