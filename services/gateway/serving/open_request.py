"""The lifetime of a request: admission, time limit, and the outcome that is recorded when it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect

from models.entries import Task
from services.errors import OutOfTime, ServiceError
from services.gateway.serving.admission import ConcurrencyLimiter
from services.gateway.serving.offload import TimeLimit

NO_MODEL = ""
"""Metric label of requests that fail before their model is found. Unvalidated input never becomes a metric label:
cardinality would be unbounded."""


@dataclass(slots=True)
class OpenRequest:
    """A request in progress.

    Attributes:
        request_id: Its id; empty where versions do not matter.
        started_at: `time.perf_counter()` of its arrival.
        limit: Time limit, for work in threads.
        deadline_s: The same as Unix time, for other processes.
        task: Metric label; empty until it is known.
        model: Metric label; set once the model is found.
        version: Metric label: the version that is asked, and then the one that answered.
        images: Images in it; 0 until they have been read.
        failed: Whether it failed, or an image of it, for a reason of the service: an error with status 500 or above.
        cached: Whether an image of it was answered from the result cache.
        outcome: `ok`, `partial`, `disconnected`, or the code of an error.
        timeout: Ends the request at its time limit.
    """

    request_id: str = ""
    started_at: float = field(default_factory=time.perf_counter)
    limit: TimeLimit = field(default_factory=lambda: TimeLimit(float("inf")))
    deadline_s: float = float("inf")
    task: Task = ""
    model: str = NO_MODEL
    version: str = NO_MODEL
    images: int = 0
    failed: bool = False
    cached: bool = False
    outcome: str = "ok"
    timeout: asyncio.Timeout | None = None

    @property
    def elapsed_s(self) -> float:
        """Seconds since its arrival."""
        return time.perf_counter() - self.started_at

    def shorten(self, seconds: float) -> None:
        """Lower the time limit to so many seconds from now; a longer one changes nothing."""
        if self.timeout is None or time.time() + seconds >= self.deadline_s:
            return
        self._end_in(seconds)

    @asynccontextmanager
    async def paused(self, seconds: float) -> AsyncGenerator[None]:
        """Let time pass that does not count towards the time limit.

        Args:
            seconds: The longest time.
        """
        if self.timeout is None:
            yield
            return
        left_s = self.deadline_s - time.time()
        self._end_in(seconds)
        try:
            yield
        finally:
            if not self.timeout.expired():
                self._end_in(left_s)

    def _end_in(self, seconds: float) -> None:
        assert self.timeout is not None
        self.limit, self.deadline_s = TimeLimit(time.monotonic() + seconds), time.time() + seconds
        self.timeout.reschedule(asyncio.get_running_loop().time() + seconds)


@asynccontextmanager
async def open_request(
    limiter: ConcurrencyLimiter | None,
    timeout_s: Callable[[], float],
    record: Callable[[OpenRequest], None],
    request_id: str = "",
    task: Task = "",
) -> AsyncGenerator[OpenRequest]:
    """Admit a request, end it at its time limit, and record its outcome.

    Args:
        limiter: Refuses it where too many are in flight; None for a part of a request that is admitted.
        timeout_s: Reads its time limit; may raise a ServiceError.
        record: Called with its outcome when it ends, also after an error.
        request_id: Its id.
        task: Of the request, if it is known.

    Raises:
        ServiceError: it was refused, took too long, or failed.
    """
    opened = OpenRequest(request_id, task=task)
    try:
        seconds = timeout_s()
        opened.limit, opened.deadline_s = TimeLimit(time.monotonic() + seconds), time.time() + seconds
        async with asyncio.timeout(seconds) as opened.timeout:
            if limiter is not None:
                limiter.check()
            yield opened
    except TimeoutError:
        opened.outcome, opened.failed = OutOfTime.code, True
        raise OutOfTime("the request took longer than its time limit") from None
    except ServiceError as error:
        opened.outcome, opened.failed = error.code, error.status >= 500
        raise
    except (asyncio.CancelledError, ClientDisconnect):
        opened.outcome = "disconnected"
        raise
    except Exception:
        opened.outcome, opened.failed = ServiceError.code, True
        raise
    finally:
        record(opened)
