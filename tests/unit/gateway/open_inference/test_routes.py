"""The OpenAPI document of the routes below `/v2`."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from tests.unit.gateway_fakes import FakeBackend, make_app


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return asyncio.run(make_app(FakeBackend(), None, None)).openapi()


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method} {path}": operation
        for path, item in document["paths"].items()
        if path.startswith("/v2")
        for method, operation in item.items()
    }


def test_every_part_of_a_path_is_a_parameter(document):
    for name, operation in operations(document).items():
        declared = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
        assert declared == set(re.findall(r"{(\w+)}", name)), name


def test_every_reference_is_resolved(document):
    named = set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(operations(document))))
    assert "#/components/schemas/ErrorResponse" in named
    assert {f"#/components/schemas/{name}" for name in document["components"]["schemas"]} >= named


def test_errors_are_text_and_probes_have_no_body(document):
    found = operations(document)
    assert len(found) == 9
    for name, operation in found.items():
        for status in ("401", "403", "414", "429", "431"):
            schema = operation["responses"][status]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/ErrorResponse"}, name
        assert ("content" in operation["responses"]["200"]) is ("health" not in name)
    assert document["components"]["schemas"]["ErrorResponse"]["properties"]["error"]["type"] == "string"
