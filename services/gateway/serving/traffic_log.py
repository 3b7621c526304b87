"""Counts the requests of every version of a model, and adds them to the shared store once a second."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Final

import structlog

from services.gateway.serving.open_request import OpenRequest
from services.rollout.traffic import Traffic
from services.rollout.traffic_store import TrafficStore, TrafficStoreFailed

log = structlog.get_logger()

FLUSH_S: Final = 1.0
"""Seconds between two writes."""

ANSWERED: Final = frozenset({"ok", "partial"})
"""Outcomes of requests that were answered."""


class TrafficLog:
    """Counts requests by version.

    Args:
        store: Counts of all gateways.
    """

    def __init__(self, store: TrafficStore) -> None:
        self._store = store
        self._gathered: dict[str, dict[str, list[Traffic]]] = {}
        self._failing = False

    def count(self, opened: OpenRequest) -> None:
        """Count a request that has ended, where its version answered it or failed; not one that was invalid, or whose
        client disconnected."""
        if not opened.version or not (opened.failed or opened.outcome in ANSWERED):
            return
        versions = self._gathered.setdefault(opened.model, defaultdict(list))
        latency_s = None if opened.cached else opened.elapsed_s
        versions[opened.version].append(Traffic.of_request(latency_s, failed=opened.failed))

    async def keep(self) -> None:
        """Write the counts periodically until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_S)
            await self.flush()

    async def flush(self) -> None:
        """Add the counts to the store; where it fails, they are added next time."""
        gathered, self._gathered = self._gathered, {}
        for name, versions in gathered.items():
            traffic = {version: Traffic.total(counts) for version, counts in versions.items()}
            try:
                await self._store.add(name, traffic)
            except TrafficStoreFailed as error:
                self._give_back(name, traffic)
                if not self._failing:
                    log.warning("requests by version cannot be counted", reason=str(error))
                self._failing = True
            else:
                self._failing = False

    def _give_back(self, name: str, traffic: dict[str, Traffic]) -> None:
        versions = self._gathered.setdefault(name, defaultdict(list))
        for version, counts in traffic.items():
            versions[version].append(counts)
