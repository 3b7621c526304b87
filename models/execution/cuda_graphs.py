"""Runs a network on a GPU by CUDA graphs: all kernels of a run are launched by one call instead of one call each.

A graph is of one input shape, and reads and writes the same memory at every run. So batches are padded to a power of
two, outputs are copied, and threads that run batches side by side take different graphs:

    idle: [lane, lane]  ──► a thread takes a lane ──► the lane's graph of the shape, recorded where it has none ──► back

The graphs of a lane share their memory, which is safe since one thread at a time uses them and waits for the outputs.
See https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

import torch
from torch import Tensor

from models.execution.precision import deviation

Forward = Callable[[Tensor], tuple[Tensor, ...]]
"""From pixels (N, H, W, 3) uint8 on the device to outputs of N rows each."""
Shape = tuple[int, ...]
Graphs = dict[Shape, "Graph"]
"""A lane."""

MOST_GRAPHS: Final = 64
"""Graphs of a network; batches of further shapes run without."""
MOST_PIXELS: Final = 2**22
"""Pixels of a padded batch, 16 of 512 x 512: a larger one spends its time in kernels, and its activations would stay
allocated."""
_TOLERANCE: Final = 0.01
"""The largest deviation of a graph's outputs from those without it: they differ where sums are in another order."""
_ONE_AT_A_TIME: Final = threading.Lock()
"""Recording waits for all of the device, which fails while another thread records."""

_log = logging.getLogger(__name__)


class Graph(Protocol):
    """A recorded network."""

    def __call__(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Runs it over a batch on the host, of the size it was recorded for or a smaller one; returns copies."""
        ...


class CudaGraphs:
    """A network that records a graph of each shape when it first sees it. Several threads may run batches at once.

    Where a graph cannot be recorded or computes something else, the network runs without, and the log says so once.

    Args:
        name: Of the network, for the log.
        forward: Runs the network without graphs.
        device: A GPU.
        record: Makes a graph: (forward, shape of its input, device, the other graphs of the lane).
    """

    def __init__(
        self,
        name: str,
        forward: Forward,
        device: torch.device,
        record: "Callable[[Forward, Shape, torch.device, Graphs], Graph] | None" = None,
    ) -> None:
        self._name = name
        self._forward = forward
        self._device = device
        self._record = record or CudaGraph
        self._idle: deque[Graphs] = deque()
        self._left = MOST_GRAPHS

    def __call__(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Runs a batch.

        Args:
            pixels: (N, H, W, 3) uint8 on the host.

        Returns:
            Outputs of N rows each on the device.
        """
        padded = 1 << (len(pixels) - 1).bit_length()
        shape: Shape = (padded, *pixels.shape[1:])
        if padded * shape[1] * shape[2] <= MOST_PIXELS:
            try:
                lane = self._idle.pop()
            except IndexError:
                lane = {}
            try:
                if graph := lane.get(shape) or self._recorded(lane, shape):
                    return graph(pixels)
            finally:
                self._idle.append(lane)
        return self._forward(pixels.to(self._device, non_blocking=True))

    def _recorded(self, lane: Graphs, shape: Shape) -> Graph | None:
        if self._left <= 0 or not _ONE_AT_A_TIME.acquire(blocking=False):
            return None
        try:
            self._left -= 1
            lane[shape] = self._record(self._forward, shape, self._device, lane)
        except RuntimeError as error:  # among them, that memory does not suffice
            self._left = 0
            _log.warning("%s: no further CUDA graphs: %s", self._name, str(error).partition("\n")[0])
        finally:
            _ONE_AT_A_TIME.release()
        return lane.get(shape)


class CudaGraph:
    """A `Graph` on a GPU.

    Args:
        forward: Runs the network; its operations depend on nothing but the shape of its input.
        shape: (N, H, W, 3) of the input.
        device: The GPU.
        lane: Graphs whose memory this one shares: none of them runs beside it.

    Raises:
        RuntimeError: The network cannot be recorded, or its graph computes something else.
    """

    def __init__(self, forward: Forward, shape: Shape, device: torch.device, lane: Graphs) -> None:
        sibling: Any = next(iter(lane.values()), None)
        self._device = device
        self._graph = torch.cuda.CUDAGraph()
        self.pool: Any = sibling.pool if sibling else torch.cuda.graph_pool_handle()
        self.stream: torch.cuda.Stream = sibling.stream if sibling else torch.cuda.Stream(device)
        with torch.cuda.device(device), torch.cuda.stream(self.stream):
            self._input = torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
            expected = forward(self._input)  # also lets the libraries choose their kernels, which cannot be recorded
            with torch.cuda.graph(self._graph, self.pool, self.stream, capture_error_mode="thread_local"):
                self._outputs = forward(self._input)
            self._graph.replay()
            differ_by = deviation(expected, self._outputs)
        if not differ_by <= _TOLERANCE:
            raise RuntimeError(f"the graph's outputs differ by {differ_by:.1%}")

    def __call__(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """See `Graph`."""
        self._input[: len(pixels)].copy_(pixels, non_blocking=True)
        self._graph.replay()
        try:
            return tuple(output[: len(pixels)].clone() for output in self._outputs)
        finally:
            torch.cuda.current_stream(self._device).synchronize()  # the next thread may be on another stream
