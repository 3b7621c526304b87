"""What serves HTTP in a replica of Ray Serve: the event loop that Ray makes, and the parser that uvicorn chooses."""

from __future__ import annotations

import uvloop
from ray._private.async_compat import get_new_event_loop
from uvicorn import Config

from loadtests.systems.layered_gateway import bare_application
from services.gateway.http_server import HttpToolsProtocol


def test_replicas_run_uvloop_and_httptools():
    loop = get_new_event_loop()
    assert isinstance(loop, uvloop.Loop)
    loop.close()
    config = Config(bare_application, log_config=None)
    config.load()
    assert config.http_protocol_class is HttpToolsProtocol, "which `shape_http_server` patches"
