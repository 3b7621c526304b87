"""The secret token of one stack, by which its HAProxy and its gateways authenticate each other.

HAProxy puts the token into every request, and a gateway answers no request without it: the HAProxy of another stack on
the same machine, or a process that speaks to the gateway's port, gets no answer. Whoever starts the stack sends a nonce
and believes only the gateway that answers with its HMAC.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Final

TOKEN_HEADER: Final = "X-Tapetum-Stack"
NONCE_HEADER: Final = "X-Tapetum-Nonce"
PROOF_HEADER: Final = "X-Tapetum-Proof"
_FILE: Final = "stack-token"


def write_token(run_dir: Path, secret: str | None = None) -> str:
    """Make the token of a stack and leave it in its private folder, for its gateways.

    Args:
        run_dir: The folder.
        secret: That all nodes of a cluster have, whose tokens are the same then; None: a token of its own.
    """
    token = prove(secret, "stack") if secret else secrets.token_hex(32)
    file = run_dir / _FILE
    file.touch(0o600)
    file.write_text(token, encoding="ascii")
    return token


def read_token(run_dir: Path | None) -> str | None:
    """The token of the stack that this process belongs to; None without `tapetum serve` and `tapetum node`."""
    file = run_dir / _FILE if run_dir else None
    return file.read_text(encoding="ascii") if file and file.exists() else None


def prove(token: str, nonce: str) -> str:
    """What only a holder of the token can answer to a nonce: HMAC-SHA256 as hexadecimal digits."""
    return hmac.new(token.encode(), nonce.encode("latin-1", "replace"), hashlib.sha256).hexdigest()
