"""What one request costs, by process: measured by `python -m loadtests.simulation.measure`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

MEASURED: Final = Path(__file__).with_name("measured.json")
"""What the program measured, and the points to check a simulation with."""
QUIET: Final = MEASURED.with_name("quiet.json")
"""The same by `make bench`, on a machine that did nothing else: before OpenVINO ran networks, see docs/scaling.md."""


@dataclass(frozen=True)
class Costs:
    """CPU time by process, in milliseconds.

    Attributes:
        haproxy_ms: HAProxy, for a request.
        gateway_ms: Gateway, for a request that the cache answers.
        gateway_miss_ms: Gateway, on top of it, for an image that a model answers.
        gateway_call_ms: Gateway, for a call to a replica, however many images it carries.
        replica_call_ms: Event loop of the replica, for a call.
        replica_image_ms: Threads of the replica that decode, resize and encode, for an image.
        batch_ms: Network, for a batch, however many images it holds.
        network_image_ms: Network, on top of it, for each image.
        redis_ms: Redis, for a request that it has the answer of.
        redis_miss_ms: Redis, for one that it has not: a look-up and a write.
        idle_cores: What Ray, HAProxy and the replicas use without a request, in cores.
    """

    haproxy_ms: float
    gateway_ms: float
    gateway_miss_ms: float
    gateway_call_ms: float
    replica_call_ms: float
    replica_image_ms: float
    batch_ms: float
    network_image_ms: float
    redis_ms: float
    redis_miss_ms: float
    idle_cores: float

    def batch_time_ms(self, images: int) -> float:
        """CPU time of the network for a batch."""
        return self.batch_ms + self.network_image_ms * images


@dataclass(frozen=True)
class Point:
    """A measured point: a closed loop on one machine.

    Attributes:
        name: For tables.
        connections: Each has one request in flight at all times.
        hits: Share of requests that the cache answers.
        requests_per_s: Answers a second.
        p50_ms: Median latency; None where it was not written down.
        p99_ms: 99th percentile.
        cpu_ms: CPU time per answer, by process.
        images_per_call: Mean, between gateway and replica; None as above, or where there was no call.
        images_per_batch: Mean, likewise.
        client_ms: CPU time of the load generator per answer.
        other_cores: Cores that programs without a part in it used meanwhile.
    """

    name: str
    connections: int
    hits: float
    requests_per_s: float
    p50_ms: float | None
    p99_ms: float
    cpu_ms: dict[str, float]
    images_per_call: float | None
    images_per_batch: float | None
    client_ms: float
    other_cores: float


@dataclass(frozen=True)
class Measured:
    """Costs, and the points to check a simulation with.

    Attributes:
        machine: See `loadtests.machine.describe`.
        costs: The costs.
        points: The points.
    """

    machine: dict[str, Any]
    costs: Costs
    points: tuple[Point, ...]

    @classmethod
    def read(cls, path: Path = MEASURED) -> Measured:
        """Read a file that `write` has written.

        Raises:
            OSError: the file cannot be read.
            KeyError: a member is missing.
            TypeError: likewise, or a member is unknown.
        """
        document = json.loads(path.read_text(encoding="utf-8"))
        points = tuple(Point(**point) for point in document["points"])
        return cls(document["machine"], Costs(**document["costs"]), points)

    def write(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
