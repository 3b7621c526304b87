"""Ray Serve and HAProxy as Tapetum starts them, in front of one replica that reads a body and writes a constant."""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import Any

from loadtests.processes import LOOPBACK
from loadtests.systems.layered_gateway import bare_application
from services.machine.ray_environment import ON_LOOPBACK, provide_token
from services.nodes.environment import set_defaults
from services.nodes.ports import Ports


def main(port: int) -> None:
    """Serve until a signal."""
    ports = Ports.take()
    os.environ.update({ON_LOOPBACK: "0", **ports.environment})
    set_defaults(os.environ)
    provide_token()

    import ray
    from ray import serve

    from services.app import QUIET
    from services.gateway.http_server import shape_http_server

    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    http: dict[str, Any] = {"host": LOOPBACK, "port": port}
    serve.start(proxy_location="EveryNode", http_options=http, logging_config=QUIET)

    @serve.deployment(logging_config=QUIET, max_ongoing_requests=1000)
    @serve.ingress(lambda: bare_application)
    class Ingress:
        def __init__(self) -> None:
            shape_http_server()

    serve.run(Ingress.bind(), route_prefix="/")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
    ports.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
