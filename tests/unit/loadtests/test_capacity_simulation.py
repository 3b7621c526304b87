"""The simulation of the service agrees with queueing theory where theory has a formula."""

from __future__ import annotations

import random
from itertools import islice
from statistics import fmean, pstdev

import pytest
import simpy

from loadtests.simulation.batcher import SimulatedBatcher
from loadtests.simulation.bursts import gaps_s
from loadtests.simulation.coalescer import Image, SimulatedCoalescer
from loadtests.simulation.cores import Cores, Process, Steps, Times
from loadtests.simulation.costs import QUIET, Measured, Point
from loadtests.simulation.fit import fit, shares
from loadtests.simulation.run import Load, simulate, simulate_point
from loadtests.simulation.service import Topology
from tests.unit.simulated_costs import COSTS

pytestmark = pytest.mark.slow

ALONE_MS = 0.1 + 0.5 + 0.5 + 0.1 + 1.0 + 0.5 + 2.0 + 2.0 + 4.0
"""What a lone request that misses takes."""


def mean_wait_s(*, rate: float, service_s: float, variation: float, customers: int = 20_000) -> float:
    """Mean wait for a process with one thread, by simulation."""
    env, chance = simpy.Environment(), random.Random(7)
    process = Process(env, Cores(env, None), Times(chance, variation))
    times_s: list[float] = []

    def customer() -> Steps:
        began = env.now
        yield from process.work(service_s)
        times_s.append(env.now - began)

    def source() -> Steps:
        for gap_s in islice(gaps_s(rate, 1.0, chance), customers):
            yield env.timeout(gap_s)
            env.process(customer())

    env.process(source())
    env.run()
    return fmean(times_s) - process.cpu_s / customers


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_constant_service_waits_as_the_formula_of_m_d_1_says(load: float):
    expected_s = load / (2 * (1 - load)) * 0.01
    assert mean_wait_s(rate=load / 0.01, service_s=0.01, variation=0.0) == pytest.approx(expected_s, rel=0.06)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_exponential_service_waits_as_the_formula_of_m_m_1_says(load: float):
    expected_s = load / (1 - load) * 0.01
    assert mean_wait_s(rate=load / 0.01, service_s=0.01, variation=1.0) == pytest.approx(expected_s, rel=0.1)


def test_requests_in_flight_are_rate_times_latency():
    outlook = simulate(Topology(cores=2), COSTS, Load(rate=80.0), seconds=40.0)
    assert outlook.mean_in_flight == pytest.approx(outlook.requests_per_s * outlook.mean_ms / 1e3, rel=0.02)


def test_a_lone_request_takes_the_sum_of_its_steps():
    outlook = simulate(Topology(), COSTS, Load(connections=1), variation=0.0, seconds=2.0)
    assert outlook.p50_ms == pytest.approx(ALONE_MS)
    assert outlook.images_per_batch == outlook.images_per_call == 1.0


def test_a_hit_uses_neither_replica_nor_call():
    outlook = simulate(Topology(), COSTS, Load(connections=1, hits=1.0), variation=0.0, seconds=2.0)
    assert outlook.p50_ms == pytest.approx(0.1 + 0.5 + 0.05)
    assert outlook.cores["replica"] == 0.0


def test_cores_in_use_are_the_sum_of_what_requests_cost():
    outlook = simulate(Topology(cores=4), COSTS, Load(rate=40.0, hits=0.5), seconds=60.0)
    assert outlook.cores["gateway"] == pytest.approx(40 * (0.5 + 0.5 * (0.5 + 1.0)) / 1e3, rel=0.06)
    assert outlook.cores["HAProxy"] == pytest.approx(40 * 0.1 / 1e3, rel=0.06)


def test_a_saturated_batcher_runs_full_batches_at_its_capacity():
    env = simpy.Environment()

    def run(images: int) -> Steps:
        yield env.timeout(0.002 + 0.004 * images)

    batcher = SimulatedBatcher(env, run, max_batch_size=8, streams=2)
    for _ in range(8000):
        batcher.submit()
    env.run()
    assert batcher.images / batcher.batches == 8
    assert batcher.images / env.now == pytest.approx(2 * 8 / (0.002 + 8 * 0.004))


def test_a_batcher_takes_what_has_come_when_the_device_is_free():
    env, sizes = simpy.Environment(), list[int]()

    def run(images: int) -> Steps:
        sizes.append(images)
        yield env.timeout(1.0)

    batcher = SimulatedBatcher(env, run, max_batch_size=4, streams=1)

    def source() -> Steps:
        batcher.submit()
        yield env.timeout(0.5)
        for _ in range(6):
            batcher.submit()

    env.process(source())
    env.run()
    assert sizes == [1, 4, 2]
    assert env.now == 3.0


def test_a_coalescer_has_two_calls_for_a_receiver_and_the_second_one_lingers():
    env, sent = simpy.Environment(), list[tuple[float, int]]()

    def send(images: list[Image]) -> Steps:
        sent.append((env.now, len(images)))
        yield env.timeout(1.0)

    coalescer = SimulatedCoalescer(env, send, max_items=16, receivers=1, coalesce_wait_s=0.1)

    def source() -> Steps:
        for _ in range(20):
            coalescer.submit(Image(env.now, env.event()))
            yield env.timeout(0.04)

    env.process(source())
    env.run(1.5)
    times = [round(moment, 2) for moment, _ in sent]
    sizes = [size for _, size in sent]
    assert times[:2] == [0.0, 0.14]  # at once, and a linger after the second image
    assert sizes[:2] == [1, 3]
    assert times[2] == 1.0
    assert sum(sizes) == 20


def test_with_the_same_cores_twice_the_rate_waits_longer_and_saturation_is_told():
    waits = [simulate(Topology(cores=2), COSTS, Load(rate=rate), seconds=10.0) for rate in (60.0, 120.0, 400.0)]
    assert waits[0].p99_ms < waits[1].p99_ms < waits[2].p99_ms
    assert [outlook.keeps_up for outlook in waits] == [True, True, False]


def test_bursts_keep_the_mean_rate_and_wait_longer():
    gaps = list(islice(gaps_s(100.0, 4.0, random.Random(3)), 50_000))
    assert 1 / fmean(gaps) == pytest.approx(100.0, rel=0.05)
    assert pstdev(gaps) > 1.1 * fmean(gaps)
    calm, bursty = (simulate(Topology(), COSTS, Load(rate=100.0, burst=burst), seconds=25.0) for burst in (1.0, 4.0))
    assert bursty.p99_ms > 1.5 * calm.p99_ms


def test_a_burst_beyond_ten_times_the_mean_is_refused():
    with pytest.raises(ValueError, match="burst must be in"):
        next(gaps_s(100.0, 11.0, random.Random(1)))


def test_two_windows_tell_the_cost_of_a_call_from_that_of_an_image():
    assert shares((3.0, 1.5), (1.0, 4.0)) == pytest.approx((1.0, 2.0))
    assert shares((1.0, 1.5), (1.0, 4.0)) == (1.5, 0.0)


def test_windows_with_the_same_images_per_call_are_refused():
    with pytest.raises(ValueError, match="nothing tells a call from an image"):
        shares((3.0, 1.5), (1.0, 1.0))


@pytest.mark.parametrize("number", [0, 1, 2, 5], ids=["misses × 1", "misses × 8", "misses × 32", "hits × 32"])
def test_simulated_throughput_is_near_what_was_measured_on_a_quiet_machine(number: int):
    measured = Measured.read(QUIET)
    expected = measured.points[number]
    outlook = simulate_point(measured.costs, expected, Topology(cores=measured.machine["cores"]), seconds=4.0)
    assert outlook.requests_per_s == pytest.approx(expected.requests_per_s, rel=0.2)
    assert sum(outlook.cpu_ms.values()) == pytest.approx(sum(expected.cpu_ms.values()), rel=0.2)


def point(connections: int, cpu_ms: dict[str, float], per_call: float | None, per_batch: float | None) -> Point:
    hits = float(per_call is None)
    return Point("", connections, hits, 100.0, 1.0, 2.0, cpu_ms, per_call, per_batch, 0.1, 0.0)


def test_the_costs_behind_three_measured_windows_are_found_again():
    def misses(connections: int, per_call: float, per_batch: float) -> Point:
        replica_ms = 0.5 / per_call + 2.0 + 2.0 / per_batch + 4.0
        gateway_ms = 0.5 + 0.5 + 1.0 / per_call
        cpu_ms = {"HAProxy": 0.1, "gateway": gateway_ms, "replica": replica_ms, "Redis": 0.1}
        return point(connections, cpu_ms, per_call, per_batch)

    hits = point(32, {"HAProxy": 0.1, "gateway": 0.5, "replica": 0.0, "Redis": 0.05}, None, None)
    batches_ms = {size: 2.0 + 4.0 * size for size in (1, 2, 4, 8)}
    costs = fit(misses(1, 1.0, 1.0), misses(32, 4.0, 3.0), hits, batches_ms, idle_cores=0.0)
    assert vars(costs) == pytest.approx(vars(COSTS))
