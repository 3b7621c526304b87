"""Environment variables that must be set before Ray is imported, as it reads them only then."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from services.machine.hosts import bypass_proxies

ON_LOOPBACK: Final = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Despite its name: where it is not 0, Ray takes the address of a network card for 127.0.0.1, and listens there."""

ALWAYS: Final = {
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
}
"""Set for every use of Ray, unless the environment says otherwise."""


def set_ray_environment(*, on_loopback: bool, joining: bool) -> None:
    """Sets what is not set yet; call it before Ray is imported.

    Args:
        on_loopback: Whether the cluster is this machine's alone.
        joining: Whether to join a running cluster. It requires the token of its starter, which Ray 2.60 sends only
            where it is configured to.
    """
    bypass_proxies()
    wanted = {**ALWAYS, **({ON_LOOPBACK: "0"} if on_loopback else {})}
    if not joining:
        provide_token()
    elif "RAY_AUTH_TOKEN" in os.environ or _token_file().is_file():
        wanted["RAY_AUTH_MODE"] = "token"
    for name, value in wanted.items():
        os.environ.setdefault(name, value)


def provide_token() -> None:
    """Give a cluster that is about to start a token of its own where Ray cannot keep one in the home folder."""
    if not os.environ.keys() & {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} and not _home_keeps_token():
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _home_keeps_token() -> bool:
    file = _token_file()
    if file.exists():
        return os.access(file, os.R_OK)
    folder = file.parent if file.parent.exists() else file.parents[1]
    return folder.is_dir() and os.access(folder, os.W_OK)


def _token_file() -> Path:
    """Where Ray keeps its token; a file that does not exist where there is no home folder."""
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or os.path.expanduser("~/.ray/auth_token"))  # noqa: PTH111
