"""A worker pool on Ray: sends chunks to idle workers, and retries the chunk of a lost worker on another one.

Ray reads its environment variables on import, so only `cluster` imports it, after it has set them.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

from __future__ import annotations

import logging
import math
import signal
import tempfile
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

from services.evaluation.predictors import ModelFacts, Predictor, PredictorConfig, open_predictor
from services.evaluation.worker import Chunk, ChunkResult, Work, answer_chunk
from services.machine.cpus import count_cpus
from services.machine.gpus import is_reservable
from services.machine.hosts import LOOPBACK, is_loopback
from services.machine.ray_environment import set_ray_environment
from services.machine.run_dir import NoFolder, socket_folder

MOST_ATTEMPTS: Final = 3
"""Attempts of a chunk: one that has ended this many workers is not retried, as its data seems to crash them."""

_MOST_WORKERS: Final = 4
_ROUNDING: Final = 1e-4
"""Resolution of Ray's fractional resources."""
_OBJECT_STORE_BYTES: Final = 200 * 2**20
_PREFIX: Final = "tapetum-eval-"


def default_workers() -> int:
    """One worker for each CPU, at most four: each loads the model."""
    return min(count_cpus(), _MOST_WORKERS)


class WorkerPoolError(Exception):
    """The workers cannot start or continue; the message is one line for a person."""


@dataclass(frozen=True, slots=True)
class Place:
    """Number, location and resources of the workers.

    Attributes:
        workers: Number of workers, at least 1.
        address: Of a running Ray cluster, or `auto`; None starts one on this machine for the duration of the job.
        worker_cpus: CPUs that each reserves; 0 where a cluster that serves has reserved all of them.
        worker_gpus: GPUs, or shares of one, that each reserves.
    """

    workers: int = 1
    address: str | None = None
    worker_cpus: float = 1.0
    worker_gpus: float = 0.0


@contextmanager
def cluster(place: Place) -> Generator[None]:
    """Connects to Ray for the duration of the context; a cluster that was started for it is shut down, too.

    Raises:
        WorkerPoolError: there is no cluster at the address, or it refuses the connection.
    """
    set_ray_environment(on_loopback=_is_here(place.address), joining=place.address is not None)
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if ray.is_initialized():
        raise WorkerPoolError("this process is connected to Ray already")
    try:
        place_for_ray = tempfile.TemporaryDirectory(prefix=_PREFIX, dir=socket_folder(), ignore_cleanup_errors=True)
    except NoFolder as error:
        raise WorkerPoolError(str(error)) from None
    with place_for_ray as folder:
        try:
            if place.address is None:
                ray.init(
                    address="local",
                    num_cpus=max(1, math.ceil(place.workers * place.worker_cpus)),
                    include_dashboard=False,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    _temp_dir=folder,
                    _node_ip_address=LOOPBACK,
                    **quiet,
                )
            else:
                ray.init(address=place.address, **quiet)
        except Exception as error:  # Ray raises Exception itself where its processes are not up in time
            raise WorkerPoolError(
                f"no Ray cluster at {place.address or 'this machine'}: {_first_line(error)}"
            ) from None
        try:
            with _stoppable():
                yield
        finally:
            ray.shutdown()


@contextmanager
def _stoppable() -> Generator[None]:
    """Make SIGTERM stop a job as Ctrl-C does; Ray's own handler ends in a C++ stack trace.

    Raises:
        KeyboardInterrupt: the signal came; its argument is the number.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: FrameType | None) -> None:
        raise KeyboardInterrupt(number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _is_here(address: str | None) -> bool:
    """Whether the cluster consists of this machine only."""
    return address is None or is_loopback(address.rpartition(":")[0])


class WorkerPool:
    """Ray actors that each load the model and predict chunks.

    Args:
        config: The predictor of each worker.
        place: Number and resources of the workers; `cluster` must be open.

    Raises:
        WorkerPoolError: they reserve more resources than the cluster has.
    """

    def __init__(self, config: PredictorConfig, place: Place) -> None:
        import ray

        self._ray: Any = ray
        self._config = config
        self._place = place
        check_room(place, [node["Resources"] for node in ray.nodes() if node["Alive"]])
        self._workers = [self._hire() for _ in range(place.workers)]
        self.lost = 0

    def describe(self) -> ModelFacts:
        """Returns the metadata of the model, once all workers have loaded it.

        Raises:
            WorkerPoolError: no worker started.
            Exception: whatever `open_predictor` raises.
        """
        try:
            return self._ray.get([worker.describe.remote() for worker in self._workers])[0]
        except self._ray.exceptions.RayTaskError as error:
            raise _cause(error) from None
        except self._ray.exceptions.RayActorError as error:
            raise WorkerPoolError(f"a worker ended while it loaded the model: {_first_line(error)}") from None

    def run(self, chunks: Iterable[Chunk], work: Work) -> Iterator[ChunkResult]:
        """Yields the result of every chunk in the order of completion.

        Raises:
            WorkerPoolError: a chunk ended every worker that ran it.
            Exception: whatever `answer_chunk` raises.
        """
        waiting = deque(chunks)
        attempts: dict[Chunk, int] = {}
        shared = [self._ray.put(work)]  # within a list, so that a worker unpacks it once and not with every chunk
        idle = deque(self._workers)
        running: dict[Any, tuple[Chunk, Any]] = {}
        while waiting or running:
            while waiting and idle:
                chunk, worker = waiting.popleft(), idle.popleft()
                attempts[chunk] = attempts.get(chunk, 0) + 1
                running[worker.run.remote(chunk, shared)] = chunk, worker
            (done,), _ = self._ray.wait(list(running), num_returns=1)
            chunk, worker = running.pop(done)
            try:
                result: ChunkResult = self._ray.get(done)
            except self._ray.exceptions.RayTaskError as error:
                raise _cause(error) from None
            except self._ray.exceptions.RayActorError as error:
                self.lost += 1
                if attempts[chunk] == MOST_ATTEMPTS:
                    message = (
                        f"images {chunk.start} to {chunk.stop - 1} ended {MOST_ATTEMPTS} workers, one after another"
                    )
                    raise WorkerPoolError(f"{message}: {_first_line(error)}") from None
                waiting.appendleft(chunk)
                idle.append(self._hire())
                continue
            idle.append(worker)
            yield result

    def _hire(self) -> Any:
        options = {"num_cpus": self._place.worker_cpus, "num_gpus": self._place.worker_gpus}
        return self._ray.remote(_Worker).options(**options).remote(self._config)


def check_room(place: Place, nodes: Iterable[Mapping[str, float]]) -> None:
    """Raises unless the cluster has resources for all workers; Ray would wait silently for them.

    Resources in use are counted as available: they may become free. Of an autoscaling cluster only the present machines
    are counted.

    Args:
        place: Number and resources of the workers.
        nodes: Resources of each machine, by Ray's names.

    Raises:
        WorkerPoolError: they reserve more resources than the cluster has.
    """
    if not is_reservable(place.worker_gpus):
        raise WorkerPoolError(f"a worker reserves a share of a GPU or whole ones, not {place.worker_gpus:g}")
    needs = {name: share for name, share in (("CPU", place.worker_cpus), ("GPU", place.worker_gpus)) if share}
    machines = list(nodes)
    room = sum(_workers_on(machine, needs, place.workers) for machine in machines)
    if room < place.workers:
        wanted = ", ".join(f"{name} {share:g}" for name, share in needs.items())
        there = ", ".join(f"{name} {sum(machine.get(name, 0) for machine in machines):g}" for name in needs)
        where = "this machine" if place.address is None else "the cluster"
        raise WorkerPoolError(
            f"there is no room for {place.workers} workers that reserve {wanted} each: {where} has {there}, "
            f"which is enough for {room}"
        )


def _workers_on(machine: Mapping[str, float], needs: Mapping[str, float], workers: int) -> int:
    """Workers that fit on one machine; Ray counts in ten thousandths, and does not combine fractions of several
    GPUs."""
    fitting = (_shares(machine.get(name, 0.0), share, name == "GPU") for name, share in needs.items())
    return min(fitting, default=workers)


def _shares(there: float, share: float, undivided: bool) -> int:
    if undivided and share < 1:
        return int(there) * int(1 / share + _ROUNDING)
    return int(there / share + _ROUNDING)


class _Worker:
    """A Ray actor with its own predictor."""

    def __init__(self, config: PredictorConfig) -> None:
        self._config = config
        self._predictor: Predictor | None = None
        self._work: dict[Any, Work] = {}

    def describe(self) -> ModelFacts:
        return self._open().facts

    def run(self, chunk: Chunk, shared: list[Any]) -> ChunkResult:
        (reference,) = shared
        if reference not in self._work:
            import ray

            self._work = {reference: ray.get(reference)}
        return answer_chunk(chunk, self._work[reference], self._open())

    def _open(self) -> Predictor:
        if self._predictor is None:
            self._predictor = open_predictor(self._config)
        return self._predictor


def _cause(error: Any) -> BaseException:
    """The exception of the worker, to be raised here."""
    cause = error.cause
    return cause if isinstance(cause, BaseException) else WorkerPoolError(_first_line(error))


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
