"""Run by `test_shared_call`, in a process of its own: one client of a coalesced call leaves, then all of them.

Prints a JSON object: what the client that stayed got, how many calls the replica has begun, lost and ended, and what
the largest image costs the gateway's event loop.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import time

os.environ.update(RAY_SERVE_THROUGHPUT_OPTIMIZED="1", RAY_SERVE_ENABLE_HA_PROXY="0", RAY_AUTH_MODE="disabled")
os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")
from services.machine.ray_environment import set_ray_environment  # before Ray is imported

set_ray_environment(on_loopback=True, joining=False)
import ray  # noqa: E402
from ray import serve  # noqa: E402

from services.answers.wire import Item  # noqa: E402
from services.gateway.serving.backends import RayBackend  # noqa: E402
from services.gateway.serving.coalescer import Coalescer  # noqa: E402

CALL_S, COALESCE_WAIT_S = 2.0, 0.3


def digest(image):
    return hashlib.sha256(image).hexdigest()


@serve.deployment(max_ongoing_requests=100)
class Replica:
    """Gives back the digests of the images that it gets, after a while."""

    def __init__(self):
        self.begun = self.cancelled = self.ended = 0

    async def predict(self, items):
        self.begun += 1
        try:
            await asyncio.sleep(CALL_S)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.ended += 1
        return [digest(item.image) for item in items]

    def counts(self):
        return {"begun": self.begun, "cancelled": self.cancelled, "ended": self.ended}


@serve.deployment(max_ongoing_requests=100)
class Front:
    """Stands for a gateway: each call of `submit` is a client's request."""

    def __init__(self, replica):
        self.replica = replica
        backend = RayBackend(replica, "classification")
        self.calls = Coalescer(backend.predict, max_items=4, receivers=1, coalesce_wait_s=COALESCE_WAIT_S)

    async def submit(self, image):
        return await self.calls.submit(Item("any", image, {}, time.time() + 60))

    async def submit_largest(self):
        """Whether the largest image arrives whole, and the CPU seconds that the event loop spent on it."""
        image = os.urandom(32 * 2**20)
        expected, began_s = digest(image), time.thread_time()
        got = await self.submit(image)
        return got == expected, time.thread_time() - began_s

    async def counts(self):
        return await self.replica.counts.remote()


async def main(front):
    first = front.submit.remote(b"first")
    await asyncio.sleep(0.1)
    leaves, stays = front.submit.remote(b"leaves"), front.submit.remote(b"stays")
    await asyncio.sleep(COALESCE_WAIT_S + 0.5)
    leaves.cancel()
    got = await stays
    await first
    gone = [front.submit.remote(bytes(1)) for _ in range(2)]
    await asyncio.sleep(COALESCE_WAIT_S + 0.5)
    for request in gone:
        request.cancel()
    await asyncio.sleep(0.5)
    counts = await front.counts.remote()
    whole, loop_s = await front.submit_largest.remote()
    print(json.dumps({"got": got, "whole": whole, "loop_s": loop_s, **counts}), flush=True)


if __name__ == "__main__":
    ray.init(num_cpus=4, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    asyncio.run(main(serve.run(Front.bind(Replica.bind()), route_prefix=None)))
    ray.shutdown()
