"""Keeps the replicas of a single-machine stack off the network.

Ray binds to loopback where its node address is 127.0.0.1, but for the gRPC server of every replica (`[::]:0` in Ray
2.60), which is closed here, and HAProxy's statistics and metrics ports, which `services.nodes.haproxy_launcher` closes.
`tests/integration/test_stack.py` holds it.
"""

from __future__ import annotations

from services.hosts import LOOPBACK, is_loopback


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
