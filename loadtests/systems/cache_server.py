"""Plain FastAPI in front of Redis: the answer is kept under the hash of the body, and that is all.

The Redis is the same embedded server with the same options that Tapetum starts, on a Unix socket too.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from blake3 import blake3
from fastapi import FastAPI, Request, Response
from redis.asyncio import Redis

from loadtests.processes import LOOPBACK
from loadtests.systems.noop_answer import ANSWER, JSON
from services.local.embedded_cache import EmbeddedCache
from services.settings import Settings


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Redis comes and goes with the server."""
    with tempfile.TemporaryDirectory() as folder:
        cache = EmbeddedCache(Path(folder), Settings().cache_max_bytes)
        cache.start()
        app.state.redis = Redis.from_url(cache.url)
        yield
        await app.state.redis.aclose()
        cache.stop()


app = FastAPI(lifespan=lifespan)


@app.post("/v1/classify")
async def classify(request: Request) -> Response:
    """Answer from Redis; on a miss, keep the answer for the next time."""
    redis: Redis = request.app.state.redis
    key = blake3(await request.body()).hexdigest()
    answer = await redis.get(key)
    if answer is None:
        answer = ANSWER
        await redis.set(key, answer, ex=Settings().cache_ttl_s)
    return Response(answer, media_type=JSON)


@app.get("/readyz")
async def ready() -> dict[str, str]:
    """Redis is there before the server listens."""
    return {"status": "ready"}


if __name__ == "__main__":
    uvicorn.run(app, host=LOOPBACK, port=int(sys.argv[1]), log_level="warning", access_log=False)
