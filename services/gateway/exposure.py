"""Refuses to expose a gateway to other machines without API keys, and to run on a cluster without Redis."""

from __future__ import annotations

from services.machine.hosts import is_loopback
from services.settings import Settings, SettingsError


def check_exposure(host: str, settings: Settings) -> None:
    """Refuse to listen beyond loopback without API keys.

    Args:
        host: Address that the public port listens on.
        settings: With the keys.

    Raises:
        SettingsError: no keys are set, and no setting allows that.
    """
    if is_loopback(host) or settings.all_api_keys() or settings.allow_open_network:
        return
    raise SettingsError(
        f"{host} can be reached from other machines, and no API key is set: set TAPETUM_API_KEYS or "
        "TAPETUM_API_KEYS_FILE, or TAPETUM_ALLOW_OPEN_NETWORK=true if everybody may use this server"
    )


def check_redis(node_address: str, settings: Settings) -> None:
    """Refuse a node of a cluster without Redis: each gateway would have its own cache, limits and feedback.

    Args:
        node_address: Address of the Ray node.
        settings: With the address of Redis.

    Raises:
        SettingsError: the node does not listen on loopback, and Redis is not set.
    """
    if is_loopback(node_address) or settings.redis_url:
        return
    raise SettingsError(
        "TAPETUM_REDIS_URL is not set: on a cluster all gateways need one Redis for cache, rate limits, feedback and "
        "evaluations; set it in the environment of every node"
    )
