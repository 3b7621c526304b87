"""Workers on Ray: parts go out to them as they become free, and the part of a worker that is lost goes out again.

Ray reads its environment when it is imported, so it is imported by `cluster`, which sets that, and not before.
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

from services.evaluation.predictors import ModelFacts, Predictor, PredictorConfig, open_asker
from services.evaluation.worker import Chunk, PartResult, Work, answer_part
from services.machine.cpus import count_cpus
from services.machine.gpus import is_reservable
from services.machine.hosts import LOOPBACK, is_loopback
from services.machine.ray_environment import set_ray_environment
from services.machine.run_dir import NoFolder, socket_folder

MOST_ATTEMPTS: Final = 3
"""A part that has cost so many workers is not tried again: something in it ends processes."""

_MOST_WORKERS: Final = 4
_ROUNDING: Final = 1e-4
"""The precision of Ray's resources."""
_OBJECT_STORE_BYTES: Final = 200 * 2**20
_PREFIX: Final = "tapetum-eval-"


def default_workers() -> int:
    """One for each CPU, and no more than four: each holds a model."""
    return min(count_cpus(), _MOST_WORKERS)


class CrewError(Exception):
    """The workers cannot go on; the message is one line for a person."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the workers run.

    Attributes:
        workers: How many, at least 1.
        address: Of a running Ray cluster, or `auto`; None starts one on this machine for the time of the job.
        worker_cpus: CPUs that each reserves; on a cluster that serves, all may be taken, and 0 waits for none.
        worker_gpus: GPUs, or shares of one, that each reserves.
    """

    workers: int = 1
    address: str | None = None
    worker_cpus: float = 1.0
    worker_gpus: float = 0.0


@contextmanager
def cluster(place: Place) -> Generator[None]:
    """A connection to Ray, which ends with the context; a cluster that was started for it ends, too.

    Raises:
        CrewError: there is no cluster at the address, or it does not take us.
    """
    set_ray_environment(on_loopback=_is_here(place.address), joining=place.address is not None)
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if ray.is_initialized():
        raise CrewError("this process is connected to Ray already")
    try:
        place_for_ray = tempfile.TemporaryDirectory(prefix=_PREFIX, dir=socket_folder(), ignore_cleanup_errors=True)
    except NoFolder as error:
        raise CrewError(str(error)) from None
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
            raise CrewError(f"no Ray cluster at {place.address or 'this machine'}: {_first_line(error)}") from None
        try:
            with _stoppable():
                yield
        finally:
            ray.shutdown()


@contextmanager
def _stoppable() -> Generator[None]:
    """Have SIGTERM stop a job as Ctrl-C does, in place of Ray's own way, which ends in a stack trace of C++.

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
    """Whether the cluster is this machine's alone."""
    return address is None or is_loopback(address.rpartition(":")[0])


class WorkerPool:
    """Some workers, each with a model of its own.

    Args:
        asking: What each of them asks.
        place: Where they run, and how many; `cluster` must be open.

    Raises:
        CrewError: they reserve more than there is.
    """

    def __init__(self, asking: PredictorConfig, place: Place) -> None:
        import ray

        self._ray: Any = ray
        self._asking = asking
        self._place = place
        check_room(place, [node["Resources"] for node in ray.nodes() if node["Alive"]])
        self._workers = [self._hire() for _ in range(place.workers)]
        self.lost = 0

    def describe(self) -> ModelFacts:
        """The model that they ask, once all of them have it.

        Raises:
            CrewError: no worker came up.
            Exception: whatever `open_asker` raises.
        """
        try:
            return self._ray.get([worker.describe.remote() for worker in self._workers])[0]
        except self._ray.exceptions.RayTaskError as error:
            raise _cause(error) from None
        except self._ray.exceptions.RayActorError as error:
            raise CrewError(f"a worker ended while it loaded the model: {_first_line(error)}") from None

    def run(self, parts: Iterable[Chunk], work: Work) -> Iterator[PartResult]:
        """What comes of every part, as it comes: not in their order.

        Raises:
            CrewError: a part ended every worker that took it.
            Exception: whatever `answer_part` raises.
        """
        waiting = deque(parts)
        attempts: dict[Chunk, int] = {}
        shared = [self._ray.put(work)]  # within a list, so that a worker unpacks it once and not with every part
        idle = deque(self._workers)
        running: dict[Any, tuple[Chunk, Any]] = {}
        while waiting or running:
            while waiting and idle:
                part, worker = waiting.popleft(), idle.popleft()
                attempts[part] = attempts.get(part, 0) + 1
                running[worker.run.remote(part, shared)] = part, worker
            (done,), _ = self._ray.wait(list(running), num_returns=1)
            part, worker = running.pop(done)
            try:
                result: PartResult = self._ray.get(done)
            except self._ray.exceptions.RayTaskError as error:
                raise _cause(error) from None
            except self._ray.exceptions.RayActorError as error:
                self.lost += 1
                if attempts[part] == MOST_ATTEMPTS:
                    message = f"images {part.start} to {part.stop - 1} ended {MOST_ATTEMPTS} workers, one after another"
                    raise CrewError(f"{message}: {_first_line(error)}") from None
                waiting.appendleft(part)
                idle.append(self._hire())
                continue
            idle.append(worker)
            yield result

    def _hire(self) -> Any:
        options = {"num_cpus": self._place.worker_cpus, "num_gpus": self._place.worker_gpus}
        return self._ray.remote(_Worker).options(**options).remote(self._asking)


def check_room(place: Place, nodes: Iterable[Mapping[str, float]]) -> None:
    """Finds out whether there is room for all workers, for which Ray would wait without a word.

    What others use just now is not considered: it may become free. A cluster that adds machines by itself is taken for
    what it has.

    Args:
        place: How many workers, and what each reserves.
        nodes: What each machine has, by the names of Ray's resources.

    Raises:
        CrewError: they reserve more than there is.
    """
    if not is_reservable(place.worker_gpus):
        raise CrewError(f"a worker reserves a share of a GPU or whole ones, not {place.worker_gpus:g}")
    needs = {name: share for name, share in (("CPU", place.worker_cpus), ("GPU", place.worker_gpus)) if share}
    machines = list(nodes)
    room = sum(_workers_on(machine, needs, place.workers) for machine in machines)
    if room < place.workers:
        wanted = ", ".join(f"{name} {share:g}" for name, share in needs.items())
        there = ", ".join(f"{name} {sum(machine.get(name, 0) for machine in machines):g}" for name in needs)
        where = "this machine" if place.address is None else "the cluster"
        raise CrewError(
            f"there is no room for {place.workers} workers that reserve {wanted} each: {where} has {there}, "
            f"which is enough for {room}"
        )


def _workers_on(machine: Mapping[str, float], needs: Mapping[str, float], workers: int) -> int:
    """How many fit on one machine; Ray counts in ten thousandths, and shares of several GPUs are not combined."""
    fitting = (_shares(machine.get(name, 0.0), share, name == "GPU") for name, share in needs.items())
    return min(fitting, default=workers)


def _shares(there: float, share: float, undivided: bool) -> int:
    if undivided and share < 1:
        return int(there) * int(1 / share + _ROUNDING)
    return int(there / share + _ROUNDING)


class _Worker:
    """A model and its process."""

    def __init__(self, asking: PredictorConfig) -> None:
        self._asking = asking
        self._asker: Predictor | None = None
        self._work: dict[Any, Work] = {}

    def describe(self) -> ModelFacts:
        return self._open().facts

    def run(self, part: Chunk, shared: list[Any]) -> PartResult:
        (reference,) = shared
        if reference not in self._work:
            import ray

            self._work = {reference: ray.get(reference)}
        return answer_part(part, self._work[reference], self._open())

    def _open(self) -> Predictor:
        if self._asker is None:
            self._asker = open_asker(self._asking)
        return self._asker


def _cause(error: Any) -> BaseException:
    """What went wrong in the worker, as if it had here."""
    cause = error.cause
    return cause if isinstance(cause, BaseException) else CrewError(_first_line(error))


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
