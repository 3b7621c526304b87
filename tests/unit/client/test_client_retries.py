"""Which requests the client sends again, and after what pauses: against scripted answers."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from services.client import AsyncClient, Client, TapetumError
from tests.unit.client.cat_answers import CAT, HEAD, RESULT


class Script:
    """A server that gives these answers one after the other, and keeps what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def busy(retry_after: str | None = None, status: int = 503) -> httpx.Response:
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return httpx.Response(status, headers=headers, json={"error": {"code": "overloaded", "message": "busy"}})


def cat() -> httpx.Response:
    return httpx.Response(200, json={**HEAD, **RESULT})


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses of the client, which are noted in place of being slept."""
    noted: list[float] = []
    monkeypatch.setattr("services.client.sync_client.time.sleep", noted.append)
    return noted


def scripted(script: Script, **options: Any) -> Client:
    return Client("http://server", transport=httpx.MockTransport(script), **options)


@pytest.mark.parametrize("status", [429, 503])
def test_what_was_turned_away_is_sent_again_after_retry_after(pauses: list[float], status: int) -> None:
    script = Script(busy("2", status), busy("3", status), cat())
    with scripted(script) as client:
        assert client.classify(b"cat") == CAT
    assert pauses == [2.0, 3.0]
    assert [request.content for request in script.requests] == [b"cat"] * 3


def test_without_retry_after_pauses_double(pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.client.calls.random.uniform", lambda _low, high: high)
    with scripted(Script(busy(), busy(), busy(), cat())) as client:
        client.classify(b"cat")
    assert pauses == pytest.approx([0.1, 0.2, 0.4])


def test_retries_are_bounded(pauses: list[float]) -> None:
    script = Script(*[busy("0")] * 9)
    with scripted(script, max_retries=2) as client, pytest.raises(TapetumError) as caught:
        client.classify(b"cat")
    assert (len(script.requests), len(pauses), caught.value.code) == (3, 2, "overloaded")


def test_a_pause_beyond_the_time_limit_is_not_begun(pauses: list[float]) -> None:
    with scripted(Script(busy("60"))) as client, pytest.raises(TapetumError) as caught:
        client.classify(b"cat", timeout_s=10)
    assert caught.value.retry_after_s == 60
    assert pauses == []


def test_retry_after_may_be_a_date(pauses: list[float]) -> None:
    with scripted(Script(busy("Fri, 31 Dec 1999 23:59:59 GMT"), busy("soon"), cat())) as client:
        assert client.classify(b"cat") == CAT
    assert len(pauses) == 2
    assert max(pauses) <= 0.2


@pytest.mark.parametrize("status", [400, 404, 422, 500, 504])
def test_other_errors_are_not_tried_again(pauses: list[float], status: int) -> None:
    script = Script(busy("1", status))
    with scripted(script) as client, pytest.raises(TapetumError):
        client.classify(b"cat")
    assert pauses == []


def test_a_connection_that_breaks_is_made_again(pauses: list[float]) -> None:
    with scripted(Script(httpx.RemoteProtocolError("closed"), cat())) as client:
        assert client.classify(b"cat") == CAT
    assert len(pauses) == 1


def test_the_server_is_told_what_is_left_of_the_time_limit(pauses: list[float]) -> None:
    script = Script(cat())
    with scripted(script) as client:
        client.classify(b"cat", model="org/cat-net", timeout_s=7)
    request = script.requests[0]
    assert 6 < float(request.headers["x-request-timeout"]) <= 7
    assert dict(request.url.params) == {"model": "org/cat-net"}
    assert pauses == []


async def test_the_asynchronous_client_retries_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[float] = []

    async def note(pause_s: float) -> None:
        noted.append(pause_s)

    without_sleep = SimpleNamespace(sleep=note, to_thread=asyncio.to_thread)
    monkeypatch.setattr("services.client.async_client.asyncio", without_sleep)
    transport = httpx.MockTransport(Script(busy("2"), httpx.ReadError("reset"), cat()))
    async with AsyncClient("http://server", transport=transport) as client:
        assert await client.classify(b"cat") == CAT
    assert noted[0] == 2.0
    assert len(noted) == 2
