"""The simulated batcher: what a batch that is not full waits for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import simpy

from loadtests.simulation.batcher import Policy, SimulatedBatcher
from loadtests.simulation.cores import Steps
from loadtests.simulation.run import Load, simulate
from loadtests.simulation.service import Topology
from tests.unit.simulated_costs import COSTS

RUN_S = 1.0


def runs_of(
    policy: Policy, script: Callable[[simpy.Environment, SimulatedBatcher], Steps], streams: int = 1
) -> list[tuple[float, int]]:
    """(moment, images) of every run; each takes a second."""
    env, runs = simpy.Environment(), list[tuple[float, int]]()

    def run(images: int) -> Steps:
        runs.append((round(env.now, 3), images))
        yield env.timeout(RUN_S)

    batcher = SimulatedBatcher(env, run, max_batch_size=4, streams=streams, policy=policy)
    env.process(script(env, batcher))
    env.run()
    return runs


def two_apart(env: simpy.Environment, batcher: SimulatedBatcher) -> Steps:
    """One image, and another one 30 ms later, whose decoding began with the first."""
    batcher.expect()
    batcher.submit()
    yield env.timeout(0.03)
    batcher.submit(was_expected=True)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Policy(), [(0.0, 1), (1.0, 1)]),
        (Policy("time", 0.02), [(0.02, 1), (1.02, 1)]),
        (Policy("time", 0.05), [(0.05, 2)]),
        (Policy("decoding", 0.05), [(0.03, 2)]),
        (Policy("decoding", 0.02), [(0.02, 1), (1.02, 1)]),
        (Policy("share", 0.05), [(0.03, 2)]),
    ],
)
def test_a_batch_waits_as_the_policy_says(policy: Policy, expected: list[tuple[float, int]]):
    assert runs_of(policy, two_apart) == expected


@pytest.mark.parametrize("wait_for", ["nothing", "decoding", "share"])
def test_a_lone_image_is_run_at_once(wait_for: str):
    def one(env: simpy.Environment, batcher: SimulatedBatcher) -> Steps:
        yield env.timeout(1.0)
        batcher.submit()

    assert runs_of(Policy(wait_for, 0.05), one) == [(1.0, 1)]  # pyright: ignore[reportArgumentType]


def test_two_device_threads_share_the_images_of_a_replica():
    def four(env: simpy.Environment, batcher: SimulatedBatcher) -> Steps:
        for _ in range(4):
            batcher.expect()
        for _ in range(4):
            yield env.timeout(0.01)
            batcher.submit(was_expected=True)

    assert runs_of(Policy("share", 0.5), four, streams=2) == [(0.02, 2), (0.04, 2)]


def test_images_of_different_shapes_share_no_batch():
    def mixed(env: simpy.Environment, batcher: SimulatedBatcher) -> Steps:
        yield env.timeout(0.0)
        for shape in ("wide", "tall", "wide"):
            batcher.submit(shape)

    assert runs_of(Policy(), mixed) == [(0.0, 2), (1.0, 1)]


def test_a_colocated_request_costs_no_call():
    outlook = simulate(Topology(colocated=True), COSTS, Load(connections=1), variation=0.0, seconds=2.0)
    assert outlook.p50_ms == pytest.approx(0.1 + 0.5 + 0.5 + 0.1 + 2.0 + 2.0 + 4.0)


def test_colocated_gateways_are_chosen_by_haproxy():
    for balance in ("leastconn", "roundrobin"):
        topology = Topology(
            colocated=True,
            gateways=2,
            streams=1,
            balance=balance,  # pyright: ignore[reportArgumentType]
        )
        outlook = simulate(topology, COSTS, Load(connections=2), variation=0.0, seconds=2.0)
        assert outlook.images_per_batch == 1.0
        assert outlook.p50_ms == pytest.approx(9.2, abs=0.2)
