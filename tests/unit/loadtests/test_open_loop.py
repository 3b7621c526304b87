"""The open loop: when requests are due, what a point is made of, when it is void, and where the search ends."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
import typer

from loadtests.arrivals import Arrival, Arrivals, Offered, due_times, read_offered
from loadtests.load_charts import latency_chart
from loadtests.load_plan import ArrivalPlan
from loadtests.open_loop import Kind, requests_to
from loadtests.point import Bounds, Point, Verdict, point_of
from loadtests.rate_search import PRECISION, find_highest_rate

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"
BODY = b"x" * 10


def test_arrivals_come_at_the_rate_of_each_phase_and_in_order():
    times = list(due_times(((100.0, 50.0), (10.0, 50.0)), seed=3))
    first = [time for time in times if time < 50]
    assert len(first) == pytest.approx(5000, rel=0.05) and len(times) - len(first) == pytest.approx(500, rel=0.15)
    assert times == sorted(times) and times[-1] < 100


def test_gaps_between_arrivals_are_exponential():
    times = list(due_times(((100.0, 100.0),), seed=3))
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert sum(gap > 0.01 for gap in gaps) / len(gaps) == pytest.approx(math.exp(-1), abs=0.02)


def test_same_seed_gives_the_same_arrivals():
    phases = ((50.0, 1.0),)
    assert list(due_times(phases, 7)) == list(due_times(phases, 7)) != list(due_times(phases, 8))


def _offered(arrivals: list[Arrival], ended_early: str | None = None) -> Offered:
    return Offered(arrivals, ended_early, cpu_s=0.05, connections=1, first_error=None)


def _answers(count: int, took_s: float = 0.01, late_s: float = 0.0) -> list[Arrival]:
    return [Arrival(number / count, late_s, took_s, "200") for number in range(count)]


def test_point_has_the_percentiles_of_the_window_and_of_nothing_else():
    arrivals = [Arrival(0.5, 0, 9.0, "200"), *(Arrival(1 + ms / 1000, 0, ms / 1e3, "200") for ms in range(1, 101))]
    point = point_of(50.0, (1.0, 3.0), _offered(arrivals), Bounds())
    assert (point.offered, point.p50_ms, point.p95_ms, point.p99_ms) == (100, 50.0, 95.0, 99.0)
    assert point.goodput == 50.0 and point.verdict is Verdict.HELD


def test_goodput_counts_answers_by_when_they_came():
    arrivals = [Arrival(0.9, 0, 0.2, "200"), Arrival(1.5, 0, 0.1, "200"), Arrival(1.9, 0, 0.2, "200")]
    assert point_of(1.0, (1.0, 2.0), _offered(arrivals), Bounds()).goodput == 2.0


def test_point_of_a_late_generator_is_void_whatever_the_service_did():
    bounds = Bounds(p99_ms=250, late_ms=25)
    for took_s in (0.1, 9.0):
        arrivals = _answers(98, took_s) + [Arrival(0.5, 0.026, took_s, "200")] * 2
        assert point_of(100.0, (0, 1), _offered(arrivals), bounds).verdict is Verdict.VOID
    arrivals = [*_answers(99), Arrival(0.5, 0.026, 0.1, "200")]
    assert point_of(100.0, (0, 1), _offered(arrivals), bounds).verdict is Verdict.HELD


def test_point_that_ended_early_has_exceeded_its_bounds_however_fast_its_answers_were():
    assert point_of(100.0, (0, 1), _offered(_answers(10), "a queue"), Bounds()).verdict is Verdict.EXCEEDED


def test_point_above_its_p99_or_its_share_of_errors_has_exceeded_its_bounds():
    slow = _answers(98) + [Arrival(0.5, 0, 0.3, "200")] * 2
    assert point_of(100.0, (0, 1), _offered(slow), Bounds(p99_ms=250)).verdict is Verdict.EXCEEDED
    one_error = [*_answers(999), Arrival(0.5, 0, 0.01, "503")]
    assert point_of(1e3, (0, 1), _offered(one_error), Bounds()).verdict is Verdict.HELD
    two_errors = [*_answers(998), *[Arrival(0.5, 0, 0.01, "503")] * 2]
    assert point_of(1e3, (0, 1), _offered(two_errors), Bounds()).verdict is Verdict.EXCEEDED


def test_point_without_answers_has_no_percentiles_and_exceeds():
    point = point_of(1.0, (0, 1), _offered([Arrival(0.1, 0, 0.02, "503")]), Bounds())
    assert math.isnan(point.p99_ms) and point.verdict is Verdict.EXCEEDED
    assert point.refused == 1 and point.refused_p99_ms == pytest.approx(20)


def test_run_without_requests_says_nothing():
    assert point_of(1.0, (0, 1), _offered([]), Bounds()).verdict is Verdict.VOID


@pytest.mark.parametrize(("rate", "unanswered"), [(10, 37), (1000, 532)])
def test_run_ends_early_at_twice_the_queue_that_little_allows(rate: float, unanswered: int):
    assert Bounds(p99_ms=250).max_unanswered(rate) == unanswered


def _service(limit: float) -> Callable[[float], Verdict]:
    return lambda rate: Verdict.HELD if rate <= limit else Verdict.EXCEEDED


@pytest.mark.parametrize("limit", [7.0, 20.0, 100.0, 1234.0])
def test_search_comes_within_its_precision_from_below(limit: float):
    found = find_highest_rate(_service(limit), first=20.0)
    assert found.rate is not None and found.failed is not None and found.why is Verdict.EXCEEDED
    assert limit / PRECISION <= found.rate <= limit < found.failed


def test_search_gives_up_where_nothing_holds():
    assert find_highest_rate(_service(0.1), first=20.0).rate is None


def test_search_ends_at_the_most_that_may_be_tried():
    assert find_highest_rate(_service(1e9), first=100.0, most=1000.0).rate == pytest.approx(655.36)


def test_search_says_that_the_generator_was_the_limit():
    found = find_highest_rate(lambda rate: Verdict.HELD if rate <= 50 else Verdict.VOID, first=20.0)
    assert found.why is Verdict.VOID and found.rate is not None and found.rate <= 50


def test_search_forgives_one_failed_try():
    tried: list[float] = []

    def hiccups(rate: float) -> Verdict:
        tried.append(rate)
        return Verdict.HELD if rate <= 100 and tried.count(rate) > 1 else Verdict.EXCEEDED

    found = find_highest_rate(hiccups, first=20.0)
    assert found.rate is not None and 100 / PRECISION <= found.rate <= 100


def _plan(tmp_path: Path, port: int, **changes: object) -> ArrivalPlan:
    body = tmp_path / "body"
    body.write_bytes(BODY)
    settled: dict[str, object] = {"phases": ((200.0, 0.5),), "drain_s": 5.0, **changes}
    return ArrivalPlan("127.0.0.1", port, "/p", {}, (str(body),), **settled)  # pyright: ignore[reportArgumentType]


async def _offer(answer: bytes | None, tmp_path: Path, **changes: object) -> Offered:
    """Run a plan against a server that gives this answer, or none."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(BODY):
                writer.write(answer or b"")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        return await Arrivals(_plan(tmp_path, server.sockets[0].getsockname()[1], **changes)).run()


async def test_every_arrival_ends_once_and_none_before_it_was_due(tmp_path: Path):
    offered = await _offer(OK, tmp_path)
    wanted = list(due_times(((200.0, 0.5),), seed=1))
    assert sorted(arrival.due_s for arrival in offered.arrivals) == wanted
    assert {arrival.outcome for arrival in offered.arrivals} == {"200"}
    assert all(0 <= arrival.late_s <= arrival.took_s for arrival in offered.arrivals)


async def test_status_other_than_200_is_told_with_its_body(tmp_path: Path):
    offered = await _offer(BUSY, tmp_path)
    assert {arrival.outcome for arrival in offered.arrivals} == {"503"} and offered.first_error == "503: busy"


async def test_run_ends_early_where_nothing_is_answered(tmp_path: Path):
    offered = await _offer(None, tmp_path, phases=((500.0, 60.0),), max_unanswered=20, drain_s=0.05)
    assert offered.ended_early is not None and offered.ended_early.startswith("21 requests")
    assert [arrival.outcome for arrival in offered.arrivals] == ["unanswered"] * 21


async def test_connections_are_capped_and_an_arrival_that_waits_for_one_counts_from_when_it_was_due(tmp_path: Path):
    offered = await _offer(None, tmp_path, phases=((200.0, 0.5),), connections=3, drain_s=0.3)
    assert offered.connections == 3
    assert all(arrival.took_s >= 0.3 for arrival in offered.arrivals)


async def test_server_that_is_not_there_fails_every_arrival(tmp_path: Path):
    offered = await Arrivals(_plan(tmp_path, 1)).run()
    assert {arrival.outcome for arrival in offered.arrivals} == {"connection"}


def test_what_came_of_a_plan_survives_json():
    document = {
        "arrivals": [[0.5, 0.0, 0.1, "200"]],
        "ended_early": None,
        "cpu_s": 0.1,
        "connections": 1,
        "first_error": None,
    }
    assert read_offered(document).arrivals == [Arrival(0.5, 0.0, 0.1, "200")]


def _point(rate: float, p99_s: float, verdict_late_s: float = 0.0) -> Point:
    return point_of(rate, (0, 1), _offered(_answers(100, p99_s, verdict_late_s)), Bounds())


def test_chart_is_xml_with_a_curve_for_each_system_and_without_void_points():
    text = latency_chart(
        {"one": [_point(10, 0.01), _point(20, 0.02)], "two & co": [_point(10, 0.05), _point(40, 0.05, 0.9)]}, 250, "t"
    )
    root = ElementTree.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    assert len(list(root.iter(f"{space}circle"))) == 3
    assert {"one", "two & co"} <= {element.text for element in root.iter(f"{space}text")}


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("http://host:8000", ("host", 8000, "/v1/classify")),
        ("http://host/", ("host", 80, "/v1/classify")),
        ("http://host:8000/v1/detect?model=a", ("host", 8000, "/v1/detect?model=a")),
        ("http://[::1]:8000/v1/segment", ("::1", 8000, "/v1/segment")),
    ],
)
def test_url_without_a_path_is_asked_to_classify(url: str, where: tuple[str, int, str]):
    requests = requests_to(url, Kind.MISSES, (), {"X-API-Key": "k"})
    assert (requests.host, requests.port, requests.path) == where
    assert requests.headers == {"Content-Type": "image/jpeg", "X-API-Key": "k"}


@pytest.mark.parametrize("url", ["https://host", "host:8000", "http://", "http://host:port"])
def test_address_that_is_no_http_url_is_refused(url: str):
    with pytest.raises(typer.BadParameter, match=r"http://127\.0\.0\.1:8000 is needed"):
        requests_to(url, Kind.MISSES, (), {})


def test_hits_repeat_and_misses_never_do():
    assert requests_to("http://host", Kind.HITS, (), {}).distinct == 64
    assert requests_to("http://host", Kind.MISSES, (), {}).distinct == 0
