"""LitServe with batching, set up as its own image benchmark is for a CPU.

Source of the settings: https://github.com/Lightning-AI/LitServe, tests/parity_fastapi/ls-server.py (batches of up to 8,
10 ms wait, two workers, the fast queue, decoding in a thread pool inside `batch`, base64 in JSON). Runs in an
environment of its own; see `loadtests/requirements-litserve.txt`. Arguments: the task, and the port.
"""

from __future__ import annotations

import base64
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import litserve  # pyright: ignore[reportMissingImports]
import torch
from torch import Tensor

from loadtests.systems.eager import load_eager
from loadtests.workloads import WORKLOADS
from models.entries import Task

LOOPBACK = "127.0.0.1"


class EagerApi(litserve.LitAPI):  # pyright: ignore[reportUntypedBaseClass]
    """Base64 photos in, answers out.

    Args:
        task: What to do with them.
        options: Of LitServe.
    """

    def __init__(self, task: Task, **options: Any) -> None:
        super().__init__(**options)
        self.task: Task = task

    def setup(self, device: str) -> None:
        """Load the model, once per worker."""
        self.model = load_eager(self.task)
        self.pool = ThreadPoolExecutor(os.cpu_count())

    def decode_request(self, request: dict[str, str]) -> str:
        """The photo in base64; it is decoded with the rest of its batch."""
        return request["image_data"]

    def batch(self, inputs: list[str]) -> tuple[Tensor, list[tuple[int, int]]]:
        """The photos of a batch as one (N, 3, H, W) tensor, and their sizes."""
        tensors, sizes = zip(*self.pool.map(self._preprocess, inputs), strict=True)
        return torch.stack(tensors), list(sizes)

    def predict(self, x: tuple[Tensor, list[tuple[int, int]]]) -> tuple[Tensor, list[tuple[int, int]]]:
        """Outputs and sizes."""
        batch, sizes = x
        return self.model.forward(batch), sizes

    def unbatch(self, output: tuple[Tensor, list[tuple[int, int]]]) -> list[tuple[Tensor, tuple[int, int]]]:
        """One pair for each photo."""
        return list(zip(*output, strict=True))

    def encode_response(self, output: tuple[Tensor, tuple[int, int]]) -> dict[str, Any]:
        """The answer to one photo."""
        return self.model.answer(*output)

    def _preprocess(self, text: str) -> tuple[Tensor, tuple[int, int]]:
        return self.model.preprocess(base64.b64decode(text))


if __name__ == "__main__":
    workload = WORKLOADS[sys.argv[1]]
    api = EagerApi(workload.task, max_batch_size=8, batch_timeout=0.01, api_path=workload.path)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=2, fast_queue=True)
    server.run(host=LOOPBACK, port=int(sys.argv[2]), log_level="warning", generate_client_file=False)
