"""From measured CPU times of processes to the cost of each step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from loadtests.simulation.costs import Costs, Point


def fit(light: Point, busy: Point, hits: Point, batches_ms: Mapping[int, float], idle_cores: float) -> Costs:
    """The cost of each step.

    What a request costs at k images a call is a + b / k: two windows with different k give a and b. The time of a batch
    of n images is a line in n, by least squares.

    Args:
        light: Misses, with about one image a call.
        busy: Misses, with several.
        hits: Answers from the cache, on a busy service.
        batches_ms: Time of the network for a batch, by its size.
        idle_cores: Cores that the stack uses without a request.

    Raises:
        ValueError: `light` and `busy` have the same images per call.
    """
    batch_ms, network_image_ms = fit_batches(batches_ms)

    def without_network(point: Point) -> float:
        return point.cpu_ms["replica"] - batch_ms / (point.images_per_batch or 1.0) - network_image_ms

    calls = light.images_per_call or 1.0, busy.images_per_call or 1.0
    gateway_ms, gateway_call_ms = shares((light.cpu_ms["gateway"], busy.cpu_ms["gateway"]), calls)
    replica_image_ms, replica_call_ms = shares((without_network(light), without_network(busy)), calls)
    return Costs(
        haproxy_ms=busy.cpu_ms["HAProxy"],
        gateway_ms=hits.cpu_ms["gateway"],
        gateway_miss_ms=max(0.0, gateway_ms - hits.cpu_ms["gateway"]),
        gateway_call_ms=gateway_call_ms,
        replica_call_ms=replica_call_ms,
        replica_image_ms=replica_image_ms,
        batch_ms=batch_ms,
        network_image_ms=network_image_ms,
        redis_ms=hits.cpu_ms["Redis"],
        redis_miss_ms=busy.cpu_ms["Redis"],
        idle_cores=idle_cores,
    )


def fit_batches(batches_ms: Mapping[int, float]) -> tuple[float, float]:
    """The time of a batch as a line, by least squares: milliseconds for a batch, and on top of it for each image.

    Args:
        batches_ms: Time of a batch, by its size.
    """
    image_ms, batch_ms = np.polyfit(list(batches_ms), list(batches_ms.values()), 1)
    return max(0.0, float(batch_ms)), float(image_ms)


def shares(cost_ms: tuple[float, float], images_per_call: tuple[float, float]) -> tuple[float, float]:
    """Split costs per image into what each image costs and what each call costs; neither is negative.

    Args:
        cost_ms: Cost per image in two windows.
        images_per_call: Images in a call in each of them.

    Raises:
        ValueError: both windows have the same images per call.
    """
    inverse = 1 / images_per_call[0], 1 / images_per_call[1]
    if inverse[0] == inverse[1]:
        raise ValueError("both windows have the same images per call: nothing tells a call from an image")
    call_ms = (cost_ms[0] - cost_ms[1]) / (inverse[0] - inverse[1])
    call_ms = min(max(0.0, call_ms), cost_ms[1] / inverse[1])
    return cost_ms[1] - call_ms * inverse[1], call_ms
