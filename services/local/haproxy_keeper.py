"""Restarts HAProxy when it ends unexpectedly."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from services.nodes import haproxy_launcher

_KEEP_INTERVAL_S: Final = 0.1
_RETRY_INTERVAL_S: Final = 1.0
_KEPT: Final = "_tapetum_keeps_haproxy"


class HAProxyKeeper:
    """Restarts HAProxy, with its latest configuration, as soon as it ends unexpectedly.

    Ray Serve 2.60 itself takes half a minute, and its new HAProxy has no gateways. The watch runs inside Ray's
    HAProxyManager, which needs the process that it reloads.
    """

    def __init__(self) -> None:
        self._managers: set[str] = set()

    def watch(self) -> None:
        """Start the watch in Ray's HAProxyManager; call it periodically, since Ray replaces a manager that ends."""
        import ray
        from ray.exceptions import RayError

        node = ray.get_runtime_context().get_node_id()
        with suppress(RayError, ValueError):
            manager: Any = ray.get_actor(f"SERVE_PROXY_ACTOR-{node}", namespace="serve")
            if manager._actor_id.hex() not in self._managers:
                ray.get(manager.__ray_call__.remote(keep_haproxy), timeout=5)
                self._managers.add(manager._actor_id.hex())


def keep_haproxy(manager: Any) -> None:
    """Start the watch; runs in the process of a HAProxyManager, in a thread beside its event loop."""
    if hasattr(manager, "_haproxy") and not hasattr(manager, _KEPT):
        setattr(manager, _KEPT, asyncio.run_coroutine_threadsafe(_keep(manager), manager.event_loop))


async def _keep(manager: Any) -> None:
    """Restart an ended process, and rewrite a configuration that Ray could not write to a full disk."""
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
