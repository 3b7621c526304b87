"""Replicas that share a GPU have their part of its memory."""

import time

import orjson
import pytest
import torch

from loadtests.device_pictures import made_picture
from services.answers.wire import Item
from services.deployments.gpu_share import limit_memory
from services.deployments.host import ModelHost


@pytest.mark.parametrize(("num_gpus", "fractions"), [(0.0, []), (0.25, [0.25]), (1.0, []), (2.0, [])])
def test_a_share_of_a_gpu_is_a_share_of_its_memory(monkeypatch, num_gpus, fractions):
    set_to: list[float] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda fraction, device: set_to.append(fraction))
    limit_memory(num_gpus)
    assert set_to == fractions


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
async def test_on_a_quarter_of_a_gpu_two_threads_with_graphs_answer_as_one_without(monkeypatch):
    monkeypatch.setattr("services.deployments.host.configure_logging", lambda _: None)  # it is for the whole process
    config = {"name": "Classifier", "task": "classification", "models": ["efficientnet-lite0"], "device": "cuda"}
    items = [
        Item("efficientnet-lite0", made_picture((300, 400), seed % 8), {"top_k": 1}, time.time() + 60)
        for seed in range(64)
    ]
    plain = ModelHost({**config, "num_gpus": 0.25})
    graphed = ModelHost({**config, "num_gpus": 0.25, "num_device_threads": 2, "cuda_graphs": True})
    bodies = [[outcome.body for outcome in await host.predict(items)] for host in (plain, graphed)]
    for one, other in zip(*bodies, strict=True):
        assert one is not None and other is not None
        (best,), (also,) = orjson.loads(one)["predictions"], orjson.loads(other)["predictions"]
        assert also["probability"] == pytest.approx(best["probability"], abs=0.02)
    plain.close()
    graphed.close()
