"""What a version of a model has answered: requests, failures and latencies, as counts that can be added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.rollout.latencies import LARGEST, bucket_of, percentile_s


@dataclass(frozen=True)
class Traffic:
    """The requests that a version answered or failed.

    Attributes:
        requests: Number of requests.
        failed: Of these, those that failed for a reason of the service: an error with status 500 or above, of the
            request or of one of its images.
        latencies: Requests by bucket (`services.rollout.latencies`), of those that were answered and of which no image
            came from the result cache: the cache of a new version is empty.
    """

    requests: int = 0
    failed: int = 0
    latencies: Mapping[int, int] = field(default_factory=dict[int, int])

    @classmethod
    def of_request(cls, latency_s: float | None, *, failed: bool) -> Traffic:
        """One request.

        Args:
            latency_s: None where an image came from the cache.
            failed: Whether it failed for a reason of the service.
        """
        return cls(1, int(failed), {} if failed or latency_s is None else {bucket_of(latency_s): 1})

    @property
    def timed(self) -> int:
        """Number of requests in `latencies`."""
        return sum(self.latencies.values())

    @property
    def p99_s(self) -> float:
        """99th percentile of the latencies in seconds; NaN without any."""
        return percentile_s(self.latencies, 0.99)

    @classmethod
    def total(cls, counts: Iterable[Traffic]) -> Traffic:
        """The requests of all."""
        requests = failed = 0
        latencies: Counter[int] = Counter()
        for count in counts:
            requests += count.requests
            failed += count.failed
            latencies.update(count.latencies)
        return cls(requests, failed, dict(latencies))

    def __add__(self, other: Traffic) -> Traffic:
        """The requests of both."""
        return Traffic.total((self, other))

    def since(self, earlier: Traffic) -> Traffic | None:
        """The requests that were added to an earlier count; None where this count is no continuation of it."""
        latencies = Counter(self.latencies)
        latencies.subtract(earlier.latencies)
        requests, failed = self.requests - earlier.requests, self.failed - earlier.failed
        if min(requests, failed, *latencies.values(), 0) < 0:
            return None
        return Traffic(requests, failed, {bucket: count for bucket, count in latencies.items() if count})

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON-able values; `from_dict` is the inverse."""
        latencies = {str(bucket): count for bucket, count in sorted(self.latencies.items())}
        return {"requests": self.requests, "failed": self.failed, "latencies": latencies}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Traffic:
        """The inverse of `to_dict`.

        Raises:
            ValueError: a member is missing or has the wrong type.
        """
        try:
            latencies = {int(bucket): int(count) for bucket, count in document["latencies"].items()}
            traffic = cls(int(document["requests"]), int(document["failed"]), latencies)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no traffic of a version: {error!r}") from None
        if (
            min(traffic.requests, traffic.failed, *latencies.values(), *latencies, 0) < 0
            or max(latencies, default=0) > LARGEST
        ):
            raise ValueError("no traffic of a version: a count or a bucket is out of range")
        return traffic
