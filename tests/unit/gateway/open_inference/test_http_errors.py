"""Errors of the Open Inference Protocol over HTTP that no body causes: paths, headers, keys, limits and busy models."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
import structlog

from tests.unit.gateway.open_inference.http_requests import INFER, MODEL, document, error_of, image, post
from tests.unit.gateway_fakes import FakeBackend, gateway

PATHS: Mapping[str, tuple[str, str, int, str]] = {
    "unknown model": ("POST", "/v2/models/nothing/infer", 404, "no model 'nothing' is served; there are: efficient"),
    "unknown version": (
        "POST",
        f"{MODEL}/versions/9/infer",
        404,
        "no version '9' of efficientnet-lite0 is loaded",
    ),
    "empty version": ("GET", f"{MODEL}/versions/", 404, "no model"),
    "no model": ("GET", "/v2/models/", 404, "the path names no model: it is /v2/models/NAME"),
    "no name": ("POST", "/v2/models//infer", 405, "POST is for inference: /v2/models/NAME/infer"),
    "dots": ("GET", "/v2/models/%2e%2e/%2e%2e/etc/passwd", 404, "no model '../../etc/passwd' is served"),
    "encoded slashes": ("GET", "/v2/models/..%2f..%2fetc", 404, "no model '../../etc' is served"),
    "NUL": ("GET", "/v2/models/%00", 404, r"no model '\x00' is served"),
    "line breaks": ("GET", "/v2/models/a%0d%0ab", 404, "there is nothing at"),
    "not UTF-8": ("GET", "/v2/models/%ff%fe", 404, "no model '\ufffd\ufffd' is served"),
    "a long name": ("GET", f"/v2/models/{'n' * 7000}", 404, f"no model '{'n' * 80}' is served"),
    "deep": ("POST", f"/v2/models/{'a/' * 3000}infer", 404, f"no model '{'a/' * 40}' is served"),
    "many versions": ("POST", f"/v2/models/{'x/versions/' * 700}infer", 405, "POST is for inference"),
    "a trailing slash": ("GET", f"{MODEL}/", 404, "no model 'efficientnet-lite0/' is served"),
    "too long a path": ("GET", f"/v2/models/{'n' * 9000}", 414, "the path and the query have more than 8192 bytes"),
    "unknown": ("GET", "/v2/nothing", 404, "there is nothing at /v2/nothing; see /docs"),
    "another version of the protocol": ("GET", "/v2/../v2/models", 404, "there is nothing at"),
    "GET of inference": ("GET", INFER, 405, "GET is not for inference; send POST"),
    "POST of metadata": ("POST", MODEL, 405, "POST is for inference: /v2/models/NAME/infer"),
    "POST of statistics": ("POST", "/v2/models/stats", 405, "POST is for inference: /v2/models/NAME/infer"),
    "PUT": ("PUT", INFER, 405, "PUT is not for"),
    "DELETE of the index": ("DELETE", "/v2/repository/index", 405, "DELETE is not for /v2/repository/index"),
    "GET of the index": ("GET", "/v2/repository/index", 405, "GET is not for /v2/repository/index"),
    "POST of readiness": ("POST", "/v2/health/ready", 405, "POST is not for /v2/health/ready"),
}


@pytest.mark.parametrize("name", PATHS)
async def test_wrong_path_is_refused(client, name):
    method, path, status, text = PATHS[name]
    response = await client.request(method, path, content=b"{}" if method == "POST" else None)
    assert (response.status_code, text in error_of(response)) == (status, True), response.text[:500]


async def test_too_many_headers_are_refused(client):
    response = await client.get("/v2", headers={f"x-{index}": "1" for index in range(200)})
    assert (response.status_code, error_of(response)) == (431, "there are more than 128 header fields")


async def test_wrong_time_limit_is_refused(client):
    for value in ("0", "-1", "nan", "x"):
        response = await post(client, document(image()), b"", **{"x-request-timeout": value})
        assert response.status_code == 400
        assert "X-Request-Timeout must be a positive number" in error_of(response)


async def test_without_a_key_and_with_a_wrong_one_the_error_is_text():
    async with gateway(FakeBackend(), api_keys=("a-key-of-a-client",)) as client:
        missing = await client.get("/v2")
        wrong = await client.get("/v2", headers={"authorization": "Bearer another-key-of-nobody"})
        assert (missing.status_code, wrong.status_code) == (401, 403)
        assert "an API key is needed" in error_of(missing) and "not known" in error_of(wrong)
        assert missing.headers["www-authenticate"] == "Bearer"
        assert (await client.get("/v2/health/live")).status_code == 200


async def test_above_the_rate_limit_the_error_is_text():
    async with gateway(FakeBackend(), rate_limit="1/hour") as client:
        assert (await client.get("/v2")).status_code == 200
        refused = await client.get("/v2")
        assert (refused.status_code, error_of(refused)) == (429, "more than 1 per 1 hour")
        assert int(refused.headers["retry-after"]) > 1


async def test_model_that_is_not_warm_is_503():
    backend = FakeBackend()
    backend.warm = False
    async with gateway(backend) as client:
        for response in (await post(client, document(image())), await client.get(f"{MODEL}/ready")):
            assert (response.status_code, error_of(response)) == (503, "efficientnet-lite0 is not ready yet")
            assert response.headers["retry-after"]
        assert (await client.get("/v2/health/ready")).status_code == 503


async def test_slow_model_is_504():
    backend = FakeBackend()
    backend.takes_s = 30.0
    async with gateway(backend) as client:
        response = await post(client, document(image(), parameters={"timeout": 50_000}))
        assert (response.status_code, "time limit" in error_of(response)) == (504, True)


async def test_above_the_most_requests_at_a_time_the_error_is_503():
    backend = FakeBackend()
    backend.takes_s = 0.3
    async with gateway(backend, max_concurrent_requests=1, max_queued_requests=0) as client:
        responses = await asyncio.gather(*(post(client, document(image())) for _ in range(4)))
    assert sorted(response.status_code for response in responses) == [200, 503, 503, 503]
    refused = [error_of(response) for response in responses if response.status_code == 503]
    assert refused == ["too many requests at a time"] * 3


async def test_unexpected_error_is_500_without_its_text(client, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("services.gateway.open_inference.http_front.parse_request", fail)
    with structlog.testing.capture_logs() as logs:
        response = await post(client, document(image()))
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["request failed"]
    assert (response.status_code, error_of(response)) == (500, "something went wrong here")


async def test_errors_of_v1_keep_their_own_shape(client):
    for path, code in (("/v1/nothing", "not_found"), ("/v20", "not_found"), ("/v1/v2/models", "not_found")):
        assert (await client.get(path)).json()["error"]["code"] == code
