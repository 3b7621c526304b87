"""Waits until the stack is ready at its public port, and verifies that it is this stack."""

from __future__ import annotations

import hmac
import secrets
import time
from typing import Final

import httpx

from services.local.errors import StackError
from services.machine.stack_token import NONCE_HEADER, PROOF_HEADER, prove

READY_TIMEOUT_S: Final = 600.0
_STRANGER_TIMEOUT_S: Final = 5.0
_INTERVAL_S: Final = 0.05


def wait_until_ready(
    url: str, token: str, api_keys: tuple[str, ...], optional: frozenset[str] = frozenset()
) -> frozenset[str]:
    """Return when `/readyz` responds with 200, or all models that it does not list as ready are optional.

    Args:
        url: Of the public port.
        token: Of the stack, by which its gateways are verified.
        api_keys: Accepted keys; may be empty.
        optional: Names of models that depend on a server elsewhere.

    Returns:
        Names of the models that are not ready.

    Raises:
        StackError: the models are not ready in time, or another server responds.
    """
    give_up_at = time.monotonic() + READY_TIMEOUT_S
    stranger_since: float | None = None
    headers = {"authorization": f"Bearer {api_keys[0]}"} if api_keys else {}
    with httpx.Client(base_url=url, headers=headers, timeout=5.0, trust_env=False) as client:
        while (now := time.monotonic()) < give_up_at:
            nonce = secrets.token_hex(16)
            try:
                response = client.get("/readyz", headers={NONCE_HEADER: nonce})
            except httpx.HTTPError:
                pass
            else:
                proof = response.headers.get(PROOF_HEADER, "").encode()
                is_ours = hmac.compare_digest(proof, prove(token, nonce).encode())
                if is_ours and (missing := _not_ready(response)) <= optional:
                    return missing
                if is_ours or response.status_code != 200:
                    stranger_since = None
                elif stranger_since is None:
                    stranger_since = now
                elif now - stranger_since > _STRANGER_TIMEOUT_S:
                    raise StackError(f"another server answers at {url}; choose another port with --port")
            time.sleep(_INTERVAL_S)
    raise StackError(f"the models did not become ready within {READY_TIMEOUT_S:g} s")


def _not_ready(response: httpx.Response) -> frozenset[str]:
    """Names of the models that are not ready; a name that no model has where the response does not list them."""
    if response.status_code == 200:
        return frozenset()
    try:
        models = response.json()["models"]
    except (ValueError, KeyError):
        return frozenset({""})
    return frozenset(name for name, is_ready in models.items() if not is_ready) or frozenset({""})
