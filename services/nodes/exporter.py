"""The Prometheus exporter of one node, on its own port.

HAProxy sends a scrape of the public port to any gateway of the cluster. This server exports the metrics of all Tapetum
processes of its own node, without those of Ray's own processes.

    GET /metrics   Prometheus' text format
    GET /healthz   200: the node's first process runs
    GET /readyz    200; 503 as soon as the node has been asked to stop
"""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

from services.nodes.errors import NodeError
from services.telemetry import METRICS_CONTENT_TYPE, metrics_folder, render_node


class NodeExporter:
    """An HTTP server that runs until the process ends.

    Args:
        folder: Private folder of the node.
        host: Address to listen on.
        port: Likewise; 0 chooses one.

    Raises:
        NodeError: it cannot listen there.
    """

    def __init__(self, folder: Path, host: str, port: int) -> None:
        try:
            self._server = _Server(metrics_folder(folder), host, port)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise NodeError(
                f"metrics cannot listen on {host}:{port}: {reason}; choose another with --metrics-port"
            ) from None
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.server_port

    def drain(self) -> None:
        """From now on `/readyz` responds with 503, so that the node gets no new connections."""
        self._server.is_draining = True

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, metrics: Path, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.metrics = metrics
        self.is_draining = False
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without a DNS look-up of the host name, which HTTPServer does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.socket.getsockname()[:2]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Does nothing: disconnected clients are not logged."""


class _Handler(BaseHTTPRequestHandler):
    timeout = 10.0

    def do_GET(self) -> None:
        """Handle one request."""
        server = cast(_Server, self.server)
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(200, render_node(server.metrics), METRICS_CONTENT_TYPE)
        elif path == "/healthz":
            self._answer(200, b"ok\n")
        elif path == "/readyz":
            self._answer(*((503, b"draining\n") if server.is_draining else (200, b"ok\n")))
        else:
            self._answer(404, b"there are /metrics, /healthz and /readyz\n")

    def _answer(self, status: int, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Does nothing: scrapes are not logged."""
