"""Tapetum's own counters, read from `/metrics`."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from loadtests.processes import get


@dataclass(frozen=True)
class Readings:
    """Counts since the stack's start, or between two moments.

    Attributes:
        calls: Calls from a gateway to a model replica.
        images_called: Images in them.
        hits: Images that the cache had.
        misses: Images that it had not.
        failures: Images for which it was not asked, or did not answer in time.
    """

    calls: float
    images_called: float
    hits: float
    misses: float
    failures: float

    @classmethod
    def of(cls, port: int) -> Readings:
        """Read them; all 0 where nobody answers, as with a system that is not Tapetum."""
        status, body = get(port, "/metrics")
        return cls.parse(body.decode() if status == 200 else "")

    @classmethod
    def parse(cls, text: str) -> Readings:
        """Read them off Prometheus' text format; a metric that is not there is 0."""
        totals: dict[tuple[str, str], float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                key = sample.name, sample.labels.get("outcome", "")
                totals[key] = totals.get(key, 0.0) + sample.value
        return cls(
            calls=totals.get(("tapetum_call_images_count", ""), 0.0),
            images_called=totals.get(("tapetum_call_images_sum", ""), 0.0),
            hits=totals.get(("tapetum_cache_requests_total", "hit"), 0.0),
            misses=totals.get(("tapetum_cache_requests_total", "miss"), 0.0),
            failures=totals.get(("tapetum_cache_requests_total", "error"), 0.0),
        )

    def until(self, later: Readings) -> Readings:
        """What was counted between this reading and a later one."""
        return Readings(
            later.calls - self.calls,
            later.images_called - self.images_called,
            later.hits - self.hits,
            later.misses - self.misses,
            later.failures - self.failures,
        )
