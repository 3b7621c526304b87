"""The store of serving plans and replica reports, on Redis, or in memory where gateway and replica share a process.

    administrator ─► gateway ── change ──►  plans    ◄── read ── every gateway and replica, once a second
                                            reports  ◄── report ── every replica

A plan that the store has lost, such as an embedded cache that was started again, is written again by the gateways. All
operations block for a moment: call them in threads.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol, TypeVar, cast

import orjson
from pydantic import BaseModel, ValidationError
from redis import Redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.exceptions import RedisError
from redis.retry import Retry

from services.machine.stack_token import read_token
from services.rollout.replica_report import ReplicaReport
from services.rollout.serving_plan import ServingPlan
from services.settings import Settings

M = TypeVar("M", bound=BaseModel)

TIMEOUT_S: Final = 5.0
"""Timeout of one operation: no prediction waits for it."""
FORGOTTEN_S: Final = 60.0
"""Seconds after which the report of a replica that has ended is removed."""

KEPT_S: Final = 30 * 24 * 3600
"""Time to live of the plans of a stack that has ended; a gateway that runs writes lost ones again."""

Edit = Callable[[ServingPlan], ServingPlan]


class PlanStoreFailed(Exception):
    """The store is down or slow; the argument names the reason."""


class Stored(NamedTuple):
    """The contents of the store.

    Attributes:
        plans: Those that have been changed; that of a model which is not there is the one of the configuration.
        reports: Of replicas, those of ended ones too.
    """

    plans: tuple[ServingPlan, ...]
    reports: tuple[ReplicaReport, ...]


class PlanStore(Protocol):
    """The interface of the store. All methods raise PlanStoreFailed."""

    def read(self) -> Stored:
        """Read everything."""
        ...

    def change(self, known: ServingPlan, edit: Edit) -> ServingPlan:
        """Change a plan atomically.

        Args:
            known: The plan of the same model and configuration that is changed where the store has none.
            edit: From the stored plan to the new one; it may raise, and nothing is changed then.

        Returns:
            The new plan, with a higher revision.
        """
        ...

    def restore(self, plan: ServingPlan) -> None:
        """Write a plan where the store has none of its model and configuration, or one of a lower revision."""
        ...

    def report(self, report: ReplicaReport) -> None:
        """Write the report of a replica in place of its last one."""
        ...

    def withdraw(self, replica: str) -> None:
        """Remove the report of a replica that ends."""
        ...


class MemoryPlanStore:
    """A store of one process."""

    def __init__(self) -> None:
        self._plans: dict[str, ServingPlan] = {}
        self._reports: dict[str, ReplicaReport] = {}
        self._lock = threading.Lock()

    def read(self) -> Stored:
        """Read everything."""
        with self._lock:
            return Stored(tuple(self._plans.values()), tuple(self._reports.values()))

    def change(self, known: ServingPlan, edit: Edit) -> ServingPlan:
        """Change a plan atomically."""
        key = key_of(known)
        with self._lock:
            changed = self._plans[key] = _changed(self._plans.get(key, known), edit)
        return changed

    def restore(self, plan: ServingPlan) -> None:
        """Write a plan where there is none, or an older one."""
        key = key_of(plan)
        with self._lock:
            self._plans[key] = _newer(self._plans.get(key), plan)

    def report(self, report: ReplicaReport) -> None:
        """Write the report of a replica."""
        with self._lock:
            self._reports[report.replica] = report

    def withdraw(self, replica: str) -> None:
        """Remove the report of a replica."""
        with self._lock:
            self._reports.pop(replica, None)


class RedisPlanStore:
    """A store on a Redis-compatible server, for one stack; several stacks may share the server.

    Args:
        url: `redis://…`, `rediss://…` or `unix://…`.
        stack: Name of the stack.
        timeout_s: Timeout of one operation.
    """

    def __init__(self, url: str, stack: str, timeout_s: float = TIMEOUT_S) -> None:
        self._redis = Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
        )
        self._plans = f"tapetum:plans:{stack}"
        self._reports = f"tapetum:replicas:{stack}"

    def read(self) -> Stored:
        """Read everything; malformed values are skipped."""
        plans, reports = self._call(lambda: (self._redis.hgetall(self._plans), self._redis.hgetall(self._reports)))
        stored = Stored(tuple(_parse(plans, ServingPlan)), tuple(_parse(reports, ReplicaReport)))
        ended = [report.replica for report in stored.reports if time.time() - report.at_s > FORGOTTEN_S]
        if ended:
            self._call(lambda: self._redis.hdel(self._reports, *ended))
        return stored

    def change(self, known: ServingPlan, edit: Edit) -> ServingPlan:
        """Change a plan atomically: where another gateway changes it at the same time, the edit is repeated."""
        return self._write(key_of(known), lambda current: _changed(current or known, edit))

    def restore(self, plan: ServingPlan) -> None:
        """Write a plan where there is none, or an older one."""
        self._write(key_of(plan), lambda current: _newer(current, plan))

    def report(self, report: ReplicaReport) -> None:
        """Write the report of a replica."""
        pipeline = self._redis.pipeline()
        pipeline.hset(self._reports, report.replica, report.model_dump_json())
        pipeline.expire(self._reports, KEPT_S)
        self._call(pipeline.execute)

    def withdraw(self, replica: str) -> None:
        """Remove the report of a replica."""
        self._call(lambda: self._redis.hdel(self._reports, replica))

    def _write(self, key: str, edit: Callable[[ServingPlan | None], ServingPlan]) -> ServingPlan:
        written: list[ServingPlan] = []

        def write(pipeline: Pipeline) -> None:
            current = _parse({key: cast(Any, pipeline.hget(self._plans, key))}, ServingPlan)
            written[:] = [edit(next(iter(current), None))]
            pipeline.multi()
            pipeline.hset(self._plans, key, written[0].model_dump_json())
            pipeline.expire(self._plans, KEPT_S)

        self._call(lambda: self._redis.transaction(write, self._plans))
        return written[0]

    @staticmethod
    def _call(operation: Callable[[], Any]) -> Any:
        try:
            return operation()
        except RedisError as error:
            raise PlanStoreFailed(type(error).__name__) from None


def open_plan_store(settings: Settings) -> PlanStore | None:
    """The store of the stack that this process belongs to; None without Redis.

    Args:
        settings: Location of Redis, and the private folder of the stack, whose token is its name.
    """
    if settings.redis_url is None:
        return None
    token = read_token(settings.run_dir) or ""
    return RedisPlanStore(settings.redis_url, hashlib.sha256(f"plans {token}".encode()).hexdigest()[:16])


def key_of(plan: ServingPlan) -> str:
    """The key of a plan in the store: its model and configuration."""
    return orjson.dumps([plan.model, plan.configured], option=orjson.OPT_SORT_KEYS).decode()


def _changed(plan: ServingPlan, edit: Edit) -> ServingPlan:
    return edit(plan).model_copy(update={"revision": plan.revision + 1})


def _parse(values: Mapping[Any, bytes | None], kind: type[M]) -> Iterable[M]:
    for value in values.values():
        try:
            yield kind.model_validate_json(value or b"")
        except ValidationError:
            continue


def _newer(current: ServingPlan | None, plan: ServingPlan) -> ServingPlan:
    return current if current is not None and current.revision >= plan.revision else plan
