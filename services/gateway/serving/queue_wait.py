"""How long an image would wait for its model, estimated from how long the latest took."""

from __future__ import annotations

import math

MEMORY_S = 2.0
"""Time in which the weight of an observation falls to 1/e: several batches of a fast model, the last of a slow one."""


class QueueWait:
    """Estimates the latency and the wait of one more image from the latest latencies.

    Little's law (Little 1961): of N images in flight each takes N / throughput. So an image that took L seconds
    with n in flight says that the next one, with N in flight, takes L · N / n, whatever the batch size, the number
    of replicas, and the load from other gateways. Two corrections, both towards a shorter wait, because a wrong
    refusal costs an answer and a wrong admission is corrected by the latency that it shows: from n to N up to
    `parallel` images the latency is taken as constant, for they share batches; and nothing is estimated before an
    image was answered.

    It is the time in the queue that is bounded by it, not the number that wait, as in CoDel (Nichols & Jacobson 2012),
    which showed why a good length depends on the rate and a good time does not; and the rate is measured, not set, as
    in Envoy's adaptive concurrency filter and Netflix' concurrency-limits.

    Args:
        parallel: Images that all replicas together work on at a time.
    """

    def __init__(self, parallel: int) -> None:
        self._parallel = parallel
        self._weight = 0.0
        self._latency = 0.0
        self._service = 0.0
        self._in_flight = 0.0
        self._seen_at = 0.0

    def see(self, in_flight: int, latency_s: float, service_s: float, now_s: float) -> None:
        """Record the latency of an image that was answered.

        Args:
            in_flight: Images in flight when it arrived, itself included.
            latency_s: From its arrival to its answer.
            service_s: The part of that in which it was processed; the rest is queueing.
            now_s: On any clock that never goes back.
        """
        kept = math.exp((self._seen_at - now_s) / MEMORY_S) if self._weight else 0.0
        self._weight = self._weight * kept + 1.0
        self._latency = self._latency * kept + latency_s
        self._service = self._service * kept + min(service_s, latency_s)
        self._in_flight = self._in_flight * kept + in_flight
        self._seen_at = now_s

    def latency_s(self, in_flight: int) -> float:
        """Expected time to the answer of an image that makes it `in_flight`; 0.0 where nothing is known."""
        if not self._weight:
            return 0.0
        latency_s, seen = self._latency / self._weight, self._in_flight / self._weight
        if in_flight <= seen:
            return latency_s * in_flight / seen
        return latency_s * max(in_flight, self._parallel) / max(seen, self._parallel)

    @property
    def service_s(self) -> float:
        """Expected time of the work alone; 0.0 where nothing is known."""
        return self._service / self._weight if self._weight else 0.0
