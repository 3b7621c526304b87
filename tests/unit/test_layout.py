"""Which topology `tapetum serve` chooses, and how it shares the CPUs of the machine."""

from __future__ import annotations

from typing import Any

import pytest

from services.configuration import TopologyError
from services.layout import Machine, lay_out
from services.topology import Layout, Topology, check_topology

LAPTOP = Machine(cpus=2, memory_bytes=16 * 2**30)


def topology(gateway: dict[str, Any] | None = None, layout: Layout = "auto", **deployment: Any) -> Topology:
    named = {"name": "Classifier", "task": "classification", "models": ["noop"]}
    return check_topology({"topology": layout, "gateway": gateway or {}, "deployments": [{**named, **deployment}]})


def shape(laid_out: Topology) -> tuple[str, int, int | None]:
    return laid_out.topology, laid_out.gateway.num_replicas, laid_out.deployments[0].num_device_threads


@pytest.mark.parametrize(
    ("cpus", "gibibytes", "replicas", "threads"), [(1, 16, 1, 1), (2, 16, 2, 1), (2, 3, 1, 2), (8, 64, 4, 2)]
)
def test_cpus_are_shared_among_colocated_replicas_as_far_as_the_memory_goes(
    cpus: int, gibibytes: int, replicas: int, threads: int
):
    laid_out = lay_out(topology(), Machine(cpus, gibibytes * 2**30))
    assert shape(laid_out) == ("colocated", replicas, threads)


def test_no_more_replicas_are_chosen_than_can_reserve_their_cpus():
    assert shape(lay_out(topology({"num_cpus": 1.5}), LAPTOP)) == ("colocated", 1, 2)


def test_split_deployment_gets_a_device_thread_for_each_cpu():
    assert shape(lay_out(topology(layout="split"), LAPTOP)) == ("split", 1, 2)


@pytest.mark.parametrize(
    "keys", [{"device": "cuda"}, {"num_replicas": 2}, {"autoscaling": {"max_replicas": 2}}, {"resources": {"a": 1}}]
)
def test_deployment_that_needs_replicas_of_its_own_is_split_and_refused_where_it_is_to_be_colocated(
    keys: dict[str, Any],
):
    assert lay_out(topology(**keys), LAPTOP).topology == "split"
    with pytest.raises(TopologyError, match=r"but Classifier has .*: set topology to split"):
        lay_out(topology(**keys), LAPTOP, "colocated")
    with pytest.raises(TopologyError, match="topology is colocated, but Classifier has"):
        topology(layout="colocated", **keys)


def test_what_the_configuration_sets_is_kept():
    assert shape(lay_out(topology({"num_replicas": 1}, num_device_threads=3), LAPTOP)) == ("colocated", 1, 3)
    assert lay_out(topology(layout="split"), LAPTOP, "auto").topology == "colocated"


def test_gpu_and_triton_server_keep_their_own_number_of_batches():
    triton: dict[str, Any] = {"backend": "triton", "triton": {"url": "triton:8001"}, "models": ["efficientnet-lite0"]}
    cuda: dict[str, Any] = {"device": "cuda"}
    for keys in (cuda, triton):
        assert lay_out(topology(**keys), LAPTOP).deployments[0].device_threads == 1


@pytest.mark.parametrize(("num_cpus", "threads"), [(0.5, 1), (1, 1), (4, 4)])
def test_unset_device_threads_are_as_many_as_reserved_cpus(num_cpus: float, threads: int):
    assert topology(num_cpus=num_cpus).deployments[0].device_threads == threads
