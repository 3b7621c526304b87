"""Keeps the private servers of a replica off the networks that its Ray node is not on.

Ray binds to the address of the node, but for the gRPC server of every replica (`[::]:0` in Ray 2.60), which is bound to
that address here: on one machine to loopback. HAProxy's statistics and metrics ports, which Ray binds to every
interface, are closed by `services.nodes.haproxy_launcher`. `tests/integration/test_stack.py` holds it.
"""

from __future__ import annotations

from typing import Any, Final

FENCE: Final = "services.machine.loopback.fence_public_grpc"
"""The function below, for `worker_process_setup_hook` of Ray's runtime environments."""


def node_address() -> str:
    """Address of the Ray node that this process runs on."""
    import ray

    return ray.util.get_node_ip_address()


def public_host() -> str:
    """The address that Ray Serve was started to listen on for clients; call from a replica."""
    import ray
    from ray.serve.context import _get_global_client

    client: Any = _get_global_client()
    options: Any = ray.get(client._controller.get_http_config.remote())
    return options.host or "0.0.0.0"


def fence_replica_grpc() -> None:
    """Bind this replica's own gRPC server to the address of its Ray node; call from its constructor."""
    from ray.serve._private import replica

    node = node_address()
    host = f"[{node}]" if ":" in node else node
    add_port = replica.add_port_to_grpc_server  # pyright: ignore[reportPrivateImportUsage]

    def add_port_of_node(server: object, address: str) -> int:
        return add_port(server, address.replace("[::]:", f"{host}:"))

    replica.add_port_to_grpc_server = add_port_of_node  # pyright: ignore[reportPrivateImportUsage]


def fence_public_grpc() -> None:
    """Bind the gRPC servers that Ray Serve starts in this process for clients to the address of its Ray node.

    HAProxy listens for the clients; behind it are a server in each gateway and one in Ray's own proxy, which would
    listen on every interface. The function runs in every worker process before its actor does.
    """
    from ray.serve._private import default_impl

    def add_address_of_node(server: Any, address: str) -> None:
        node = node_address()
        server.add_insecure_port(address.replace("[::]:", f"[{node}]:" if ":" in node else f"{node}:"))

    default_impl.add_grpc_address = add_address_of_node
