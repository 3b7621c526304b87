import asyncio
import io
import itertools
from pathlib import Path

import pytest
from PIL import Image

from loadtests.load import Load
from loadtests.load_plan import LoadPlan, requests_of
from loadtests.photos import LARGE, SMALL, body_of_100_kb, photos, split_for_stamp
from loadtests.workloads import WORKLOADS, Workload

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"
CLOSE = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"


def _plan(tmp_path: Path, port: int, **changes: object) -> LoadPlan:
    body = tmp_path / "body"
    body.write_bytes(b"x" * 10)
    settled: dict[str, object] = {"concurrency": 3, "seconds": 5.0, "max_requests": 50, **changes}
    return LoadPlan("127.0.0.1", port, "/p", {}, (str(body),), **settled)  # pyright: ignore[reportArgumentType]


async def _load_on_a_server_that_answers(answers: list[bytes], tmp_path: Path, **changes: object):
    """Run a plan against a server that gives these answers in turn; an empty one closes the connection."""
    turn = itertools.cycle(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"x" * 10):
                answer = next(turn)
                writer.write(answer)
                if not answer or answer is CLOSE:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        return await Load(_plan(tmp_path, server.sockets[0].getsockname()[1], **changes)).run()


async def test_load_stops_at_its_number_of_requests(tmp_path: Path):
    result = await _load_on_a_server_that_answers([OK], tmp_path)
    assert 50 <= result.requests <= 53 and result.errors == {} and result.seconds < 5


async def test_load_stops_when_its_time_is_over(tmp_path: Path):
    result = await _load_on_a_server_that_answers([OK], tmp_path, seconds=0.2, max_requests=10**6)
    assert result.seconds == pytest.approx(0.2, abs=0.1) and 0 < result.p50_ms <= result.p95_ms <= result.p99_ms


async def test_status_other_than_200_is_an_error_and_no_answer(tmp_path: Path):
    result = await _load_on_a_server_that_answers([OK, BUSY], tmp_path)
    assert result.errors["503"] == pytest.approx(result.total_requests, abs=3)
    assert result.first_error == "503: busy"


async def test_connection_that_the_server_ends_after_an_answer_is_opened_anew(tmp_path: Path):
    result = await _load_on_a_server_that_answers([CLOSE], tmp_path, max_requests=10)
    assert result.requests >= 10 and result.errors == {}


async def test_connection_lost_before_the_answer_is_an_error(tmp_path: Path):
    result = await _load_on_a_server_that_answers([OK, b""], tmp_path, max_requests=10)
    assert result.requests >= 10 and result.errors["connection"] >= 7


async def test_server_that_is_not_there_is_an_error_and_no_endless_wait(tmp_path: Path):
    result = await Load(_plan(tmp_path, 1, seconds=0.2)).run()
    assert result.requests == 0 and result.errors["connection"] >= 3


def _bodies(tmp_path: Path, distinct: int, count: int) -> list[bytes]:
    photo = tmp_path / "photo"
    photo.write_bytes(body_of_100_kb())
    plan = LoadPlan("h", 1, "/", {}, (str(photo),), 1, 1.0, distinct=distinct)
    return [b"".join(parts).partition(b"\r\n\r\n")[2] for parts in itertools.islice(requests_of(plan), count)]


def test_stamped_bodies_never_repeat(tmp_path: Path):
    assert len(set(_bodies(tmp_path, distinct=0, count=100))) == 100


def test_stamped_bodies_repeat_after_their_number(tmp_path: Path):
    bodies = _bodies(tmp_path, distinct=4, count=8)
    assert len(set(bodies)) == 4 and bodies[:4] == bodies[4:]


def test_request_states_the_length_of_its_stamped_body(tmp_path: Path):
    photo = tmp_path / "photo"
    photo.write_bytes(body_of_100_kb())
    plan = LoadPlan("h", 1, "/p?top_k=1", {"Content-Type": "image/jpeg"}, (str(photo),), 1, 1.0, distinct=0)
    head, _, body = b"".join(next(requests_of(plan))).partition(b"\r\n\r\n")
    expected = b"POST /p?top_k=1 HTTP/1.1\r\nHost: h:1\r\nContent-Length: 100012\r\nContent-Type: image/jpeg"
    assert (head, len(body)) == (expected, 100_012)


def test_stamp_leaves_the_picture_as_it_is():
    original = body_of_100_kb()
    before, after = split_for_stamp(original)
    stamped = before + b"\xff\xd9\xff\xd8\0\0\0\1" + after
    assert Image.open(io.BytesIO(stamped)).tobytes() == Image.open(io.BytesIO(original)).tobytes()


def test_body_of_100_kb_has_100_000_bytes():
    assert len(body_of_100_kb()) == 100_000


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_photos_are_eight_different_ones_of_the_size_asked_for(size: tuple[int, int], workload: Workload):
    made = photos(size, workload.pictures)
    assert len(set(made)) == 8
    assert {Image.open(io.BytesIO(data)).size for data in made} == {(size[1], size[0])}
