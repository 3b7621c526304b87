import pytest

from loadtests.http_response import MalformedResponse, Response, ResponseParser

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def test_whole_response_in_one_piece():
    assert ResponseParser().feed(WHOLE) == Response(200, b"{}", keep_alive=True)


@pytest.mark.parametrize("cut", range(1, len(WHOLE)))
def test_response_cut_anywhere_is_put_together(cut: int):
    parser = ResponseParser()
    assert parser.feed(WHOLE[:cut]) is None
    assert parser.feed(WHOLE[cut:]) == Response(200, b"{}", keep_alive=True)


def test_parser_reads_the_next_response_of_the_connection():
    parser = ResponseParser()
    parser.feed(WHOLE)
    assert parser.feed(WHOLE.replace(b"200 OK", b"503 Busy")) == Response(503, b"{}", keep_alive=True)


def test_response_without_a_body_ends_with_its_head():
    assert ResponseParser().feed(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n") == Response(204, b"", True)


def test_header_names_and_values_are_read_in_any_case():
    head = b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH:1\r\nConnection: Close\r\n\r\n"
    assert ResponseParser().feed(head + b"x") == Response(200, b"x", keep_alive=False)


def test_http_1_0_does_not_keep_the_connection():
    response = ResponseParser().feed(b"HTTP/1.0 503 Unavailable\r\nContent-Length: 0\r\n\r\n")
    assert response is not None and not response.keep_alive


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 abc\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        WHOLE + b"more",
    ],
    ids=["not HTTP", "no status", "chunked", "bytes after the end"],
)
def test_what_is_no_single_response_with_a_length_is_refused(data: bytes):
    with pytest.raises(MalformedResponse):
        ResponseParser().feed(data)
