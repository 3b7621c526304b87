"""What a configuration says of GPUs, replicas and Triton servers, and what is refused because it would do nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from structlog.testing import capture_logs

from models.catalog.cards import write_card
from models.catalog.lookup import find
from services.configuration import TopologyError
from services.serve_file import GRPC_SERVICES, ServeFile
from services.topology import check_topology


def deployment(**keys: Any) -> dict[str, Any]:
    return {"deployments": [{"name": "Classifier", "task": "classification", "models": ["noop"], **keys}]}


def test_explainer_has_no_replica_until_it_is_asked_and_never_more_than_one():
    from services.app import build

    keys = {"resources": {"models": 1}, "idle_timeout_s": 60}
    gateway = build({**deployment(), "explainer": keys})._bound_deployment
    *_, bound = cast(tuple[Any, ...], gateway.init_args)
    explainer = bound._bound_deployment
    scale = explainer._deployment_config.autoscaling_config
    assert explainer.name == "Explainer" and explainer.ray_actor_options == {
        "num_cpus": 0.0,
        "resources": {"models": 1},
    }
    assert (scale.min_replicas, scale.max_replicas, scale.downscale_delay_s) == (0, 1, 60)


def test_name_of_the_explainer_is_taken():
    with pytest.raises(TopologyError, match="Explainer is the name"):
        check_topology(deployment(name="Explainer"))


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
        ({"cuda_graphs": True}, "cuda_graphs is for GPUs"),
        ({"device": "cuda", "cuda_graphs": True, "compile": True}, "with fuse and without compile"),
        ({"num_replicas": 2, "autoscaling": {"max_replicas": 4}}, "num_replicas is set, and autoscaling, too"),
    ],
)
def test_keys_that_would_do_nothing_are_refused_by_name(keys: dict[str, Any], reason: str):
    with pytest.raises(TopologyError, match=reason):
        check_topology(deployment(**keys))


def test_key_of_an_earlier_version_is_read_with_a_warning():
    with capture_logs() as logged:
        topology = check_topology(deployment(num_streams=3) | {"gateway": {"linger_s": 0.5}})
    assert (topology.deployments[0].num_device_threads, topology.gateway.coalesce_wait_s) == (3, 0.5)
    assert [(line["event"], line["deployment"], line["log_level"]) for line in logged] == [
        ("linger_s is called coalesce_wait_s now", "gateway", "warning"),
        ("num_streams is called num_device_threads now", "Classifier", "warning"),
    ]


def test_key_in_both_its_names_is_refused():
    with pytest.raises(TopologyError, match="num_streams is the old name of num_device_threads: leave it out"):
        check_topology(deployment(num_streams=3, num_device_threads=2))


RESERVED = {
    "num_cpus": 2.0,
    "memory": 2**30,
    "resources": {"gpu_pool": 1.0},
    "accelerator_type": "H200",
}


def test_reservations_and_limits_reach_ray_serve():
    from services.app import build

    keys = {**RESERVED, "max_replicas_per_node": 1, "graceful_shutdown_timeout_s": 45}
    application = build({**deployment(**keys), "gateway": {"resources": {"gateway": 0.5}, "max_replicas_per_node": 2}})
    gateway = application._bound_deployment
    assert gateway.ray_actor_options == {"num_cpus": 1.0, "resources": {"gateway": 0.5}}
    assert gateway._replica_config.max_replicas_per_node == 2
    assert gateway._deployment_config.graceful_shutdown_timeout_s == 30.0
    _, backends, _ = cast(tuple[Any, Any, Any], gateway.init_args)
    models = backends["Classifier"]._bound_deployment
    assert models.ray_actor_options == {**RESERVED, "num_gpus": 0.0}
    assert models._replica_config.max_replicas_per_node == 1
    assert models._deployment_config.graceful_shutdown_timeout_s == 45.0


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({"max_replicas_per_node": 0}, "max_replicas_per_node"),
        ({"memory": 0}, "memory"),
        ({"resources": {"x": -1}}, "resources.x"),
        ({"graceful_shutdown_timeout_s": -1}, "graceful_shutdown_timeout_s"),
    ],
)
def test_impossible_reservations_are_refused_by_name(keys: dict[str, Any], key: str):
    with pytest.raises(TopologyError, match=rf"args: deployments\.0\.{key}: "):
        check_topology(deployment(**keys))


def test_file_for_a_cluster_is_not_refused_and_goes_there_as_it_is():
    application = {"args": deployment(), "runtime_env": {"env_vars": {"A": "b"}}}
    given = {"logging_config": {"encoding": "JSON"}, "target_capacity": 50.0}
    file = ServeFile.model_validate({**given, "grpc_options": {"port": 9000}, "applications": [application]})
    assert file.for_clusters() == ["runtime_env", *given]
    document = file.listening_at("0.0.0.0", None).to_document()
    assert document.items() >= given.items()
    assert document["http_options"] == {"host": "0.0.0.0", "port": 8000, "keep_alive_timeout_s": 65}
    assert document["grpc_options"] == {
        "port": 9000,
        "grpc_servicer_functions": ["services.grpc_services:add_services"],
        "enable_reflection": True,
    }
    from ray.serve.schema import ServeDeploySchema

    (sent,) = ServeDeploySchema.model_validate(document).applications
    assert (sent.name, sent.route_prefix, sent.import_path) == ("tapetum", "/", "services.app:build")
    assert sent.runtime_env["env_vars"] == {"A": "b"}
    assert check_topology(sent.args) == check_topology(deployment())
    assert set(sent.args["deployments"][0]) == {"name", "task", "models"}, "what the file leaves out is left out"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"triton": None}, "backend is triton, but triton.url is not set"),
        ({"backend": "torch"}, "triton is set, but backend is torch"),
        ({"device": "cuda"}, "device and compile are for networks that run in the replica"),
        ({"precision": "bf16"}, "the precision of noop is that of its network at the Triton server"),
        ({}, "noop has no network that a Triton server could run"),
        ({"triton": {"url": "http://triton:8000/"}}, "triton.url"),
        (
            {"triton": {"url": "triton:8001", "root_certificates": "ca.pem"}},
            "root_certificates is set, but ssl is false",
        ),
    ],
)
def test_triton_server_that_does_not_fit_its_deployment_is_refused_by_name(change: dict[str, Any], message: str):
    document = {"name": "T", "task": "classification", "models": ["noop"], "backend": "triton"}
    document = {**document, "triton": {"url": "triton:8001"}, **change}
    with pytest.raises(TopologyError, match=re.escape(message)):
        check_topology({"deployments": [document]})


def test_model_at_a_triton_server_is_named_as_it_was_exported_unless_it_says_otherwise():
    models = ["efficientnet-lite0", {"name": "torchvision/resnet18", "server_model": "theirs", "server_version": "12"}]
    document = {"name": "T", "task": "classification", "models": models, "backend": "triton"}
    (deployment,) = check_topology({"deployments": [{**document, "triton": {"url": "triton:8001"}}]}).deployments
    assert [spec.at_server(spec.entry) for spec in deployment.models] == [("efficientnet-lite0", "1"), ("theirs", "12")]


@pytest.mark.parametrize(
    ("port", "grpc_port", "expected"),
    [(None, None, 8001), (8080, None, 8081), (8080, 9000, 9000), (None, 0, None), (8080, 0, None)],
)
def test_the_port_of_grpc_follows_that_of_http(port: int | None, grpc_port: int | None, expected: int | None):
    file = ServeFile.model_validate({"grpc_options": {}, "applications": [{"args": deployment()}]})
    options = file.listening_at(None, port, grpc_port).grpc_options
    assert (options and options.port) == expected


@pytest.mark.parametrize(("port", "grpc_port"), [(8080, 8080), (65535, None)])
def test_a_port_that_grpc_cannot_have_is_refused(port: int, grpc_port: int | None):
    file = ServeFile.model_validate({"grpc_options": {}, "applications": [{"args": deployment()}]})
    with pytest.raises(TopologyError, match="choose another --grpc-port"):
        file.listening_at(None, port, grpc_port)


def test_a_file_without_grpc_options_has_no_grpc():
    file = ServeFile.model_validate({"applications": [{"args": deployment()}]})
    assert file.listening_at(None, 8080).grpc_options is None


def test_the_grpc_services_are_imported_as_ray_does():
    from ray._common.utils import import_attr

    assert callable(import_attr(GRPC_SERVICES))


def detectors(*models: str, **keys: Any) -> dict[str, Any]:
    return {"deployments": [{"name": "Detector", "task": "detection", "models": list(models)}], **keys}


@pytest.fixture
def second_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 2 of yolo-person, whose version 1 comes with Tapetum."""
    bundled = find("yolo-person")
    write_card(tmp_path, replace(bundled, version="2"), {"w": torch.ones(1)}, versioned=True)
    monkeypatch.setenv("TAPETUM_CATALOG", str(tmp_path))


@pytest.mark.usefixtures("second_version")
@pytest.mark.parametrize(
    ("args", "loaded"),
    [
        (detectors("yolo-person"), ["yolo-person@2"]),
        (detectors("yolo-person@1"), ["yolo-person@1"]),
        (detectors("yolo-person@1", "yolo-person@2"), ["yolo-person@1", "yolo-person@2"]),
        (detectors("yolo-person", "yolo-person@2"), ["yolo-person@2"]),
        (detectors("yolo-person", version_policy={"yolo-person": 1}), ["yolo-person@1"]),
        (
            detectors("yolo-person", "yolo-person@2", version_policy={"yolo-person": "1"}),
            ["yolo-person@1", "yolo-person@2"],
        ),
    ],
)
def test_name_alone_is_the_version_of_the_policy(args: dict[str, Any], loaded: list[str]):
    topology = check_topology(args).with_versions()
    assert [spec.name for spec in topology.deployments[0].models] == loaded
    assert topology.with_versions() == topology == check_topology(topology.model_dump())


@pytest.mark.usefixtures("second_version")
def test_versions_of_a_model_may_be_in_different_deployments_but_no_version_in_two():
    detector = {"name": "Detector", "task": "detection", "models": ["yolo-person"]}
    canary = {"name": "Canary", "task": "detection", "models": ["yolo-person@1"]}
    topology = check_topology({"deployments": [detector, canary]}).with_versions()
    assert [config.models[0].name for config in topology.deployments] == ["yolo-person@2", "yolo-person@1"]
    with pytest.raises(TopologyError, match="model yolo-person@2 is configured twice"):
        check_topology({"deployments": [detector, {**canary, "models": ["yolo-person@2"]}]}).with_versions()


@pytest.mark.usefixtures("second_version")
@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (detectors("yolo-person@3"), "unknown model 'yolo-person@3'; there are: yolo-person@2, yolo-person@1"),
        (detectors("yolo-person@1", version_policy={"yolo-person": "2"}), "yolo-person@2 is not configured; add it"),
        (detectors("yolo-person", version_policy={"yolo-digits": "1"}), "no model yolo-digits is configured"),
        (detectors("yolo-person", version_policy={"yolo-person": 1.10}), "write the version in quotes"),
    ],
)
def test_version_that_cannot_be_served_is_refused_by_name(args: dict[str, Any], reason: str):
    with pytest.raises(TopologyError, match=reason):
        check_topology(args)


def test_models_of_torchvision_keep_their_names():
    topology = check_topology(
        {"deployments": [{"name": "C", "task": "classification", "models": ["torchvision/resnet50@IMAGENET1K_V1"]}]}
    ).with_versions()
    assert topology.deployments[0].models[0].name == "torchvision/resnet50@IMAGENET1K_V1"
