"""Estimates the queueing time of an image from recent latencies, by Little's law."""

from __future__ import annotations

import math

MEMORY_S = 2.0
"""Time in which the weight of an observation falls to 1/e: several batches of a fast model, the last of a slow one."""


class QueueWait:
    """Estimates the latency and the queueing time of one more image from recent latencies.

    Little's law (Little 1961): of N images in flight each takes N / throughput. So if an image took L seconds with n in
    flight, the next one, with N in flight, takes L · N / n, for any batch size, number of replicas, and load from other
    gateways. Two corrections, both towards a shorter estimate, because a wrong refusal loses a prediction and a wrong
    admission is corrected by its measured latency: from n to N up to `parallel` images the latency is constant, as they
    share batches; and the estimate is 0 before the first image has been predicted.

    The limit is on the queueing time, not on the queue length, as in CoDel (Nichols & Jacobson 2012), which showed that
    a good length depends on the rate and a good time does not; and the rate is measured, not configured, as in Envoy's
    adaptive concurrency filter and Netflix' concurrency-limits.

    Args:
        parallel: Images that all replicas together process at a time.
    """

    def __init__(self, parallel: int) -> None:
        self._parallel = parallel
        self._weight = 0.0
        self._latency = 0.0
        self._service = 0.0
        self._in_flight = 0.0
        self._seen_at = 0.0

    def see(self, in_flight: int, latency_s: float, service_s: float, now_s: float) -> None:
        """Record the latency of a predicted image.

        Args:
            in_flight: Images in flight when it arrived, itself included.
            latency_s: From its arrival to its answer.
            service_s: Its service time; the rest is queueing time.
            now_s: On a monotonic clock.
        """
        kept = math.exp((self._seen_at - now_s) / MEMORY_S) if self._weight else 0.0
        self._weight = self._weight * kept + 1.0
        self._latency = self._latency * kept + latency_s
        self._service = self._service * kept + min(service_s, latency_s)
        self._in_flight = self._in_flight * kept + in_flight
        self._seen_at = now_s

    def latency_s(self, in_flight: int) -> float:
        """Expected latency of an image with which `in_flight` are in flight; 0.0 before the first observation."""
        if not self._weight:
            return 0.0
        latency_s, seen = self._latency / self._weight, self._in_flight / self._weight
        if in_flight <= seen:
            return latency_s * in_flight / seen
        return latency_s * max(in_flight, self._parallel) / max(seen, self._parallel)

    @property
    def service_s(self) -> float:
        """Expected service time, without queueing; 0.0 before the first observation."""
        return self._service / self._weight if self._weight else 0.0
