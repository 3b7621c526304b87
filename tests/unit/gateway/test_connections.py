"""Clients that are slow, that hang up, or that do not read: they harm nobody else, and leave nothing behind."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.answers.wire import Item, Outcome
from services.errors import Overloaded, ServiceError
from services.gateway.byte_budget import ByteBudget, Share
from tests.unit.gateway_fakes import FakeBackend, make_app, png
from tests.unit.raw_http import RawResponse, ask, connect, read_response, request
from tests.unit.serving import serving

pytestmark = pytest.mark.slow

IMAGE = "content-type: image/png"


class SlowBackend(FakeBackend):
    """Says which calls it finished."""

    def __init__(self) -> None:
        super().__init__()
        self.finished = 0

    async def predict(self, items: list[Item]) -> Sequence[Outcome | ServiceError]:
        answers = await super().predict(items)
        self.finished += len(items)
        return answers


@asynccontextmanager
async def running(backend: FakeBackend, **settings: Any) -> AsyncIterator[int]:
    """A gateway under uvicorn, in a thread.

    Yields:
        Its port.
    """
    app = await make_app(backend, None, None, **settings)
    with serving(app) as address:
        yield int(address.rpartition(":")[2])


def begin(port: int, head: bytes) -> socket.socket:
    connection = connect(port)
    connection.sendall(head)
    return connection


def hang_up(connection: socket.socket) -> None:
    """Close with a reset, as a process that is killed does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def count_of(port: int, outcome: str) -> float:
    """Requests with this outcome, whatever their task and model."""
    text = ask(port, request("/metrics", method="GET")).body.decode()
    return sum(map(float, re.findall(rf'tapetum_requests_total{{[^}}]*outcome="{outcome}"[^}}]*}} (\S+)', text)))


def wait_for(condition: Callable[[], bool]) -> bool:
    deadline_s = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True


async def off_loop(work: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(work)


async def test_declared_bytes_shut_nobody_out():
    async with running(FakeBackend(), max_buffered_bytes=2**20, max_body_bytes=2**26, max_image_bytes=2**26) as port:
        head = request("/v1/classify", b"", IMAGE).replace(b"content-length: 0", b"content-length: 60000000")
        idle = [begin(port, head + b"x") for _ in range(20)]
        answer: RawResponse = await off_loop(lambda: ask(port, request("/v1/classify", png(), IMAGE)))
        for connection in idle:
            connection.close()
    assert answer.status == 200


async def test_slow_upload_makes_room_for_a_quick_one():
    async with running(FakeBackend(), max_buffered_bytes=2**20) as port:
        head = request("/v1/classify", b"", IMAGE).replace(b"content-length: 0", b"content-length: 1000000")
        hoarder = begin(port, head + bytes(900_000))
        await asyncio.sleep(0.5)
        answer: RawResponse = await off_loop(lambda: ask(port, request("/v1/classify", bytes(500_000), IMAGE)))
        refused: RawResponse = await off_loop(lambda: read_response(hoarder))
        hoarder.close()
    assert answer.code == "unsupported_image"
    assert (refused.status, refused.code) == (503, "overloaded")


async def test_client_that_is_refused_in_the_moment_in_which_its_bytes_come_stays_refused():
    budget = ByteBudget(100, "request bodies")
    slow, quick = Share(budget), Share(budget)
    slow.hold(80)
    arrival: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(slow.wait_for(arrival, None))
    await asyncio.sleep(0)
    arrival.set_result(b"x")
    quick.moved = 2**30
    quick.hold(60)
    with pytest.raises(Overloaded):
        await waiting
    rest = Share(budget)
    rest.hold(40)
    with pytest.raises(Overloaded):
        rest.hold(1)


async def test_slow_upload_takes_no_place_at_work():
    async with running(FakeBackend(), max_concurrent_requests=1, max_queued_requests=0) as port:
        head = request("/v1/classify", b"", IMAGE).replace(b"content-length: 0", b"content-length: 100")
        idle = [begin(port, head + b"x") for _ in range(5)]
        answer: RawResponse = await off_loop(lambda: ask(port, request("/v1/classify", png(), IMAGE)))
        for connection in idle:
            connection.close()
    assert answer.status == 200


async def test_trickling_body_is_ended_whatever_time_its_client_asks_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("services.gateway.bodies.RATE_WINDOW_S", 0.3)
    async with running(FakeBackend(), min_body_rate_bytes=1000) as port:
        head = request("/v1/classify", b"", IMAGE, "x-request-timeout: 100")
        connection = begin(port, head.replace(b"content-length: 0", b"content-length: 100000") + bytes(50_000))

        def trickle() -> RawResponse:
            connection.settimeout(0.05)
            while True:
                connection.sendall(b"x")
                try:
                    return read_response(connection)
                except TimeoutError:
                    pass

        answer = await asyncio.wait_for(off_loop(trickle), 10)
        connection.close()
    assert (answer.status, answer.code) == (408, "request_timeout")
    assert answer.headers["connection"] == "close"


async def test_client_that_hangs_up_while_it_waits_has_its_work_ended():
    backend = SlowBackend()
    backend.takes_s = 1.0
    async with running(backend) as port:
        before = await off_loop(lambda: count_of(port, "disconnected"))
        for shade in range(5):
            connection = begin(port, request("/v1/classify", png(shade), IMAGE))
            assert await off_loop(lambda at=shade: wait_for(lambda: len(backend.calls) > min(at, 1)))
            hang_up(connection)
        assert await off_loop(lambda: wait_for(lambda: count_of(port, "disconnected") == before + 5))
        await asyncio.sleep(1.2)
    assert backend.finished == 0


async def test_client_that_hangs_up_within_its_body_is_no_fault_of_the_service(capsys: pytest.CaptureFixture[str]):
    async with running(FakeBackend()) as port:
        failed, gone = await off_loop(lambda: (count_of(port, "internal_error"), count_of(port, "disconnected")))
        head = request("/v1/classify", b"", IMAGE).replace(b"content-length: 0", b"content-length: 1000")
        for _ in range(3):
            hang_up(begin(port, head + b"x"))
        assert await off_loop(lambda: wait_for(lambda: count_of(port, "disconnected") == gone + 3))
        assert await off_loop(lambda: count_of(port, "internal_error")) == failed
    assert "Traceback" not in capsys.readouterr().out


class LargeAnswers(FakeBackend):
    """Answers with 8 MiB."""

    def predictions_of(self, item: Item) -> list[dict[str, Any]]:
        return [{"class_id": 0, "class_name": "x" * 2**23, "probability": 0.5}]


def begin_unread(port: int, shade: int) -> socket.socket:
    """Ask for an answer with a small window, and read nothing."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", port))
    connection.sendall(request("/v1/classify?top_k=1", png(shade), IMAGE))
    return connection


async def test_unread_answers_are_held_within_a_cap_and_for_a_time():
    async with running(LargeAnswers(), max_answer_bytes=2**24, send_timeout_s=1.5) as port:
        unread = [begin_unread(port, 1)]
        await asyncio.sleep(0.5)
        quick: RawResponse = await off_loop(lambda: ask(port, request("/v1/classify?top_k=1", png(2), IMAGE)))
        assert (quick.status, len(quick.body) > 2**23) == (200, True)

        def rest() -> int:
            size = 0
            unread[0].settimeout(10)
            try:
                while received := unread[0].recv(2**16):
                    size += len(received)
            except ConnectionError:
                pass
            return size

        await asyncio.sleep(2)
        assert await off_loop(rest) < 2**23, "the rest was not kept for a client that did not read"
        unread[0].close()


async def test_answer_beyond_the_cap_takes_the_place_of_the_slowest_reader(capfd: pytest.CaptureFixture[str]):
    async with running(LargeAnswers(), max_answer_bytes=2**23 + 2**20, send_timeout_s=30) as port:
        slow = begin_unread(port, 3)
        await asyncio.sleep(0.7)
        quick: RawResponse = await off_loop(lambda: ask(port, request("/v1/classify?top_k=1", png(4), IMAGE)))
        slow.close()
    assert quick.status == 200
    assert "Traceback" not in capfd.readouterr().err, "a reader that is disconnected is no error of the service"
