"""Round costs of the parts of a service, for tests of its simulation."""

from loadtests.simulation.costs import Costs

COSTS = Costs(
    haproxy_ms=0.1,
    gateway_ms=0.5,
    gateway_miss_ms=0.5,
    gateway_call_ms=1.0,
    replica_call_ms=0.5,
    replica_image_ms=2.0,
    batch_ms=2.0,
    network_image_ms=4.0,
    redis_ms=0.05,
    redis_miss_ms=0.1,
    idle_cores=0.0,
)
