"""What a configuration says of GPUs and replicas, and what is refused because it would do nothing."""

from __future__ import annotations

from typing import Any

import pytest

from services.topology import TopologyError, check_topology


def deployment(**keys: Any) -> dict[str, Any]:
    return {"deployments": [{"name": "Classifier", "task": "classification", "models": ["noop"], **keys}]}


@pytest.mark.parametrize(
    ("keys", "reserved"),
    [
        ({}, 0.0),
        ({"device": "cuda"}, 1.0),
        ({"device": "cuda:0"}, 1.0),
        ({"device": "cuda", "num_gpus": 0.25}, 0.25),
        ({"device": "cuda:1", "num_gpus": 2}, 2.0),
    ],
)
def test_replica_on_a_gpu_reserves_one_unless_told_otherwise(keys: dict[str, Any], reserved: float):
    (config,) = check_topology(deployment(**keys)).deployments
    assert config.reserved_gpus == reserved
    (again,) = check_topology(check_topology(deployment(**keys)).model_dump()).deployments
    assert again == config, "it crosses processes as a dict"


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"device": "cuda", "num_gpus": 0}, "device is cuda, but num_gpus is 0"),
        ({"device": "cuda:1"}, "device is cuda:1, but num_gpus is 1"),
        ({"device": "cuda:2", "num_gpus": 2}, "device is cuda:2, but num_gpus is 2"),
        ({"device": "cuda:1", "num_gpus": 0.5}, "device is cuda:1, but num_gpus is 0.5"),
        ({"device": "cuda", "num_gpus": 1.5}, "a share of a GPU or a whole number"),
        ({"num_gpus": 1}, "num_gpus is set, but device is cpu"),
        ({"num_replicas": 2, "autoscaling": {"max_replicas": 4}}, "num_replicas is set, and autoscaling, too"),
    ],
)
def test_keys_that_would_do_nothing_are_refused_by_name(keys: dict[str, Any], reason: str):
    with pytest.raises(TopologyError, match=reason):
        check_topology(deployment(**keys))
