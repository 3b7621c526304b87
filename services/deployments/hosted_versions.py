"""The versions of all models that a replica has: which one predicts an image, and when one may be unloaded."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from models.catalog.version_names import join_name, version_key
from services.answers.wire import Item
from services.deployments.hosted_model import HostedModel
from services.errors import ModelNotFound

PATIENCE_S: Final = 3.0
"""How long an image waits for its version where that is not being loaded: longer than a replica takes to notice a new
serving plan."""
_POLL_S: Final = 0.05


@dataclass(slots=True, eq=False)
class _Slot:
    """A version, the number of images that use it, and when it took the last one (Unix time).

    A retired one takes no further images.
    """

    hosted: HostedModel
    users: int = 0
    is_retired: bool = False
    used_at_s: float = field(default_factory=time.time)


class HostedVersions:
    """The loaded versions of a replica; thread-safe.

    Attributes:
        loading: Names of the versions that are being loaded.
    """

    def __init__(self) -> None:
        self._slots: dict[str, _Slot] = {}
        self._lock = threading.Lock()
        self.loading: Set[str] = frozenset()

    def add(self, hosted: HostedModel) -> None:
        """Add a version, which takes images from now on."""
        with self._lock:
            self._slots[hosted.name] = _Slot(hosted)

    def get(self, name: str) -> HostedModel:
        """A version that is loaded, retired or not, by its `NAME@VERSION`."""
        return self._slots[name].hosted

    def find(self, name: str) -> HostedModel | None:
        """A version by its `NAME@VERSION`; None where it is not loaded."""
        slot = self._slots.get(name)
        return None if slot is None else slot.hosted

    def serving(self) -> tuple[HostedModel, ...]:
        """All versions that take images."""
        with self._lock:
            return tuple(slot.hosted for slot in self._slots.values() if not slot.is_retired)

    def used_at_s(self, name: str) -> float:
        """Unix time of the last image that a version took, or of its load."""
        return self._slots[name].used_at_s

    def retired(self) -> tuple[HostedModel, ...]:
        """All versions that take no further images, until no image uses them any more."""
        with self._lock:
            return tuple(slot.hosted for slot in self._slots.values() if slot.is_retired)

    @asynccontextmanager
    async def use(self, item: Item) -> AsyncGenerator[HostedModel]:
        """The version that predicts an image; it is not unloaded before the context ends.

        It is the version of the item; where that is not loaded, and the request does not insist on it, the newest one
        of the model. An image that insists on a version which is being loaded waits for it.

        Raises:
            ModelNotFound: the version is not loaded.
        """
        slot = await self._wait_for(item)
        try:
            yield slot.hosted
        finally:
            with self._lock:
                slot.users -= 1

    def retire(self, name: str) -> None:
        """Let a version take no further images."""
        with self._lock:
            self._slots[name].is_retired = True

    def revive(self, name: str) -> None:
        """Let a retired version take images again."""
        with self._lock:
            self._slots[name].is_retired = False

    def pop_idle(self) -> tuple[HostedModel, ...]:
        """Remove the retired versions that no image uses any more, and return them."""
        with self._lock:
            idle = [name for name, slot in self._slots.items() if slot.is_retired and not slot.users]
            return tuple(self._slots.pop(name).hosted for name in idle)

    async def _wait_for(self, item: Item) -> _Slot:
        give_up_at = time.monotonic() + PATIENCE_S
        while (slot := self._take(item)) is None:
            name = join_name(item.model, item.version)
            if name not in self.loading and time.monotonic() > give_up_at:
                raise ModelNotFound(f"{name} is not loaded")
            await asyncio.sleep(_POLL_S)
        return slot

    def _take(self, item: Item) -> _Slot | None:
        with self._lock:
            slot = self._slots.get(join_name(item.model, item.version))
            if (slot is None or slot.is_retired) and not item.is_pinned:
                slot = self._newest(item.model)
            if slot is None or slot.is_retired:
                return None
            slot.users += 1
            slot.used_at_s = time.time()
            return slot

    def _newest(self, model: str) -> _Slot | None:
        slots = (slot for slot in self._slots.values() if slot.hosted.model == model and not slot.is_retired)
        return max(slots, key=lambda slot: version_key(slot.hosted.version), default=None)
