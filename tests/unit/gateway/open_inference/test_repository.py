"""Versions over the Open Inference Protocol: unmodified clients of Triton load, ask, list and unload them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

from tests.unit.version_stack import ADMIN, MODEL, VersionStack, photo, version_stack

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

OLD, NEW = f"{MODEL}@1", f"{MODEL}@2"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VersionStack]:
    with version_stack(tmp_path_factory.mktemp("catalog"), [OLD], replicas=1) as made:
        yield made


@pytest.fixture(params=["http", "grpc"])
def client(request: pytest.FixtureRequest, stack: VersionStack) -> Iterator[Any]:
    """A client of each transport; the stack has version 1 alone before and after."""
    if request.param == "http":
        made: Any = triton_http.InferenceServerClient(stack.url.removeprefix("http://"))
    else:
        made = triton_grpc.InferenceServerClient(f"127.0.0.1:{stack.grpc_port}")
    with made as connected:
        yield connected
    stack.admin("unload", "2")


def ask(client: Any, version: str = "") -> tuple[str, set[bytes]]:
    """The version that answers, and the names of its classes."""
    kind = triton_grpc if isinstance(client, triton_grpc.InferenceServerClient) else triton_http
    given = kind.InferInput("image", [1], "BYTES")
    given.set_data_from_numpy(np.array([photo(1)], dtype=object))
    result: Any = client.infer(MODEL, [given], model_version=version, parameters={"score_threshold": 0.0})
    response = result.get_response()
    label = response["model_version"] if isinstance(response, dict) else response.model_version
    return label, set(result.as_numpy("class_names").tolist())


def states(client: Any) -> dict[str, str]:
    if isinstance(client, triton_grpc.InferenceServerClient):
        return {one.version: one.state for one in client.get_model_repository_index().models}  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    return {one["version"]: one["state"] for one in client.get_model_repository_index()}


def test_a_version_is_loaded_asked_by_name_and_unloaded(client: Any):
    assert states(client) == {"1": "READY"}
    client.load_model(NEW, headers=dict(ADMIN))
    assert states(client) == {"1": "READY", "2": "READY"}
    assert client.is_model_ready(MODEL, "2") and not client.is_model_ready(MODEL, "3")
    old, new, newest = ask(client, "1"), ask(client, "2"), ask(client)
    assert (old[0], new[0], newest) == ("1", "2", new)
    assert not old[1] & new[1], "each version has class names of its own"
    client.unload_model(NEW, headers=dict(ADMIN))
    assert ask(client) == old
    with pytest.raises(InferenceServerException, match="no version '2'"):
        ask(client, "2")


def test_only_administrators_change_versions(client: Any):
    for change in (client.load_model, client.unload_model):
        with pytest.raises(InferenceServerException, match="only an administrator may do this"):
            change(NEW)


@pytest.mark.parametrize("name", ["no-such-model", f"{MODEL}@9"])
def test_what_is_not_in_the_catalog_is_not_loaded(client: Any, name: str):
    with pytest.raises(InferenceServerException, match=r"no model|the catalog has no"):
        client.load_model(name, headers=dict(ADMIN))


def test_the_only_version_is_not_unloaded(client: Any):
    with pytest.raises(InferenceServerException, match="no other version"):
        client.unload_model(OLD, headers=dict(ADMIN))


def test_a_configuration_in_the_request_is_refused(client: Any):
    with pytest.raises(InferenceServerException, match="unexpected parameter 'config'"):
        client.load_model(NEW, headers=dict(ADMIN), config="{}")
    assert states(client) == {"1": "READY"}
