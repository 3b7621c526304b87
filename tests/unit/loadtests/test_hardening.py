"""The parts of the hardening test that can be wrong without a server to ask."""

from __future__ import annotations

import json
import socket
import threading
from itertools import islice

from loadtests.hardening.mutations import mutants, seed_images
from loadtests.hardening.raw_requests import raw_requests
from loadtests.hardening.shape import error_problem, response_problem
from loadtests.hardening.sockets import exchange, responses_in
from loadtests.hardening.verdict import Verdict, markdown_of
from models.imaging.decoding import decode

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"


def test_a_stream_of_responses_is_taken_apart():
    responses, left_over = responses_in(OK + CHUNKED + OK)
    assert [response.body for response in responses] == [b"ok", b"abc", b"ok"]
    assert left_over == b""


def test_what_is_not_http_is_left_over():
    responses, left_over = responses_in(OK + b"<html>")
    assert len(responses) == 1
    assert left_over == b"<html>"


def test_a_response_to_head_has_no_body():
    responses, left_over = responses_in(b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n", head=True)
    assert [response.status for response in responses] == [200]
    assert left_over == b""


def error_body(request_id: str | None) -> bytes:
    return json.dumps({"error": {"code": "not_found", "message": "m", "request_id": request_id}}).encode()


def test_an_error_must_carry_one_request_id():
    assert error_problem(404, {"x-request-id": "a"}, error_body("a")) is None
    assert error_problem(404, {"x-request-id": "a"}, error_body("b"))
    assert error_problem(404, {}, error_body("a"))
    assert error_problem(404, {}, error_body(None))


def test_an_error_must_be_an_object():
    assert error_problem(400, {"x-request-id": "a"}, b"Invalid HTTP request received.")
    assert error_problem(400, {"x-request-id": "a"}, b"[]")


def test_an_internal_error_is_always_a_problem():
    assert response_problem(500, {"x-request-id": "a"}, error_body("a"))
    assert response_problem(200, {}, b"") is None


def test_an_error_below_v2_is_text():
    assert error_problem(404, {}, b'{"error": "no model"}', open_inference=True) is None
    assert error_problem(404, {"x-request-id": "a"}, error_body("a"), open_inference=True)
    assert error_problem(404, {}, b'{"error": "no model"}')


def test_seed_images_are_whole():
    assert all(decode(image).pixels.shape[2] == 3 for image in seed_images())


def test_the_same_seed_gives_the_same_damage():
    assert list(islice(mutants(3), 20)) == list(islice(mutants(3), 20))
    assert list(islice(mutants(3), 20)) != list(islice(mutants(4), 20))


def test_raw_requests_are_told_apart_by_their_names():
    names = [request.name for request in raw_requests()]
    assert len(names) == len(set(names)) >= 105


def test_an_exchange_tells_whether_the_other_side_closed():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            for closes in (True, False):
                connection, _ = server.accept()
                connection.sendall(OK)
                if closes:
                    connection.close()
                else:
                    kept.append(connection)

        kept: list[socket.socket] = []
        thread = threading.Thread(target=answer)
        thread.start()
        port = server.getsockname()[1]
        assert exchange(port, b"", patience_s=5.0) == (OK, True)
        assert exchange(port, b"", patience_s=0.2) == (OK, False)
        thread.join()
        kept[0].close()


def test_the_table_names_what_did_not_hold():
    table = markdown_of([Verdict("kills", "SIGKILL", "fine", True), Verdict("soak", "memory", "grew", False)])
    assert table.splitlines()[2:] == ["| kills | SIGKILL | fine | yes |", "| soak | memory | grew | **no** |"]
