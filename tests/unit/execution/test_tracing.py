"""Networks are traced while others run in other threads."""

import threading

import pytest
import torch
from torch import nn
from torch.fx.proxy import TraceError

from models.execution.tracing import symbolic_trace


class Scaled(nn.Module):
    """A network with a submodule, and a parameter of its own that it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((), 2.0))
        self.inner = nn.Sequential(nn.Linear(4, 4), nn.ReLU())

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.inner(values) * self.scale


def test_networks_run_in_other_threads_while_one_is_traced():
    running, values = Scaled().eval(), torch.ones(1, 4)
    expected, errors, stopped = running(values), [], threading.Event()

    def run() -> None:
        while not stopped.is_set():
            try:
                assert torch.equal(running(values), expected)
            except Exception as error:
                errors.append(error)
                return

    def trace() -> None:
        for _ in range(30):
            network = Scaled().eval()
            assert torch.equal(symbolic_trace(network)(values), network(values))

    runners = [threading.Thread(target=run) for _ in range(2)]
    tracers = [threading.Thread(target=trace) for _ in range(2)]
    call = nn.Module.__call__
    for thread in (*runners, *tracers):
        thread.start()
    for thread in tracers:
        thread.join()
    stopped.set()
    for thread in runners:
        thread.join()
    assert errors == []
    assert nn.Module.__call__ is call


def test_control_flow_that_depends_on_data_is_refused():
    class Branching(nn.Module):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return values if values.sum() > 0 else -values

    with pytest.raises(TraceError):
        symbolic_trace(Branching())
