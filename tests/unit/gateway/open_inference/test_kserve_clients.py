"""KServe's own clients, unmodified and in an environment of their own, against Tapetum; skipped where there is none."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from loadtests.environments import KSERVE, ROOT, NoEnvironment
from tests.photos import encoded, photo
from tests.unit.hosted_gateway import hosted_gateway

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

DEPLOYMENTS = [{"name": "Classifier", "task": "classification", "models": ["noop"], "precision": "fp32"}]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the program of the clients prints."""
    try:
        python = KSERVE.python(print)
    except NoEnvironment as error:
        pytest.skip(f"needs KServe's clients: {error}")
    file = tmp_path_factory.mktemp("kserve") / "image.png"
    file.write_bytes(encoded(photo("coffee").resize((64, 64)), "PNG"))
    with hosted_gateway(DEPLOYMENTS) as gateway:
        program = Path(ROOT) / "tests" / "kserve_client.py"
        done = subprocess.run(
            [str(python), str(program), gateway.url, gateway.grpc_address, str(file)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "name",
    [
        "REST JSON",
        *(
            f"{transport} {form}"
            for transport in ("REST", "gRPC")
            for form in ("binary image", "binary image and outputs", "binary pixels", "JSON pixels")
        ),
        "gRPC typed image",
    ],
)
def test_every_form_of_a_request_is_answered(results, name):
    assert results[name]["id"] == "seven"
    outputs = results[name]["outputs"]
    assert outputs["class_ids"] == [0, 1, 2, 3, 4]
    assert outputs["class_names"] == [f"class {index}" for index in range(5)]
    assert outputs["probabilities"] == pytest.approx([weight / 55 for weight in (10, 9, 8, 7, 6)], abs=1e-6)


def test_probes_say_what_is_ready(results):
    assert results["REST probes"] == results["gRPC probes"] == [True, True, True, False]


def test_errors_reach_the_client_with_their_text(results):
    assert "the request must have one input" in results["REST error"] and "400" in results["REST error"]
    assert "unexpected input 'x'" in results["gRPC error"]
