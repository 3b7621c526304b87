"""Starts and stops everything on one machine: what `tapetum serve` does.

    tapetum serve
      ├── embedded cache            unless TAPETUM_REDIS_URL is set
      ├── Ray                       one local node; its dashboard for `--jobs` only
      │     ├── HAProxy             the public port
      │     ├── Gateway             HTTP, cache, limits
      │     └── Classifier …        the models
      └── log pipe                  every process's log lines, printed here

Everything it keeps on disk lies in one private folder that goes when it ends. Stopping drains: new requests are
refused, those in flight are answered, and only then do the processes end.
"""

from __future__ import annotations

import io
import logging
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, redirect_stderr, suppress
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from services.embedded_cache import CacheServerError, EmbeddedCache
from services.gateway.admission import DRAINING_FILE
from services.gateway.tasks import TASKS
from services.loopback import LOOPBACK, is_loopback, write_haproxy_launcher
from services.run_dir import clean_up_after_crashes, make_run_dir
from services.settings import Settings, SettingsError, read_settings
from services.telemetry import LOG_PIPE, read_gauge
from services.topology import ServeFile, TopologyError, read_serve_file

DEFAULT_CONFIG = Path(__file__).parent.parent / "deploy" / "serve" / "config.yaml"
READY_TIMEOUT_S = 600.0
WATCH_INTERVAL_S = 0.5
_OBJECT_STORE_BYTES = 100 * 2**20
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

Say = Callable[[str], None]
"""Takes one line of progress."""


class StackError(Exception):
    """The stack cannot be started, or has failed; the message is one line for a person."""


class _StopRequested(BaseException):
    """SIGINT or SIGTERM came; a BaseException, so that no library takes it for an error."""


def serve(
    path: Path = DEFAULT_CONFIG,
    *,
    host: str | None = None,
    port: int | None = None,
    jobs: bool = False,
    say: Say = print,
) -> int:
    """Run the stack in the foreground until SIGINT or SIGTERM.

    Args:
        path: Serve configuration file.
        host: Listen here instead of where the file says.
        port: Likewise.
        jobs: Whether Ray's dashboard runs, too, and takes jobs; it listens on loopback, and takes about 1 GB.
        say: Takes the lines of progress.

    Returns:
        Exit status: 0 after a signal, 1 where the stack could not start or failed.
    """
    try:
        config = _with_address(read_serve_file(path), host, port)
        settings = read_settings()
        check_exposure(config.http_options.host, settings)
        clean_up_after_crashes()
        check_port(config.http_options.host, config.http_options.port)
        with _signal_handlers_kept(), Stack(config, settings, say, jobs=jobs) as stack:
            _set_signals(_raise_stop)
            try:
                stack.start()
                stack.watch()
            except _StopRequested:
                say("stopping: answering what is in flight")
                stack.drain()
    except (StackError, TopologyError, SettingsError, CacheServerError) as error:
        say(f"error: {error}")
        return 1
    except _StopRequested:
        pass
    say("stopped")
    return 0


class Stack:
    """All processes of one machine; a context manager, so that they end whatever happens.

    Args:
        config: What to serve.
        settings: The operating limits.
        say: Takes the lines of progress.
        jobs: Whether Ray's dashboard runs, too.
    """

    def __init__(self, config: ServeFile, settings: Settings, say: Say, *, jobs: bool = False) -> None:
        self._jobs = jobs
        self._config = config
        self._settings = settings
        self._say = say
        self._run_dir = make_run_dir()
        self._cache: EmbeddedCache | None = None
        self._started_at = time.monotonic()

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        _set_signals(signal.SIG_IGN)
        self._stop_ray()
        if self._cache is not None:
            self._cache.stop()
        shutil.rmtree(self._run_dir, ignore_errors=True)

    def start(self) -> None:
        """Start one part after the other, and return when every model answers.

        Raises:
            StackError: a part did not start.
        """
        self._start_cache()
        self._set_environment()
        self._start_log_printer()
        self._start_ray()
        self._start_application()
        self._say_where()

    def watch(self) -> None:
        """Stay until a signal comes; put an embedded cache that died back.

        Raises:
            StackError: Ray has ended.
        """
        import ray

        while True:
            time.sleep(WATCH_INTERVAL_S)
            if self._cache is not None and not self._cache.is_running():
                self._say("embedded cache ended unasked: starting it again")
                self._cache.start()
            if not ray.is_initialized() or not _ray_is_alive():
                raise StackError("Ray has ended unasked; start again")

    def drain(self) -> None:
        """Refuse new requests, and return when those in flight are answered or the time for it is over."""
        _set_signals(signal.SIG_IGN)
        (self._run_dir / DRAINING_FILE).touch()
        give_up_at = time.monotonic() + self._settings.drain_timeout_s
        while (count := read_gauge("tapetum_requests_in_flight", self._metrics_dir)) > 0:
            if time.monotonic() > give_up_at:
                self._say(f"{count:.0f} requests were still in flight after {self._settings.drain_timeout_s:g} s")
                return
            time.sleep(0.02)
        time.sleep(0.2)  # the last answers are on their way through HAProxy

    @property
    def _metrics_dir(self) -> Path:
        return self._run_dir / "metrics"

    def _start_cache(self) -> None:
        if self._settings.redis_url:
            self._step("cache: the Redis of TAPETUM_REDIS_URL")
        else:
            self._cache = EmbeddedCache(self._run_dir, self._settings.cache_max_bytes)
            self._cache.start()
            self._step(f"cache: embedded, {self._settings.cache_max_bytes // 2**20} MiB")

    def _set_environment(self) -> None:
        self._metrics_dir.mkdir()
        stats_port, metrics_port = free_ports(2)
        launcher = write_haproxy_launcher(self._run_dir, stats_port=stats_port, metrics_port=metrics_port)
        forced = {
            "TAPETUM_RUN_DIR": str(self._run_dir),
            "PROMETHEUS_MULTIPROC_DIR": str(self._metrics_dir),
            "RAY_SERVE_HAPROXY_BINARY_PATH": str(launcher),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(stats_port),
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics_port),
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(self._run_dir / "haproxy.cfg"),
            "RAY_SERVE_HAPROXY_SOCKET_PATH": str(self._run_dir / "haproxy.sock"),
            "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(self._run_dir / "haproxy-metrics.sock"),
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(self._run_dir),
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(self._run_dir / "haproxy-state"),
        }
        if self._cache is not None:
            forced["TAPETUM_REDIS_URL"] = self._cache.url
        if is_loopback(self._config.http_options.host):
            # Despite its name: without it Ray takes the address of a network card, and listens there.
            forced["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        os.environ.update(forced)
        for name, value in RAY_DEFAULTS.items():
            os.environ.setdefault(name, value)

    def _start_log_printer(self) -> None:
        pipe = self._run_dir / LOG_PIPE
        os.mkfifo(pipe, 0o600)
        end = os.open(pipe, os.O_RDWR)  # for writing too, so that it never reads as ended
        threading.Thread(target=_print_lines, args=(end, sys.stderr), name="log printer", daemon=True).start()

    def _start_ray(self) -> None:
        import ray

        needed = cpus_needed(self._config)
        available = os.cpu_count() or 1
        if needed > available:
            raise StackError(f"the configuration reserves {needed:g} CPUs (num_cpus), and this machine has {available}")
        context: Any = ray.init(
            address="local",
            include_dashboard=self._jobs,
            dashboard_host=LOOPBACK,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=_OBJECT_STORE_BYTES,
            _temp_dir=str(self._run_dir / "ray"),
            _node_ip_address=LOOPBACK if is_loopback(self._config.http_options.host) else None,
        )
        _set_signals(_raise_stop)  # again, for Ray has put its own in their place
        self._step(f"Ray {ray.__version__} at {context.address_info['address']}")
        if self._jobs:
            self._step(f"jobs: http://{context.dashboard_url}")

    def _start_application(self) -> None:
        from ray import serve as ray_serve

        from services.app import build

        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        http = self._config.http_options
        ray_serve.start(
            proxy_location=self._config.proxy_location,
            http_options=http.model_dump(),
            logging_config={"enable_access_log": False, "log_level": "WARNING"},
        )
        self._step(f"HAProxy on {http.host}:{http.port}")
        application = self._config.applications[0]
        try:
            ray_serve.run(
                build(application.args), name=application.name, route_prefix=application.route_prefix, blocking=False
            )
        except RuntimeError as error:
            raise StackError(explain_failure(application.name, str(error))) from None
        names = ", ".join(spec.name for config in application.args.deployments for spec in config.models)
        self._step(f"models: {names}")
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        """Wait for `/readyz` through the public port, as a client will find it."""
        import httpx

        give_up_at = time.monotonic() + READY_TIMEOUT_S
        keys = self._settings.all_api_keys()
        headers = {"authorization": f"Bearer {keys[0]}"} if keys else {}
        with httpx.Client(base_url=self._url, headers=headers, timeout=5.0, trust_env=False) as client:
            while time.monotonic() < give_up_at:
                with suppress(httpx.HTTPError):
                    if client.get("/readyz").status_code == 200:
                        return
                time.sleep(0.05)
        raise StackError(f"the models did not become ready within {READY_TIMEOUT_S:g} s")

    @property
    def _url(self) -> str:
        http = self._config.http_options
        host = "localhost" if is_loopback(http.host) or http.host in ("0.0.0.0", "::") else http.host
        return f"http://{host}:{http.port}"

    def _say_where(self) -> None:
        url = self._url
        self._step("ready")
        key = " -H 'Authorization: Bearer YOUR_KEY'" if self._settings.all_api_keys() else ""
        task = self._config.topology.deployments[0].task
        path = next(api.path for api in TASKS if api.task == task)
        self._say(f"  try      curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg'{key} {url}{path}")
        self._say(f"  docs     {url}/docs")
        self._say(f"  metrics  {url}/metrics")
        self._say("  stop     Ctrl-C")

    def _stop_ray(self) -> None:
        ray = sys.modules.get("ray")
        if ray is None or not ray.is_initialized():
            return
        from ray import serve as ray_serve

        # Ray reports on stderr that its controller is gone, which is what was asked for.
        with redirect_stderr(io.StringIO()), suppress(Exception):
            ray_serve.shutdown()
            ray.shutdown()

    def _step(self, what: str) -> None:
        self._say(f"✓ {time.monotonic() - self._started_at:5.1f} s  {what}")


RAY_DEFAULTS = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
    "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, os.cpu_count() or 1)),
    "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": str(64 * 1024),
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(2**31 - 1),
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
    "RAY_worker_niceness": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Set before Ray starts, unless the environment says otherwise; docs/configuration.md gives the reasons."""


def _with_address(config: ServeFile, host: str | None, port: int | None) -> ServeFile:
    given: dict[str, Any] = {"host": host, "port": port}
    changed = {name: value for name, value in given.items() if value is not None}
    return config.model_copy(update={"http_options": config.http_options.model_copy(update=changed)})


def check_exposure(host: str, settings: Settings) -> None:
    """Refuse to listen beyond loopback without API keys.

    Raises:
        StackError: that is what was asked for, and no setting allows it.
    """
    if is_loopback(host) or settings.all_api_keys() or settings.allow_open_network:
        return
    raise StackError(
        f"{host} can be reached from other machines, and no API key is set: set TAPETUM_API_KEYS or "
        "TAPETUM_API_KEYS_FILE, or TAPETUM_ALLOW_OPEN_NETWORK=true if everybody may use this server"
    )


def check_port(host: str, port: int) -> None:
    """Find out before anything starts whether the public port is free.

    Raises:
        StackError: it is not, or the host is not one of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError as error:
            raise StackError(
                f"cannot listen on {host}:{port}: {(error.strerror or str(error)).lower()}; choose another with --port"
            ) from None


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on just now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def cpus_needed(config: ServeFile) -> float:
    """CPUs that the configuration reserves to begin with."""
    scaled = (config.topology.gateway, *config.topology.deployments)
    return sum(
        part.num_cpus * (part.autoscaling.min_replicas if part.autoscaling else part.num_replicas) for part in scaled
    )


def explain_failure(application: str, message: str) -> str:
    """One line of why the application did not start, out of Ray Serve's status of it."""
    from ray import serve as ray_serve

    status = ray_serve.status().applications.get(application)
    texts = [part.message for part in status.deployments.values() if part.message] if status else []
    lines = [line.strip() for line in "\n".join(texts or [message]).splitlines() if line.strip()]
    reasons = [line for line in lines if "Error" in line.partition(":")[0] or "models.errors" in line]
    return f"a deployment did not start: {(reasons or lines)[-1]}"


def _ray_is_alive() -> bool:
    from ray._private.worker import global_worker

    node = global_worker.node
    return node is not None and not node.dead_processes()


def _print_lines(pipe: int, console: TextIO) -> None:
    with os.fdopen(pipe, "r", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            console.write(line)
            console.flush()


def _raise_stop(_signal: int, _frame: FrameType | None) -> None:
    raise _StopRequested


def _set_signals(handler: Any) -> None:
    for number in _STOP_SIGNALS:
        signal.signal(number, handler)


@contextmanager
def _signal_handlers_kept() -> Generator[None]:
    before = {number: signal.getsignal(number) for number in _STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
