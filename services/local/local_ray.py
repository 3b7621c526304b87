"""Ray and Ray Serve on one machine: start, look for processes that have ended, stop.

Ray is imported by the functions, since that takes a second.
"""

from __future__ import annotations

import io
import logging
import sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from services.local.errors import StackError
from services.local.failure import explain_failure, explain_haproxy
from services.machine.cpus import count_cpus
from services.machine.hosts import LOOPBACK
from services.machine.loopback import FENCE
from services.serve_file import ServedApplication, ServeFile

OBJECT_STORE_BYTES: Final = 256 * 2**20
"""Size of Ray's object store, for images above a mebibyte on their way to a replica; its pages are allocated on use."""


@dataclass(frozen=True, slots=True)
class LocalRay:
    """Ray as it was started.

    Attributes:
        version: Of Ray.
        address: HOST:PORT of its control service.
        dashboard_url: URL of the dashboard; of no server without it.
    """

    version: str
    address: str
    dashboard_url: str


def start_ray(folder: Path, *, with_dashboard: bool) -> LocalRay:
    """Starts a node of Ray on loopback.

    Args:
        folder: For its files.
        with_dashboard: Whether its dashboard runs, too, which accepts jobs.

    Raises:
        StackError: It did not start.
    """
    import ray

    try:
        context: Any = ray.init(
            address="local",
            num_cpus=count_cpus(),
            include_dashboard=with_dashboard,
            dashboard_host=LOOPBACK,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=OBJECT_STORE_BYTES,
            _temp_dir=str(folder),
            _node_ip_address=LOOPBACK,
            runtime_env={"worker_process_setup_hook": FENCE},
        )
    except Exception as error:  # Ray raises Exception itself where its processes are not up in time
        first_line = str(error).strip().partition("\n")[0]
        raise StackError(f"Ray did not start: {first_line}") from None
    address: str = context.address_info["address"]
    record_address(address, folder)
    return LocalRay(ray.__version__, address, f"http://{context.dashboard_url}")


def record_address(address: str, folder: Path) -> None:
    """Writes the address of a node that was started where `ray start` writes it, in the folder of its files.

    `auto`, which jobs of this node connect to, is read from there. Without it Ray takes any of the clusters that run on
    this machine.

    Args:
        address: HOST:PORT of its control service.
        folder: As for `start_ray`.
    """
    from ray._private.utils import write_ray_address

    write_ray_address(address, str(folder))


def start_serve(config: ServeFile) -> None:
    """Starts Ray Serve with HAProxy.

    Raises:
        StackError: HAProxy did not start.
    """
    from ray import serve
    from ray.exceptions import RayActorError

    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    try:
        serve.start(
            proxy_location=config.proxy_location,
            http_options={**config.http_options.model_dump(), "host": LOOPBACK},  # of gateways; HAProxy's: in its plan
            grpc_options=config.grpc_options.model_dump() if config.grpc_options else None,
            logging_config={"enable_access_log": False, "log_level": "WARNING"},
        )
    except (RuntimeError, RayActorError) as error:  # the latter where Ray has given it up, on a slow machine
        raise StackError(explain_haproxy(str(error))) from None


def run_application(application: ServedApplication) -> None:
    """Starts gateways and models, and returns when they run.

    Raises:
        StackError: One of them did not start.
    """
    from ray import serve

    from services.app import build

    try:
        serve.run(build(application.args), name=application.name, route_prefix=application.route_prefix, blocking=False)
    except RuntimeError as error:
        raise StackError(explain_failure(application.name, str(error))) from None


def ended_part_of_ray() -> str:
    """Name of an essential process of Ray that has ended; empty where none has."""
    import ray
    from ray._private.worker import global_worker

    node: Any = global_worker.node
    if node is None or not ray.is_initialized():
        return "the connection"
    return ", ".join(name for name, _ in node.dead_processes())


def stop_ray() -> None:
    """Stops Ray Serve and Ray, where they run."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return
    from ray import serve as ray_serve

    # Ray logs that its controller has ended, which is expected here.
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        for shutdown in (ray_serve.shutdown, ray.shutdown):
            with suppress(Exception):  # without a controller Serve cannot shut down; Ray still must
                shutdown()
