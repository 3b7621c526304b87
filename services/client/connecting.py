"""Options of both clients' connections: address, headers and proxy."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

from services.machine.hosts import is_loopback

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_TIMEOUT_S = 30.0
DEFAULT_MAX_RETRIES = 3


def connection_options(base_url: str, api_key: str | None, headers: Mapping[str, str] | None) -> dict[str, Any]:
    """Keyword arguments of both httpx clients.

    Raises:
        ValueError: `base_url` is not an HTTP address, or the key has characters that no header can carry.
    """
    url = base_url if "://" in base_url else f"http://{base_url}"
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{base_url!r} is not an address: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError(f"{base_url!r} is not an HTTP address")
    return {"base_url": parsed, "headers": {**(headers or {}), **_authorization(api_key)}}


def direct_transport(options: Mapping[str, Any], transport: Callable[[], T]) -> T | None:
    """A transport without proxy, for a server on this machine; None leaves that to the environment."""
    return transport() if is_loopback(options["base_url"].host) else None


@contextmanager
def proxy_errors(url: httpx.URL) -> Generator[None]:
    """Explains errors of the proxy that the environment sets.

    Raises:
        ValueError: httpx cannot use it.
    """
    hint = f"or add {url.host} to NO_PROXY"
    try:
        yield
    except ImportError:
        message = f"the environment names a SOCKS proxy: install httpx[socks], {hint}"
        raise ValueError(message) from None
    except (httpx.InvalidURL, ValueError) as error:
        raise ValueError(f"the proxy settings of the environment cannot be used ({error}): fix them, {hint}") from None


def _authorization(api_key: str | None) -> dict[str, str]:
    key = (api_key or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ValueError("the API key holds characters that no header can carry")
    return {"Authorization": f"Bearer {key}"} if key else {}
