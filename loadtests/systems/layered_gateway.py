"""A gateway that ends at a given layer, in one process with the host of its model and without Ray.

    python -m loadtests.systems.layered_gateway LAYER PORT

The parts are those that `services.gateway.app.create_app` assembles; those behind the layer are replaced from here by
trivial ones. Server, event loop and metric files are those of a replica of Ray Serve.
"""

from __future__ import annotations

import cProfile
import itertools
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Final

import uvicorn
from starlette.responses import Response

from loadtests.processes import LOOPBACK
from loadtests.systems.noop_answer import ANSWER, JSON

SERVER: Final = "uvicorn"
LAYERS: Final[Mapping[str, str]] = {
    SERVER: "HTTP server, which reads the body and writes a constant",
    "routes": "middleware of the gateway, FastAPI and its routes",
    "request": "time limit, admission, body and parameters",
    "header check": "format and size of the image, by its header",
    "prediction": "version, complete parameters, keys, single flight",
    "hash": "BLAKE3 of the image",
    "cache": "look-up, and the write after a miss, on Redis",
    "receipts": "record of the answer for feedback, on Redis",
    "model": "coalescer, and the host of a model that does nothing",
    "answer": "body and headers of the response",
    "metrics": "Prometheus' metrics, in files",
    "log": "one line for each request",
}
"""Layers from the outside in; each is measured on top of those before it."""

PROFILE: Final = "LAYERS_PROFILE"
"""Environment variable: a file that takes the profile of the process, for `pstats`."""


def replace(name: str, part: Any) -> None:
    """Set an attribute of a module or a class, given as `package.module:Class.attribute`.

    Raises:
        AttributeError: it does not exist.
    """
    resolve_name(name)
    separator = "." if "." in name.rpartition(":")[2] else ":"
    owner, _, attribute = name.rpartition(separator)
    setattr(resolve_name(owner), attribute, part)


async def constant_response(_: object, request: Any, *__: object) -> Response:
    """Stands for a handler; reads the body."""
    await request.body()
    return Response(ANSWER, media_type=JSON)


def skip_request() -> None:
    """Answer each request in its route."""
    replace("services.gateway.prediction:PredictionHandler.__call__", constant_response)


def skip_header_check() -> None:
    """Accept every image."""

    async def check(_: object, images: Any, __: object) -> Any:
        return images

    replace("services.gateway.serving.inspection:Inspector.check", check)


def skip_prediction() -> None:
    """Predict nothing."""

    async def check(path: Any, opened: Any, _: object, given: Any) -> Any:
        await path.inspector.check(given.images, opened.limit)
        return None, given

    async def answer(*_: object) -> list[Any]:
        return []

    replace("services.gateway.serving.request_path:RequestPath.check", check)
    replace("services.gateway.serving.request_path:RequestPath.answer", answer)


def skip_hash() -> None:
    """Take a number for the digest of an image."""
    numbers = itertools.count()
    replace("services.gateway.serving.predictor:_digest", lambda _: next(numbers).to_bytes(32, "big"))


def skip_model() -> None:
    """Answer each image in the place of its replica."""

    async def submit(_: object, item: Any, __: object = None) -> Any:
        outcome = resolve_name("services.answers.wire:Outcome")
        return outcome(ANSWER, None, {"queue": 0.1, "forward": 0.1}, None, item.identity)

    replace("services.gateway.serving.model_calls:ModelCalls.submit", submit)


def skip_answer() -> None:
    """Write a constant."""

    async def respond(*_: object) -> Response:
        return Response(ANSWER, media_type=JSON)

    replace("services.gateway.prediction:PredictionHandler._respond", respond)
    replace("services.gateway.prediction:server_timing", lambda *_: "")


def skip_metrics() -> None:
    """Count nothing."""
    for method in ("Counter.inc", "Gauge.inc", "Gauge.dec", "Gauge.set", "Histogram.observe"):
        replace(f"prometheus_client:{method}", lambda *_, **__: None)
    replace("prometheus_client.metrics:MetricWrapperBase.labels", lambda metric, *_, **__: metric)


def set_environment(name: str, value: str) -> Callable[[], None]:
    """A function that sets a setting of the gateway."""
    return lambda: os.environ.__setitem__(name, value)


SKIP: Final[Mapping[str, Callable[[], None]]] = {
    "request": skip_request,
    "header check": skip_header_check,
    "prediction": skip_prediction,
    "hash": skip_hash,
    "cache": set_environment("TAPETUM_CACHE_TTL_S", "0"),
    "receipts": set_environment("TAPETUM_FEEDBACK_TTL_S", "0"),
    "model": skip_model,
    "answer": skip_answer,
    "metrics": skip_metrics,
    "log": set_environment("TAPETUM_LOG_LEVEL", "error"),
}


async def bare_application(scope: Any, receive: Any, send: Any) -> None:
    """The least ASGI application: reads a body, and writes a constant."""
    if scope["type"] != "http":
        return
    while scope["method"] == "POST" and (await receive())["more_body"]:
        pass
    headers = [(b"content-type", JSON.encode()), (b"content-length", str(len(ANSWER)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


def application(layer: str) -> Any:
    """The application that ends at a layer; imports the service only once its environment is set."""
    if layer == SERVER:
        return bare_application
    names = list(LAYERS)
    for behind in names[names.index(layer) + 1 :]:
        SKIP[behind]()

    from services.deployments.host import ModelHost
    from services.gateway.accuracy.feedback_store import RedisStore
    from services.gateway.app import create_app
    from services.gateway.serving.backends import LocalBackend
    from services.gateway.serving.cache import RedisCache
    from services.gateway.serving.offload import favour_the_event_loop
    from services.gateway.serving.pipelined_redis import PipelinedRedis
    from services.gateway.serving.registry import Registry
    from services.settings import read_settings
    from services.topology import check_topology

    settings = read_settings()
    deployment = {"name": "Classifier", "task": "classification", "models": ["noop"], "num_device_threads": 2}
    topology = check_topology({"deployments": [{**deployment, "num_threads": 1, "max_batch_size": 8}]})
    backends = {one.name: LocalBackend(ModelHost(one.model_dump())) for one in topology.deployments}
    assert settings.redis_url is not None
    redis = PipelinedRedis(settings.redis_url, settings.cache_timeout_s)
    store = RedisStore(settings.redis_url, redis, timeout_s=settings.cache_timeout_s)
    cache = None
    if settings.cache_ttl_s:
        cache = RedisCache(redis, ttl_s=settings.cache_ttl_s, max_entry_bytes=settings.cache_max_entry_bytes)
    app = create_app(settings, Registry(topology, backends), cache, store, under_ray=True)
    favour_the_event_loop()
    return app


def main(layer: str, port: int) -> None:
    """Serve until a signal."""
    from services.local.embedded_cache import EmbeddedCache

    with tempfile.TemporaryDirectory(prefix="tapetum-layers-") as folder:
        (Path(folder) / "metrics").mkdir()
        cache = EmbeddedCache(Path(folder), 256 * 2**20)
        cache.start()
        os.environ.update(TAPETUM_RUN_DIR=folder, TAPETUM_REDIS_URL=cache.url)
        config = uvicorn.Config(
            application(layer), LOOPBACK, port, access_log=False, log_config=None, loop="uvloop", http="httptools"
        )
        file = os.environ.get(PROFILE)
        profile = cProfile.Profile() if file else None
        with profile or nullcontext(), suppress(KeyboardInterrupt):
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # which uvicorn raises again when it has ended
            uvicorn.Server(config).run()
        if profile is not None:
            profile.dump_stats(str(file))
        cache.stop()
    os._exit(0)  # the host's threads wait for no one


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
