"""A cluster of a head and two workers goes on answering while nodes end, drain, come and change their configuration.

The tests run in the order in which they stand here, for each begins with the nodes that the one before has left.
Of the requests, one in 500 may fail at its first attempt, besides those that a node was working on when it was killed,
and none at its second, through another node. Where nodes drain, none may fail at all.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from tritonclient.grpc import service_pb2_grpc

from loadtests.photos import SMALL, photos
from services.gateway.open_inference.protobuf import pb
from tests.deploy.cluster import RATE_LIMIT, Cluster, cluster_config, eventually, metric
from tests.deploy.cluster_load import LoadReport, OpenLoad

pytestmark = pytest.mark.timeout(1800)

CALM_S = 5.0
"""Load before and after what happens."""


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=30, trust_env=False) as made:
        yield made


@contextmanager
def load_through(cluster: Cluster, *names: str) -> Iterator[LoadReport]:
    """Load through the named nodes, from `CALM_S` before to `CALM_S` after the block; its figures are printed."""
    load = OpenLoad([cluster.nodes[name].url for name in names], cluster.keys)
    try:
        with load:
            time.sleep(CALM_S)
            yield load.report
            time.sleep(CALM_S)
    finally:
        print(load.report)


def check(report: LoadReport) -> None:
    """As few failed at first as may, and every retry was answered."""
    assert not report.lost, str(report)
    assert len(report.failures) <= report.allowed_failures, str(report)


def classify(client: httpx.Client, url: str, image: bytes, key: str, **headers: str) -> httpx.Response:
    return client.post(
        f"{url}/v1/classify", content=image, headers={"content-type": "image/jpeg", "x-api-key": key, **headers}
    )


def test_replicas_lie_on_both_workers_and_none_on_the_head(cluster: Cluster):
    workers = {cluster.nodes[name].address for name in ("a", "b")}
    assert set(cluster.replicas("Gateway")) == workers
    assert set(cluster.replicas("Classifier")) == workers


def test_answer_of_one_gateway_is_a_cache_hit_at_every_other(cluster: Cluster, client: httpx.Client):
    [photo] = photos(SMALL, ["coffee"])
    key = cluster.guest_keys[0]
    first = classify(client, cluster.nodes["a"].url, photo, key).json()
    assert first["cached"] is False
    time.sleep(0.5)  # it is written in the background
    before = {name: hits(cluster, name) for name in ("a", "b")}
    for name in ("a", "b") * 8:
        again = classify(client, cluster.nodes[name].url, photo, key).json()
        assert (again["cached"], again["predictions"]) == (True, first["predictions"])
    made = {name: hits(cluster, name) - before[name] for name in ("a", "b")}
    assert sum(made.values()) == 16
    assert min(made.values()) > 0, "one gateway has answered all"


def hits(cluster: Cluster, name: str) -> float:
    """Cache hits of the gateways of a worker."""
    return metric(cluster.nodes[name], "tapetum_cache_requests_total", outcome="hit")


def test_every_node_serves_grpc_and_hands_calls_to_gateways_of_both_workers(cluster: Cluster):
    [photo] = photos(SMALL, ["rocket"])
    image = pb.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[1])
    image.contents.bytes_contents.append(photo)
    request = pb.ModelInferRequest(model_name="efficientnet-lite0", inputs=[image])
    metadata = (("x-api-key", cluster.guest_keys[0]),)
    before = {name: hits(cluster, name) for name in ("a", "b")}
    for name in ("a", "b", "head"):
        with grpc.insecure_channel(f"{cluster.nodes[name].address}:8001") as channel:
            stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            answers = [stub.ModelInfer(request, metadata=metadata, timeout=30) for _ in range(8)]
            assert {answer.outputs[0].shape[1] for answer in answers} == {5}
            with pytest.raises(grpc.RpcError) as refused:
                stub.ModelInfer(request, timeout=30)
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
        time.sleep(0.5)  # the first answer is written to the cache in the background
    made = {name: hits(cluster, name) - before[name] for name in ("a", "b")}
    assert min(made.values()) > 0, "one gateway has answered all"


def test_feedback_is_taken_by_a_gateway_that_has_not_answered(cluster: Cluster, client: httpx.Client):
    """HAProxy takes the gateways in turn, so that of 16 pairs of requests some go to different ones."""
    [photo] = photos(SMALL, ["chelsea"])
    key = cluster.guest_keys[1]
    urls = itertools.cycle(cluster.nodes[name].url for name in ("a", "b", "head"))
    for number in range(16):
        given = classify(client, next(urls), photo, key, **{"x-request-id": f"photo-{number}"})
        assert given.status_code == 200, given.text
        feedback = {"request_id": f"photo-{number}", "target": {"class": "Egyptian cat"}}
        told = client.post(f"{next(urls)}/v1/feedback", json=feedback, headers={"x-api-key": key})
        assert told.status_code == 200, told.text
    headers = {"x-api-key": key}

    def live_samples(name: str) -> int:
        shown = client.get(f"{cluster.nodes[name].url}/v1/accuracy", headers=headers).json()
        return (shown["models"][0]["live"] or {"samples": 0})["samples"]

    # every gateway counts them all, a few seconds later
    eventually(lambda: all(live_samples(name) == 16 for name in ("a", "b") * 2), "16 feedbacks", within_s=30)


def test_rate_limit_of_a_key_counts_the_requests_to_all_gateways(cluster: Cluster, client: httpx.Client):
    """Each gateway alone would let all of these through: they are 1.5 limits, and each gateway gets half of them."""
    [photo] = photos(SMALL, ["coffee"])
    urls = itertools.cycle(cluster.nodes[name].url for name in ("a", "b"))
    statuses = [
        classify(client, next(urls), photo, cluster.guest_keys[2]).status_code for _ in range(RATE_LIMIT * 3 // 2)
    ]
    assert set(statuses) == {200, 429}
    assert RATE_LIMIT <= statuses.count(200) < RATE_LIMIT * 1.2  # the window slides meanwhile
    assert classify(client, next(urls), photo, cluster.guest_keys[3]).status_code == 200


def test_submitted_evaluation_runs_on_the_cluster_and_its_figures_are_shown(cluster: Cluster, client: httpx.Client):
    """The data lies at one path on every node, and the figures are those of three photos whose class is known."""
    data = write_data(cluster.folder / "known")
    printed = cluster.run(
        *("tapetum", "evaluate", "--model", "efficientnet-lite0", "--data", str(data), "--workers", "1"),
        *("--output", str(cluster.folder / "evaluation"), "--submit", "--address", cluster.dashboard_url),
    )
    assert "recorded in" in printed, printed
    url, headers = f"{cluster.nodes['b'].url}/v1/accuracy", {"x-api-key": cluster.guest_keys[0]}

    def offline() -> list[dict[str, Any]]:
        return client.get(url, headers=headers).json()["models"][0]["offline"]

    eventually(lambda: offline() != [], "the figures of the evaluation in a gateway", within_s=30)
    [run] = offline()
    assert (run["dataset"], run["images"], run["figures"]["top1"]["value"]) == ("known", 3, 1.0)


def test_worker_is_killed(cluster: Cluster):
    with load_through(cluster, "head", "b") as report:
        cluster.nodes["a"].kill()
        time.sleep(30)
    check(report)


def test_worker_is_added_and_gets_the_missing_replicas(cluster: Cluster):
    with load_through(cluster, "head", "b") as report:
        worker = cluster.add("a")
        took_s = eventually(cluster.is_steady, "replicas on the new worker", cluster.log_ends)
        cluster.wait_until_steady()
    print(f"replicas ran after {took_s:.0f} s")
    check(report)
    assert cluster.replicas("Gateway")[worker.address] == 1
    assert cluster.replicas("Classifier")[worker.address] == 1


def test_raylet_is_terminated(cluster: Cluster):
    """`ray start --block` takes that for a wish and stays; whoever watches the node has to start it again."""
    node = cluster.nodes["b"]
    with load_through(cluster, "head", "a") as report:
        node.process("raylet").terminate()
        time.sleep(30)
        node.kill()
        cluster.add("b")
        eventually(cluster.is_steady, "replicas on the restarted worker", cluster.log_ends)
        cluster.wait_until_steady()
    check(report)


def test_drained_node_loses_no_request(cluster: Cluster):
    """Worker c has room for what leaves worker b."""
    cluster.add("c")
    address = cluster.nodes["b"].address
    with load_through(cluster, "head", "a") as report:
        cluster.run(
            *("ray", "drain-node", "--address", cluster.gcs_address, "--node-id", cluster.alive_nodes()[address]),
            *("--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "a test"),
            *("--deadline-remaining-seconds", "60"),
        )
        took_s = eventually(lambda: has_moved(cluster, address), "the replicas to move", cluster.log_ends)
        eventually(lambda: address not in cluster.alive_nodes(), "the end of the node", cluster.log_ends)
    print(f"the replicas moved in {took_s:.0f} s")
    cluster.nodes["b"].kill()
    assert not report.failures, str(report)


def has_moved(cluster: Cluster, address: str) -> bool:
    return (
        cluster.is_steady()
        and address not in cluster.replicas("Gateway")
        and address not in cluster.replicas("Classifier")
    )


def test_worker_that_is_sent_sigterm_drains_and_loses_no_request(cluster: Cluster):
    """That is how Kubernetes stops a pod. Worker b, which has come back, has room for what leaves worker c."""
    cluster.add("b")
    node = cluster.nodes["c"]
    with load_through(cluster, "head", "a") as report:
        node.terminate()
        node.wait(120)
        eventually(lambda: has_moved(cluster, node.address), "the replicas to move", cluster.log_ends)
    node.kill()
    assert not report.failures, str(report)


def test_changed_configuration_rolls_out(cluster: Cluster):
    with load_through(cluster, "a", "b") as report:
        before, changed_at = replica_ids(cluster), time.monotonic()
        cluster.deploy(max_batch_size=4)
        eventually(lambda: cluster.is_steady() and not before & replica_ids(cluster), "all new", cluster.log_ends)
        took_s = time.monotonic() - changed_at
    print(f"new classifiers ran after {took_s:.0f} s")
    check(report)


def test_configuration_that_cannot_be_built_leaves_the_gateways_that_run(cluster: Cluster):
    """It is put to Ray Serve itself, for `tapetum serve` would refuse it."""
    with load_through(cluster, "a", "b") as report:
        cluster.put(cluster_config({"models": [{"name": "no-such-model"}]}))
        eventually(lambda: cluster.application().get("status") == "DEPLOY_FAILED", "a failed build", cluster.log_ends)
        time.sleep(10)
    check(report)
    cluster.deploy(max_batch_size=4)
    cluster.wait_until_steady()


def replica_ids(cluster: Cluster) -> set[str]:
    classifiers = cluster.application().get("deployments", {}).get("Classifier", {})
    return {replica["replica_id"] for replica in classifiers.get("replicas", [])}


def test_head_is_killed_and_comes_back(cluster: Cluster):
    with load_through(cluster, "a", "b") as report:
        cluster.head.kill()
        time.sleep(6)
        cluster.add("head")
        took_s = eventually(cluster.is_steady, "the head to take over", cluster.log_ends)
        cluster.wait_until_steady()
    print(f"the head knew all replicas after {took_s:.0f} s")
    check(report)
    assert set(cluster.replicas("Classifier")) == {cluster.nodes[name].address for name in ("a", "b")}


def write_data(folder: Path) -> Path:
    """Photos in one folder for each class."""
    known = {"Egyptian cat": "chelsea", "espresso": "coffee", "missile": "rocket"}
    for (class_name, _), photo in zip(known.items(), photos(SMALL, list(known.values())), strict=True):
        (folder / class_name).mkdir(parents=True)
        (folder / class_name / "1.jpg").write_bytes(photo)
    return folder
