"""What Ray must find in its environment before it is imported, for it reads much of that only then."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from services.hosts import bypass_proxies

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
        joining: Whether it is one that runs already. Such a one asks for the token of whoever started it, and Ray 2.60
            shows it only where it is told to.
    """
    bypass_proxies()
    wanted = {**ALWAYS, **({ON_LOOPBACK: "0"} if on_loopback else {})}
    if joining and ("RAY_AUTH_TOKEN" in os.environ or _token_file().is_file()):
        wanted["RAY_AUTH_MODE"] = "token"
    for name, value in wanted.items():
        os.environ.setdefault(name, value)


def _token_file() -> Path:
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH", "~/.ray/auth_token")).expanduser()
