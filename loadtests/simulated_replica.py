"""A replica whose networks sleep: the real batcher and real threads, and nothing to install or to load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from services.answers.wire import Item, Outcome
from services.deployments.batcher import Batcher
from services.errors import ServiceError

MAX_BATCH_SIZE: Final = 4
_ANSWER: Final = b'{"image":{"height":1,"width":1},"predictions":[]}'
_IDENTITY: Final = bytes(16)
_ENTRY: Final[Mapping[str, Any]] = {
    "version": "1",
    "task": "classification",
    "weights_digest": "0",
    "runtime": {},
    "class_names": ["a"],
    "defaults": {"top_k": 5},
    "identity": _IDENTITY.hex(),
}


class SimulatedReplica:
    """A `services.gateway.serving.backends.Backend` with one device.

    Args:
        image_s: Seconds that an image takes on the device, by the model's name.
    """

    def __init__(self, image_s: Mapping[str, float]) -> None:
        self._image_s = image_s
        self._pool = ThreadPoolExecutor(2)
        self._batcher: Batcher[Item, float, Outcome] = Batcher(
            self._run, _finish, lambda _: self._pool, max_batch_size=MAX_BATCH_SIZE
        )

    async def predict(self, items: list[Item]) -> Sequence[Outcome | ServiceError]:
        """See `Backend.predict`."""
        return await asyncio.gather(*map(self._answer, items))

    async def describe(self) -> list[dict[str, Any]]:
        """See `Backend.describe`."""
        return [{**_ENTRY, "name": name} for name in self._image_s]

    def close(self) -> None:
        """End the threads."""
        self._batcher.close()
        self._pool.shutdown()

    async def _answer(self, item: Item) -> Outcome | ServiceError:
        deadline_s = time.monotonic() + item.deadline_s - time.time()
        try:
            queued = await asyncio.wrap_future(self._batcher.submit(item, item.model, deadline_s))
        except ServiceError as error:
            return error
        return queued.result

    def _run(self, key: Hashable, batch: Sequence[Item]) -> float:
        took_s = self._image_s[str(key)] * len(batch)
        time.sleep(took_s)
        return took_s


def _finish(_key: Hashable, batch: Sequence[Item], took_s: float) -> list[Outcome]:
    return [Outcome(_ANSWER, None, {"forward": took_s * 1e3}, identity=_IDENTITY) for _ in batch]
