"""The store of finished evaluations, on Redis or in a local file, from which gateways read them.

    tapetum evaluate ── record_run ──►  hash on Redis, or a local file  ◄── RunReader ── every gateway

Redis is used where `TAPETUM_REDIS_URL` is set, and a file elsewhere; readers read both, since other processes cannot
reach the embedded server of `tapetum serve`. A run replaces an older one of the same model, version, weights and data.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

import orjson
import structlog
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from services.accuracy.recorded_run import ModelKey, RecordedRun
from services.settings import Settings

__all__ = [
    "ModelKey",
    "RecordedRun",
    "RunReader",
    "StoreError",
    "accuracy_file",
    "newest_runs",
    "read_runs",
    "record_run",
]

log = structlog.get_logger()

MAX_RUNS: Final = 500
"""The most runs that are kept; the oldest are evicted."""

MAX_BYTES: Final = 64 * 2**20
"""The most bytes of the file; a larger one is not read."""

REDIS_HASH: Final = "tapetum:accuracy:runs"
REDIS_REVISION: Final = "tapetum:accuracy:revision"
"""Key of the version counter of the hash, so that readers fetch it only after changes."""

REDIS_TIMEOUT_S: Final = 5.0
"""Timeout of one operation of `record_run`, for which only a command line waits."""


class StoreError(Exception):
    """A run cannot be recorded; the message has the location and the reason."""


def accuracy_file(settings: Settings) -> Path:
    """Path of the file of runs, which is used without Redis.

    Raises:
        StoreError: no file is set, and this user has no home folder.
    """
    if settings.accuracy_file is not None:
        return settings.accuracy_file
    try:
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    except RuntimeError:
        raise StoreError("there is no home folder for recorded runs: set TAPETUM_ACCURACY_FILE") from None
    return state / "tapetum" / "accuracy.jsonl"


def record_run(run: RecordedRun, settings: Settings) -> str:
    """Record a run for all gateways; it replaces an older one of the same model, version, weights and data.

    Args:
        run: The run.
        settings: Location of the store.

    Returns:
        Location of the record, for people.

    Raises:
        StoreError: it cannot be recorded.
    """
    if settings.redis_url:
        try:
            _write_to_redis(run, settings.redis_url)
        except (RedisError, OSError, ValueError) as error:
            raise StoreError(f"the run was not recorded: Redis failed ({type(error).__name__})") from None
        return "Redis"
    path = accuracy_file(settings)
    try:
        _write_to_file(run, path)
    except OSError as error:
        raise StoreError(f"the run was not recorded: {path} cannot be written ({error.strerror})") from None
    return str(path)


def read_runs(settings: Settings) -> list[RecordedRun]:
    """Reads all recorded runs, of file and Redis, the newest first: one for each model, version, weights and data.

    Unreadable runs are skipped, with a line in the log.
    """
    return RunReader(settings).read()


class RunReader:
    """Reads runs repeatedly; unchanged ones are not fetched again, and after a failure the previous ones stay.

    Args:
        settings: Location of the store.
    """

    def __init__(self, settings: Settings) -> None:
        self._sources = [_Source("file", lambda seen: _read_file(accuracy_file(settings), seen))]
        if settings.redis_url:
            url, timeout_s = settings.redis_url, max(settings.cache_timeout_s, 1.0)
            redis = _connect(url, timeout_s)
            self._sources.append(_Source("redis", lambda seen: _read_redis(redis, seen)))

    def read(self) -> list[RecordedRun]:
        """All runs, the newest first. It blocks briefly, and never raises."""
        return newest_runs(run for source in self._sources for run in source.read())


class _Source:
    """One location of runs, with the latest runs that were read there.

    Args:
        name: For the log.
        fetch: From the last version to the current one and its runs; None where nothing has changed.
    """

    def __init__(self, name: str, fetch: Callable[[object], tuple[object, list[RecordedRun]] | None]) -> None:
        self._name = name
        self._fetch = fetch
        self._seen: object = None
        self._runs: list[RecordedRun] = []
        self._failing = False

    def read(self) -> list[RecordedRun]:
        try:
            fetched = self._fetch(self._seen)
        except (OSError, RedisError, StoreError, ValueError) as error:
            if not self._failing:
                log.warning(
                    "recorded runs cannot be read", source=self._name, reason=f"{type(error).__name__}: {error}"
                )
            self._failing = True
            return self._runs
        self._failing = False
        if fetched is not None:
            self._seen, self._runs = fetched
        return self._runs


def newest_runs(runs: Iterable[RecordedRun]) -> list[RecordedRun]:
    """The newest run of every model, version, weights and data; the newest first, at most `MAX_RUNS`."""
    newest: dict[tuple[str, ...], RecordedRun] = {}
    for run in runs:
        known = newest.get(run.key)
        if known is None or run.finished_at_s >= known.finished_at_s:
            newest[run.key] = run
    return sorted(newest.values(), key=lambda run: -run.finished_at_s)[:MAX_RUNS]


def _parse(lines: Iterable[bytes], place: str) -> list[RecordedRun]:
    """Parses the lines of runs; malformed ones are skipped, with one line in the log for all of them.

    Raises:
        StoreError: there are more malformed lines than `MAX_RUNS`.
    """
    runs: list[RecordedRun] = []
    broken, first = 0, (0, "")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            runs.append(RecordedRun.from_dict(orjson.loads(line)))
        except ValueError as error:
            broken += 1
            first = first if broken > 1 else (number, str(error)[:200])
            if broken > MAX_RUNS:
                raise StoreError(f"{place} is no list of recorded runs: line {first[0]}: {first[1]}") from None
    if broken:
        log.warning("recorded runs passed over", runs=broken, place=f"{place}:{first[0]}", reason=first[1])
    return runs


def _encode(run: RecordedRun) -> bytes:
    return orjson.dumps(run.to_dict())  # which writes NaN as null, in the protocol, too


def _read_file(path: Path, seen: object) -> tuple[object, list[RecordedRun]] | None:
    try:
        state = path.stat()
        version = (state.st_ino, state.st_mtime_ns, state.st_size)
        if version == seen:
            return None
        if not stat.S_ISREG(state.st_mode) or state.st_size > MAX_BYTES:
            raise StoreError(f"{path} is no file of recorded runs, or has more than {MAX_BYTES} bytes")
        with path.open("rb") as file:
            return version, _parse(file, path.name)
    except FileNotFoundError:
        return "no file", []


def _write_to_file(run: RecordedRun, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.with_name(f"{path.name}.lock")):
        fetched = _read_file(path, None)
        runs = newest_runs([*(fetched[1] if fetched else []), run])
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, 0o644)  # gateways may run as somebody else
                file.writelines(_encode(one) + b"\n" for one in runs)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on the file; it is released when the process ends, even if that is killed."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _connect(url: str, timeout_s: float) -> Redis:
    """Creates a connection without retries."""
    return Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0))


def _field(run: RecordedRun) -> bytes:
    return orjson.dumps(run.key)


def _write_to_redis(run: RecordedRun, url: str) -> None:
    with _connect(url, REDIS_TIMEOUT_S) as redis:
        known = _parse(_values(redis), "redis")
        kept = newest_runs([*known, run])
        if not any(one is run for one in kept):
            return
        keys = {one.key for one in kept}
        gone = [_field(one) for one in known if one.key not in keys]
        pipeline = redis.pipeline()
        pipeline.hset(REDIS_HASH, cast(str, _field(run)), cast(str, _encode(run)))
        if gone:
            pipeline.hdel(REDIS_HASH, *cast(list[str], gone))
        pipeline.incr(REDIS_REVISION)
        pipeline.execute()


def _read_redis(redis: Redis, seen: object) -> tuple[object, list[RecordedRun]] | None:
    version = cast(Any, redis.get(REDIS_REVISION))
    if version is not None and version == seen:
        return None
    return version, _parse(_values(redis), "redis")


def _values(redis: Redis) -> Iterable[bytes]:
    return cast(dict[bytes, bytes], redis.hgetall(REDIS_HASH)).values()
