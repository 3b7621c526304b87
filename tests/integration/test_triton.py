"""A stack with a deployment at a real Triton server: both as they are started in production."""

from __future__ import annotations

import io
import time
from pathlib import Path

import httpx
import pytest
import skimage.data
import yaml
from PIL import Image
from running import running_stack, write_config

from models.export.triton_repository import RepositoryOptions, export_model
from tests.triton_server import triton_server

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

MODEL = "efficientnet-lite0"


def test_stack_starts_without_triton_answers_with_it_and_survives_its_end(tmp_path: Path):
    export_model(MODEL, tmp_path / "repository", RepositoryOptions("python", threads=1))
    server = triton_server(tmp_path / "repository", tmp_path / "triton.log")
    config = at_triton(write_config(tmp_path, models=("noop",)), server.url)
    with running_stack(config) as stack:
        assert any(f"{MODEL} is not ready" in line for line in stack.lines)
        assert status(stack.url, "noop") == 200
        assert status(stack.url, MODEL) == 503
        with server:
            wait_for_status(stack.url, 200)
            answer = classify(stack.url, MODEL).json()
            assert answer["predictions"][0]["class_name"] == "tiger cat"
            server.kill()
            assert status(stack.url, MODEL) == 503
            assert status(stack.url, "noop") == 200
            server.start()
            wait_for_status(stack.url, 200)
            assert stack.metric("tapetum_triton_calls_total", outcome="ok") >= 2
        assert stack.stop() == 0


def at_triton(config: Path, url: str) -> Path:
    """Adds a deployment of a classifier at a Triton server to a configuration."""
    document = yaml.safe_load(config.read_text())
    document["applications"][0]["args"]["deployments"].append(
        {
            "name": "AtTriton",
            "task": "classification",
            "models": [MODEL],
            "num_cpus": 0.5,
            "backend": "triton",
            "triton": {"url": url, "max_pause_s": 1.0},
        }
    )
    config.write_text(yaml.safe_dump(document))
    return config


def classify(url: str, model: str) -> httpx.Response:
    file = io.BytesIO()
    Image.fromarray(skimage.data.chelsea()).save(file, "PNG")
    headers = {"cache-control": "no-store"}
    return httpx.post(f"{url}/v1/classify?model={model}", content=file.getvalue(), headers=headers, timeout=30)


def status(url: str, model: str) -> int:
    return classify(url, model).status_code


def wait_for_status(url: str, wanted: int, within_s: float = 60.0) -> None:
    ends_at = time.monotonic() + within_s
    while status(url, MODEL) != wanted:
        assert time.monotonic() < ends_at
        time.sleep(0.1)
