"""Exits with 0 where `http://127.0.0.1:PORT PATH` answers 200: the health check of the images.

    python3 -IS healthcheck.py PORT PATH

It knows nothing of Tapetum's packages, so that it starts in milliseconds. Where TAPETUM_API_KEYS_FILE is set, it sends
the first key of the file, for probes may be closed (TAPETUM_OPEN_PROBES=false).
"""

from __future__ import annotations

import http.client
import os
import sys


def first_key() -> str | None:
    """The first API key of the keys file; None where there is no file."""
    if not (path := os.environ.get("TAPETUM_API_KEYS_FILE")):
        return None
    with open(path, encoding="utf-8") as lines:  # noqa: PTH123  # pathlib takes longer to import than all the rest
        return next((line.strip() for line in lines if line.strip() and not line.startswith("#")), None)


def is_healthy(port: int, path: str, timeout_s: float = 4.0) -> bool:
    """Whether a server on loopback answers `path` with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        key = first_key()
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"} if key else {})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not is_healthy(int(sys.argv[1]), sys.argv[2]))
