"""Experimental kinds that no model is configured of: they cost nothing, and their paths say how to serve one."""

from __future__ import annotations

import subprocess
import sys

import httpx
import pytest

from tests.unit.hosted_gateway import hosted_gateway

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

_DEFAULT_STACK = """
import sys
from services.deployments.host import ModelHost
from services.gateway.app import create_app
from services.gateway.serving.registry import Registry
from services.gateway.serving.backends import LocalBackend
from services.settings import Settings
from services.topology import check_topology

topology = check_topology({"deployments": [{"name": "C", "task": "classification", "models": ["mnist"]}]})
host = ModelHost(topology.deployments[0].model_dump())
app = create_app(Settings(), Registry(topology, {"C": LocalBackend(host)}), None)
app.openapi()
host.close()
experimental = ("stylization", "generation", "stylizers", "generators", "made_pictures")
print(sorted(name for name in sys.modules if any(part in experimental for part in name.split("."))))
print([path for path in app.openapi()["paths"] if "stylize" in path or "generate" in path])
"""


def test_a_default_gateway_and_model_host_import_no_module_of_them():
    ran = subprocess.run([sys.executable, "-c", _DEFAULT_STACK], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-2:] == ["[]", "[]"]


def test_their_paths_say_how_to_serve_one():
    with hosted_gateway([{"name": "Classifier", "task": "classification", "models": ["mnist"]}]) as stack:
        for path, task in (("stylize", "stylization"), ("generate", "generation")):
            response = httpx.post(f"{stack.url}/v1/{path}", content=b"x")
            error = response.json()["error"]
            assert (response.status_code, error["code"]) == (404, "unknown_model")
            assert f"`tapetum models list --task {task}`" in error["message"]
            assert "`tapetum serve --model NAME`" in error["message"]
            assert httpx.get(f"{stack.url}/v1/{path}").status_code == 405
