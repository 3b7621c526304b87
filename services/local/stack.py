"""Starts and stops the stack on one machine, for `tapetum serve`.

    tapetum serve
      ├── embedded cache            unless TAPETUM_REDIS_URL is set
      ├── Ray                       one local node; its dashboard for `--jobs` only
      │     ├── HAProxy             the public port
      │     ├── Gateway …           HTTP, cache, limits; the models, too, where they are colocated
      │     └── Classifier …        the models, where they are not
      └── log pipe                  every process's log lines, printed here

Everything it keeps on disk lies in one private folder that goes when it ends. Stopping drains: new requests are
refused, those in flight are answered, and only then do the processes end.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from services.chosen_models import describe, save, with_models
from services.configuration import TopologyError
from services.gateway.exposure import check_exposure
from services.gateway.serving.admission import DRAINING_FILE
from services.kinds import TASKS
from services.layout import Machine, lay_out
from services.local.embedded_cache import CacheServerError, EmbeddedCache
from services.local.errors import PartEnded
from services.local.haproxy_keeper import HAProxyKeeper
from services.local.local_ray import ended_part_of_ray, run_application, start_ray, start_serve, stop_ray
from services.local.ports import address, public_addresses
from services.local.readiness import wait_until_ready
from services.local.reserve import Reserve
from services.local.start_checks import check_cpus, check_ports
from services.local.stopping import StopRequested, StopSignals, end_at_once, unwrapped
from services.machine.gpus import count_gpus
from services.machine.hosts import LOOPBACK, is_loopback
from services.machine.ray_environment import ON_LOOPBACK, provide_token
from services.machine.run_dir import NoFolder, clean_up_after_crashes, make_run_dir, release
from services.machine.stack_token import write_token
from services.nodes.environment import set_defaults
from services.nodes.errors import NodeError
from services.nodes.haproxy import grpc_environment, haproxy_environment, write_launcher
from services.nodes.log_printer import start_log_printer
from services.nodes.ports import Ports
from services.serve_file import ServeFile, read_serve_file
from services.settings import Settings, SettingsError, read_settings
from services.telemetry import metrics_folder, read_gauge
from services.topology import Layout, Topology

DEFAULT_CONFIG: Final = Path(__file__).parents[2] / "deploy" / "serve" / "config.yaml"
GPU_CONFIG: Final = DEFAULT_CONFIG.with_name("gpu.yaml")
_WATCH_INTERVAL_S: Final = 0.5

Say = Callable[[str], None]
"""Called with one line of progress."""


def serve(
    path: Path | None = None,
    *,
    models: Sequence[str] = (),
    save_config: Path | None = None,
    host: str | None = None,
    port: int | None = None,
    grpc_port: int | None = None,
    layout: Layout | None = None,
    jobs: bool = False,
    say: Say = print,
) -> int:
    """Run the stack in the foreground until SIGINT or SIGTERM.

    Args:
        path: Serve configuration file; None: the bundled one, for models that are named that for GPUs if there is one.
        models: Models of the catalog to serve instead of those of the file.
        save_config: File that takes the configuration for them.
        host: Address to listen on, instead of that of the file.
        port: Likewise.
        grpc_port: Likewise, of gRPC; 0: none.
        layout: Topology, instead of that of the file.
        jobs: Whether Ray's dashboard runs, too, and accepts jobs; it listens on loopback, and uses about 1 GB.
        say: Called with the lines of progress.

    Returns:
        Exit status: 0 after a signal, 1 where the stack could not start or failed. A second signal ends the process.
    """
    try:
        path = path or (GPU_CONFIG if models and count_gpus() else DEFAULT_CONFIG)
        config = _for_models(read_serve_file(path).listening_at(host, port, grpc_port), models, save_config, say)
        config = config.with_topology(lay_out(config.topology, Machine.here(), layout))
        if ignored := config.for_clusters():
            say(f"warning: {', '.join(ignored)} is ignored: `tapetum serve` runs all processes in its own environment")
        settings = read_settings()
        check_exposure(config.http_options.host, settings)
        check_cpus(config)
        clean_up_after_crashes()
        check_ports(config)
        with Stack(config, settings, say, jobs=jobs) as stack:
            _run(stack, say)
    except (NodeError, TopologyError, SettingsError, CacheServerError, NoFolder) as error:
        say(f"error: {error}")
        return 1
    except OSError as error:
        say(f"error: {error.filename or 'starting'}: {error.strerror or error}")
        return 1
    except StopRequested:
        pass
    say("stopped")
    return 0


def _for_models(config: ServeFile, models: Sequence[str], save_config: Path | None, say: Say) -> ServeFile:
    """The configuration for the models that are named, if any, written to a file where that is asked for."""
    if models:
        config = with_models(config, models)
        for deployment in config.topology.deployments:
            say(describe(deployment))
    if save_config is not None:
        save(config, save_config)
        say(f"configuration written to {save_config}")
    return config


def _run(stack: Stack, say: Say) -> None:
    """Start a stack, watch it until it is to stop, and drain it."""
    try:
        with unwrapped():
            stack.start()
            stack.watch()
    except StopRequested:
        say("stopping: answering requests in flight; Ctrl-C or SIGTERM again stops at once")
        stack.drain()
    except PartEnded as error:
        say(f"error: {error}")
        stack.end_at_once()


class Stack:
    """All processes of one machine; a context manager, so that they end after an error, too.

    Args:
        config: The Serve configuration.
        settings: The operating limits.
        say: Called with the lines of progress.
        jobs: Whether Ray's dashboard runs, too.
    """

    def __init__(self, config: ServeFile, settings: Settings, say: Say, *, jobs: bool = False) -> None:
        self._jobs = jobs
        self._config = config
        self._settings = settings
        self._say = say
        self._hosts = public_addresses(config.http_options.host)
        self._ports = Ports.take()
        self._run_dir = make_run_dir()
        self._signals = StopSignals(self._run_dir)
        self._token = ""
        self._reserve = Reserve(self._run_dir, say)
        self._haproxy = HAProxyKeeper()
        self._cache: EmbeddedCache | None = None
        self._started_at = time.monotonic()

    def __enter__(self) -> Stack:
        self._signals.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._signals.hold()
        stop_ray()
        if self._cache is not None:
            self._cache.stop()
        self._ports.close()
        shutil.rmtree(self._run_dir, ignore_errors=True)
        release(self._run_dir)
        self._signals.close()

    def end_at_once(self) -> NoReturn:
        """Kill all processes, including this one, where Ray can no longer stop them."""
        end_at_once(self._run_dir, 1)

    def start(self) -> None:
        """Start all processes in order, and return when every model is ready.

        Raises:
            StackError: a part did not start.
        """
        self._say_topology()
        self._start_cache()
        self._set_environment()
        start_log_printer(self._run_dir, sys.stderr)
        self._start_ray()
        self._start_application()
        self._say_where()

    def watch(self) -> None:
        """Wait for a signal; restart the embedded cache and HAProxy when they end, and reserve disk space.

        Raises:
            PartEnded: Ray has ended.
        """
        while True:
            time.sleep(_WATCH_INTERVAL_S)
            if self._cache is not None and not self._cache.is_running():
                self._say("the embedded cache has ended unexpectedly: starting it again")
                self._cache.start()
            if ended := ended_part_of_ray():
                raise PartEnded(f"Ray has ended unexpectedly ({ended}); start again")
            self._haproxy.watch()
            self._reserve.watch()

    def drain(self) -> None:
        """Refuse new requests, and return when those in flight are done or the drain timeout has passed."""
        self._signals.hold()
        with suppress(OSError):  # a full disk; then new requests are answered, too
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
        return metrics_folder(self._run_dir)

    def _say_topology(self) -> None:
        topology = self._config.topology
        replicas = topology.gateway.max_replicas
        if topology.is_colocated:
            self._step(f"topology: colocated, {replicas} gateway replica{'s' * (replicas > 1)} with all models each")
        else:
            self._step("topology: split, models in replicas of their own")

    def _start_cache(self) -> None:
        if self._settings.redis_url:
            self._step("cache: the Redis of TAPETUM_REDIS_URL")
        else:
            self._cache = EmbeddedCache(self._run_dir, self._settings.cache_max_bytes)
            self._cache.start()
            self._step(f"cache: embedded, {self._settings.cache_max_bytes // 2**20} MiB")

    def _set_environment(self) -> None:
        self._metrics_dir.mkdir()
        self._token = write_token(self._run_dir)
        grpc = self._config.grpc_options
        launcher = write_launcher(
            self._run_dir,
            self._token,
            self._settings,
            port=self._config.http_options.port,
            grpc_port=grpc.port if grpc else None,
            hosts=self._hosts,
        )
        forced = {
            "TAPETUM_RUN_DIR": str(self._run_dir),
            ON_LOOPBACK: "0",
            **haproxy_environment(self._run_dir, launcher, self._settings),
            **grpc_environment(self._settings),
            **self._ports.environment,
        }
        if self._cache is not None:
            forced["TAPETUM_REDIS_URL"] = self._cache.url
        os.environ.update(forced)
        set_defaults(os.environ)
        provide_token()

    def _start_ray(self) -> None:
        ray = start_ray(self._run_dir / "r", with_dashboard=self._jobs)
        self._signals.listen()  # again, for Ray has put its own handlers in their place
        self._step(f"Ray {ray.version} at {ray.address}")
        if self._jobs:
            self._step(f"jobs: {ray.dashboard_url}")

    def _start_application(self) -> None:
        http, grpc = self._config.http_options, self._config.grpc_options
        start_serve(self._config)
        self._step(f"HAProxy on {', '.join(address(host, http.port) for host in self._hosts)}")
        if grpc is not None:
            self._step(f"gRPC on {', '.join(address(host, grpc.port) for host in self._hosts)}")
        self._haproxy.watch()
        application = self._config.applications[0]
        run_application(application)
        deployments = application.args.deployments
        self._step(f"models: {_names(application.args)}")
        elsewhere = {spec.name for config in deployments if config.triton for spec in config.models}
        keys = self._settings.all_api_keys()
        for name in sorted(wait_until_ready(self._url_here, self._token, keys, frozenset(elsewhere))):
            self._step(f"{name} is not ready: its Triton server does not answer")

    @property
    def _url_here(self) -> str:
        """URL of the public port for this process, with an address instead of a name."""
        host = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(self._hosts[0], self._hosts[0])
        return f"http://{address(host, self._config.http_options.port)}"

    @property
    def _url(self) -> str:
        http = self._config.http_options
        named = is_loopback(http.host) or http.host in ("0.0.0.0", "::")
        return f"http://{address('localhost' if named else http.host, http.port)}"

    def _say_where(self) -> None:
        url = self._url
        self._step("ready")
        key = " -H 'Authorization: Bearer YOUR_KEY'" if self._settings.all_api_keys() else ""
        self._say(f"  try      {_example(self._config.topology, url, key)}")
        if self._settings.playground:
            self._say(f"  page     {url}/")
        self._say(f"  docs     {url}/docs")
        self._say(f"  metrics  {url}/metrics")
        self._say("  stop     Ctrl-C")

    def _step(self, what: str) -> None:
        self._say(f"✓ {time.monotonic() - self._started_at:5.1f} s  {what}")


def _example(topology: Topology, url: str, key: str) -> str:
    """A command that asks the first model."""
    api = TASKS[topology.deployments[0].task]
    sent = "--data-binary @photo.jpg -H 'Content-Type: image/jpeg'" if api.takes_images else "-X POST"
    saved = " -o answer.png" if api.picture_file is not None else ""
    return f"curl {sent}{key} {url}{api.path}{saved}"


def _names(topology: Topology) -> str:
    """The models that are loaded, and those that are not yet."""
    specs = [spec for config in topology.deployments for spec in config.models]
    later = ", ".join(spec.name for spec in specs if topology.is_on_demand(spec.model))
    loaded = ", ".join(spec.name for spec in specs if not topology.is_on_demand(spec.model))
    return f"{loaded}; on demand: {later}" if later else loaded
