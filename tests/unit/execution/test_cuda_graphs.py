"""CUDA graphs are chosen, recorded, shared and given up as they should be, and give what the network gives.

Without a GPU, a graph is the network itself behind buffers of a fixed size, as on a GPU: its outputs are overwritten by
the next run, and rows of a former batch remain in its input.
"""

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from models.entries import Preprocessing
from models.errors import UnsupportedRuntime
from models.execution import cuda_graphs
from models.execution.cuda_graphs import CudaGraphs
from models.execution.executor import Executor
from models.execution.staging import stack
from models.runtime import Runtime

PREPROCESSING = Preprocessing(32, 32, "bilinear", (123.0, 117.0, 104.0), (58.0, 57.0, 56.0))
CPU = torch.device("cpu")
needs_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def forward(pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The sum of each image, and all its pixels doubled."""
    values = pixels.float()
    return values.sum((1, 2, 3)), values * 2


class Recorded:
    """A graph without a GPU."""

    made: list[tuple[int, ...]]

    def __init__(self, forward, shape, device, lane):
        self._forward, self._input, self._busy = forward, torch.zeros(shape, dtype=torch.uint8), threading.Lock()
        self._outputs = [output.clone() for output in forward(self._input)]
        self.made.append(shape)

    def __call__(self, pixels):
        assert self._busy.acquire(blocking=False), "two threads run one graph"
        self._input[: len(pixels)].copy_(pixels)
        for output, value in zip(self._outputs, self._forward(self._input), strict=True):
            output.copy_(value)
        found = tuple(output[: len(pixels)].clone() for output in self._outputs)
        self._busy.release()
        return found


@pytest.fixture
def graphs():
    Recorded.made = []
    return CudaGraphs("Network", forward, CPU, Recorded)


def images(count: int, side: int = 4, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, side, side, 3), generator=generator, dtype=torch.uint8)


def assert_right(graphs: CudaGraphs, pixels: torch.Tensor) -> None:
    for output, expected in zip(graphs(pixels), forward(pixels), strict=True):
        assert torch.equal(output, expected)


def test_batches_share_the_graph_of_the_next_power_of_two(graphs):
    for count in (3, 4, 3, 1, 5, 8):
        assert_right(graphs, images(count, seed=count))
    assert Recorded.made == [(4, 4, 4, 3), (1, 4, 4, 3), (8, 4, 4, 3)]


def test_an_output_stays_as_it_is_when_the_graph_runs_again(graphs):
    first = graphs(images(2, seed=1))
    graphs(images(2, seed=2))
    assert torch.equal(first[1], forward(images(2, seed=1))[1])


def test_threads_side_by_side_use_different_graphs():
    def slow(pixels):
        time.sleep(0.001)
        return forward(pixels)

    Recorded.made = []
    graphs = CudaGraphs("Network", slow, CPU, Recorded)
    batches = [images(1 + seed % 4, seed=seed) for seed in range(200)]
    with ThreadPoolExecutor(4) as threads:
        for found, pixels in zip(threads.map(graphs, batches), batches, strict=True):
            assert torch.equal(found[1], forward(pixels)[1])
    assert len(Recorded.made) > len(set(Recorded.made)) == 3


def test_large_batches_and_shapes_beyond_the_most_run_without_a_graph(graphs, monkeypatch):
    monkeypatch.setattr(cuda_graphs, "MOST_PIXELS", 4 * 16)
    assert_right(graphs, images(5))
    assert Recorded.made == []
    monkeypatch.setattr(graphs, "_left", 1)
    assert_right(graphs, images(2))
    assert_right(graphs, images(1))
    assert Recorded.made == [(2, 4, 4, 3)]


def test_a_network_that_cannot_be_recorded_runs_without_graphs_and_is_logged_once(caplog):
    def refuse(*_):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    graphs = CudaGraphs("Network", forward, CPU, refuse)
    with caplog.at_level(logging.WARNING):
        for count in (1, 2, 1):
            assert_right(graphs, images(count))
    assert [record.getMessage() for record in caplog.records] == [
        "Network: no further CUDA graphs: operation not permitted when stream is capturing"
    ]


def test_while_another_network_is_recorded_a_batch_runs_without_a_graph(graphs):
    with cuda_graphs._ONE_AT_A_TIME:
        assert_right(graphs, images(1))
    assert Recorded.made == []
    assert_right(graphs, images(1))
    assert Recorded.made == [(1, 4, 4, 3)]


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about a graph that cannot be recorded")
def test_an_executor_runs_without_a_graph_that_cannot_be_recorded_and_records_none_of_an_untraced_network(
    caplog,
):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    plain = Runtime(precision="fp32", backend="torch")
    for fuse in (True, False):
        executor = Executor(network, PREPROCESSING, replace(plain, fuse=fuse, cuda_graphs=True))
        expected = Executor(network, PREPROCESSING, replace(plain, fuse=fuse)).run(images(3).numpy())
        assert torch.equal(executor.run(images(3).numpy()), expected)
        assert len(caplog.records) == 1
    assert "Sequential: no further CUDA graphs: " in caplog.text


@pytest.mark.parametrize("options", [{}, {"device": "cuda", "compile": True}, {"device": "cuda", "fuse": False}])
def test_graphs_on_a_cpu_or_with_other_options_are_refused(options):
    with pytest.raises(UnsupportedRuntime, match="cuda_graphs"):
        Runtime(cuda_graphs=True, **options).resolve()


def test_images_are_stacked_in_order():
    batch = stack([np.full((2, 3, 3), level, np.uint8) for level in (7, 9)], Runtime())
    assert batch.shape == (2, 2, 3, 3) and batch.flags.c_contiguous
    assert batch[:, 0, 0, 0].tolist() == [7, 9]


@needs_a_gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_on_a_gpu_graphs_give_what_the_network_gives(precision):
    torch.manual_seed(4)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.SiLU(), nn.Conv2d(8, 4, 1)).eval()
    plain, graphed = (
        Executor(network, PREPROCESSING, Runtime("cuda", precision, cuda_graphs=graphs).resolve())
        for graphs in (False, True)
    )
    for count, side in ((3, 32), (4, 64), (3, 32), (1, 32), (2, 64)):
        pixels = stack(list(images(count, side, seed=count).numpy()), Runtime("cuda"))
        torch.testing.assert_close(graphed.run(pixels), plain.run(pixels), rtol=1e-2, atol=1e-2)


@needs_a_gpu
def test_on_a_gpu_batches_are_stacked_in_page_locked_memory():
    batch = stack([np.zeros((8, 8, 3), np.uint8)] * 2, Runtime("cuda"))
    assert torch.from_numpy(batch).is_pinned()
