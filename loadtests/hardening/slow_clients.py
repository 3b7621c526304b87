"""Clients that are slow, silent or gone: they hold nobody else up, and nothing of their work goes on."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from loadtests.hardening.composing import MIB, compose
from loadtests.hardening.sockets import responses_in
from loadtests.hardening.stack import Target
from loadtests.hardening.verdict import Verdict
from loadtests.hardening.watcher import Watched, watching
from loadtests.photos import photos
from loadtests.processes import LOOPBACK

DECLARED_BYTES = 64 * MIB
BIG_BODIES = 16
HALF_HEADERS = 500
SLOW_READERS = 40
HANG_UPS = 60
HOLD_S = 5.0
CLOSED_WITHIN_S = 40.0
PART = "slow clients"


def check_slow_clients(target: Target) -> list[Verdict]:
    """All of them, one after the other."""
    return [
        _declared_and_not_sent(target),
        _a_byte_at_a_time(target),
        _half_sent_headers(target),
        _unread_answers(target),
        _hung_up(target),
    ]


def _declared_and_not_sent(target: Target) -> Verdict:
    head = compose(
        "POST",
        "/v1/classify",
        (("Content-Type", "multipart/form-data; boundary=b"), ("Content-Length", str(DECLARED_BYTES))),
    )
    with _connections(target, BIG_BODIES, head + b"-"):
        refused, watched = _others(target)
    return Verdict(
        PART,
        f"{BIG_BODIES} connections declare 64 MiB and send one byte",
        f"{refused} of others' requests refused; {watched}",
        refused == 0 and watched.failures == 0,
    )


def _a_byte_at_a_time(target: Target) -> Verdict:
    head = compose("POST", "/v1/classify", (("Content-Type", "image/jpeg"), ("Content-Length", "100000")))
    started_at = time.monotonic()
    with _connections(target, 1, head) as (connection,):
        status = None
        while status is None and time.monotonic() - started_at < CLOSED_WITHIN_S:
            with suppress(OSError):
                connection.sendall(b"x")
            status = _status(connection, 0.5)
    took_s = time.monotonic() - started_at
    return Verdict(
        PART,
        "a body of two bytes a second",
        f"status {status} after {took_s:.0f} s" if status else f"open for {took_s:.0f} s",
        status == 408,
    )


def _half_sent_headers(target: Target) -> Verdict:
    with _connections(target, HALF_HEADERS, b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nX-Half: ") as held:
        started_at = time.monotonic()
        refused, watched = _others(target)
        left = HALF_HEADERS
        while left and time.monotonic() - started_at < CLOSED_WITHIN_S:
            left = sum(not _is_closed(connection) for connection in held)
            time.sleep(0.2)
        took_s = time.monotonic() - started_at
    return Verdict(
        PART,
        f"{HALF_HEADERS} half-sent headers",
        f"{refused} of others' requests refused; {left} still open after {took_s:.0f} s; {watched}",
        refused == 0 and left == 0 and watched.failures == 0,
    )


def _unread_answers(target: Target) -> Verdict:
    photo = photos((2000, 3000), ["coffee"])[0]
    headers = (("Content-Type", "image/jpeg"), ("Accept", "image/png"), ("Cache-Control", "no-store"))
    before = target.rss_mib("Gateway")
    request = compose("POST", "/v1/detect", headers, photo)
    with ExitStack() as stack:
        watched = stack.enter_context(watching(target.port))
        stack.enter_context(_connections(target, SLOW_READERS, request, receive_buffer=4096))
        peak, give_up_at = before, time.monotonic() + 30.0
        while time.monotonic() < give_up_at:
            peak = max(peak, target.rss_mib("Gateway"))
            time.sleep(0.5)
    return Verdict(
        PART,
        f"{SLOW_READERS} drawn PNGs that nobody reads",
        f"gateway {before:.0f} → {peak:.0f} MiB at most; {watched}",
        peak - before < 350.0 and watched.failures == 0,
    )


def _hung_up(target: Target) -> Verdict:
    photo = photos((1440, 1920), ["coffee"])[0]
    before = _counts(target)
    headers = (("Content-Type", "image/jpeg"), ("Cache-Control", "no-store"))
    with _connections(target, HANG_UPS, compose("POST", "/v1/segment?model=unet-nuclei", headers, photo)):
        time.sleep(1.0)
    time.sleep(2.0)
    deadline = time.monotonic() + 60.0
    while target.metric("tapetum_requests_in_flight") and time.monotonic() < deadline:
        time.sleep(0.5)
    computed, gone, failed = (after - start for after, start in zip(_counts(target), before, strict=True))
    return Verdict(
        PART,
        f"{HANG_UPS} clients send a large image for a slow model and hang up after a second",
        f"{computed:.0f} images computed, {gone:.0f} requests counted as disconnected, {failed:.0f} as internal_error",
        computed <= HANG_UPS / 4 and failed == 0,
    )


def _counts(target: Target) -> tuple[float, float, float]:
    return (
        target.metric("tapetum_images_total", model="unet-nuclei"),
        target.metric("tapetum_requests_total", outcome="disconnected"),
        target.metric("tapetum_requests_total", outcome="internal_error"),
    )


def _others(target: Target) -> tuple[int, Watched]:
    """What another client sees meanwhile: refused requests of ten a second, and `/healthz`."""
    photo = photos((120, 160), ["coffee"])[0]
    refused = 0
    with watching(target.port) as watched, target.client() as client:
        give_up_at = time.monotonic() + HOLD_S
        while time.monotonic() < give_up_at:
            response = client.post("/v1/classify", content=photo, headers={"content-type": "image/jpeg"})
            refused += response.status_code != 200
            time.sleep(0.1)
    return refused, watched


@contextmanager
def _connections(
    target: Target, count: int, data: bytes, receive_buffer: int | None = None
) -> Iterator[list[socket.socket]]:
    """Connections that have written `data` and do nothing more; closed when the block ends."""
    with ExitStack() as stack:
        held: list[socket.socket] = []
        for _ in range(count):
            connection = stack.enter_context(socket.socket())
            if receive_buffer:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            connection.settimeout(10.0)
            connection.connect((LOOPBACK, target.port))
            with suppress(OSError):
                connection.sendall(data)
            held.append(connection)
        yield held


def _is_closed(connection: socket.socket) -> bool:
    try:
        connection.settimeout(0.0)
        while connection.recv(4096):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _status(connection: socket.socket, patience_s: float) -> int | None:
    """Status of a response that has come; 0 where the connection ended without one, None where nothing has come."""
    connection.settimeout(patience_s)
    try:
        received = connection.recv(2**16)
    except TimeoutError:
        return None
    except OSError:
        return 0
    responses, _ = responses_in(received)
    return responses[0].status if responses else 0
