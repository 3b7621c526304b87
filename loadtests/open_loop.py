"""Finds the highest rate that a service answers within bounds, under an open loop.

    python -m loadtests.open_loop http://127.0.0.1:8000                # a service that runs
    python -m loadtests.open_loop --peers --with-litserve              # Tapetum and its peers, started in turn

Requests arrive as a Poisson process and latencies count from when each was due (`loadtests.arrivals`). `hits` are
answers from the cache: a few images over and over, sent before the measurement starts. `misses` are images that the
cache cannot have. The highest rate is the one whose p99 and share of errors are within the bounds; a point at which
the generator itself was late is void, and is tried once more.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.table import Table

from loadtests import machine
from loadtests.arrivals import offer
from loadtests.contenders import (
    JPEG,
    Contender,
    fastapi,
    fastapi_with_redis,
    litserve,
    tapetum,
    tapetum_without_cache,
    with_one_model,
)
from loadtests.environments import LITSERVE, NoEnvironment
from loadtests.load_charts import latency_chart
from loadtests.load_plan import ArrivalPlan, RequestPlan, filling
from loadtests.photos import SMALL, body_of_100_kb, photos
from loadtests.point import Bounds, Point, Verdict, point_of
from loadtests.processes import LOOPBACK, SystemFailed, run_generator
from loadtests.rate_search import Found, find_highest_rate
from loadtests.report import figure
from loadtests.scenes import scene
from loadtests.workloads import CLASSIFICATION
from services.local.stack import DEFAULT_CONFIG

CACHED_BODIES: Final = 64

console = Console(width=None if Console().is_terminal else 150)


class Kind(StrEnum):
    """What the cache has of the requests."""

    HITS = "hits"
    MISSES = "misses"


@dataclass(frozen=True)
class Effort:
    """How each point is measured.

    Attributes:
        bounds: What a rate must keep to.
        seconds: Length of a point's measured window.
        warm_up_s: Time before it at the same rate, which does not count.
        connections: Most connections.
        first: Rate of the first point.
    """

    bounds: Bounds = field(default_factory=Bounds)
    seconds: float = 4.0
    warm_up_s: float = 1.0
    connections: int = 256
    first: float = 20.0


@dataclass(frozen=True)
class Curve:
    """What a search showed of one system.

    Attributes:
        system: Its name.
        kind: What the cache had.
        found: The highest rate.
        points: Every point, in the order in which they were measured.
    """

    system: str
    kind: Kind
    found: Found
    points: Sequence[Point]

    @property
    def best(self) -> Point | None:
        """The point of the highest rate within bounds."""
        held = [point for point in self.points if point.verdict is Verdict.HELD and point.rate == self.found.rate]
        return held[-1] if held else None


def measure_point(requests: RequestPlan, rate: float, effort: Effort) -> Point:
    """One point.

    Args:
        requests: What is sent.
        rate: Arrivals a second.
        effort: How to measure.

    Raises:
        SystemFailed: the load generator broke off.
    """
    window = effort.warm_up_s, effort.warm_up_s + effort.seconds
    plan = ArrivalPlan(
        **vars(requests),
        phases=((rate, window[1]),),
        connections=effort.connections,
        max_unanswered=effort.bounds.max_unanswered(rate),
        seed=round(rate * 1000),
    )
    return point_of(rate, window, offer(plan), effort.bounds)


def say(line: str) -> None:
    """Print a line of progress, whatever it holds."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def search(system: str, kind: Kind, requests: RequestPlan, effort: Effort) -> Curve:
    """The highest rate of one system, and the curve on the way there.

    Raises:
        SystemFailed: the load generator broke off.
    """
    points: list[Point] = []

    def measure(rate: float) -> Verdict:
        point = measure_point(requests, rate, effort)
        points.append(point)
        say(f"{system}, {kind}: {describe(point)}")
        if point.first_error:
            say(f"  first {point.first_error}")
        return point.verdict

    return Curve(system, kind, find_highest_rate(measure, effort.first), points)


def describe(point: Point) -> str:
    """One line."""
    failed = ", ".join(f"{count} × {outcome}" for outcome, count in point.errors.items())
    return (
        f"{figure(point.rate)}/s: p50 {figure(point.p50_ms)}, p99 {figure(point.p99_ms)} ms; "
        f"late p99 {figure(point.late_p99_ms)} ms; {failed or 'no errors'}; {point.verdict}"
        + (f", ended early: {point.ended_early}" if point.ended_early else "")
    )


def fill_cache(requests: RequestPlan) -> None:
    """Send every body of `requests.distinct` twice, one after the other.

    Raises:
        SystemFailed: the load generator broke off.
    """
    assert requests.distinct
    plan = filling(requests.host, requests.port, requests.path, requests.headers, requests.bodies, requests.distinct)
    run_generator("loadtests.load", asdict(plan))


def requests_to(url: str, kind: Kind, bodies: tuple[str, ...], headers: dict[str, str]) -> RequestPlan:
    """What is sent to a URL; without a path it is asked to classify.

    Raises:
        typer.BadParameter: not an HTTP URL.
    """
    parts = urlsplit(url)
    try:
        port = parts.port or 80
    except ValueError:
        port = None
    if parts.scheme != "http" or not parts.hostname or port is None:
        raise typer.BadParameter(f"{url}: an address such as http://127.0.0.1:8000 is needed")
    path = parts.path.rstrip("/") + (f"?{parts.query}" if parts.query else "")
    return RequestPlan(
        parts.hostname,
        port,
        path or CLASSIFICATION.path,
        {**JPEG, **headers},
        bodies,
        distinct=CACHED_BODIES if kind is Kind.HITS else 0,
    )


def curve_of_url(requests: RequestPlan, kind: Kind, effort: Effort) -> Curve:
    """The curve of a service that runs already.

    Raises:
        SystemFailed: the load generator broke off.
    """
    if kind is Kind.HITS:
        fill_cache(requests)
    return search(f"{requests.host}:{requests.port}", kind, requests, effort)


def curves_of_peers(kind: Kind, effort: Effort, python: Path | None, folder: Path) -> Iterator[Curve]:
    """The curves of Tapetum and its peers, each of which is started for it and ended after it.

    Hits are those of a model that does nothing, as no model is asked; misses are photos for EfficientNet-Lite0.

    Args:
        kind: What the cache has.
        effort: How to measure.
        python: Interpreter of LitServe's environment; None leaves it out.
        folder: Takes bodies and logs.

    Raises:
        SystemFailed: one of them did not start.
    """
    if kind is Kind.HITS:
        contenders = [tapetum(_config("noop", folder)), fastapi_with_redis()]
        bodies = [body_of_100_kb()]
    else:
        model = CLASSIFICATION.model
        contenders = [tapetum_without_cache(_config(model, folder), CLASSIFICATION), fastapi(CLASSIFICATION)]
        if python is not None:
            contenders.append(litserve(python, CLASSIFICATION))
        bodies = photos(SMALL, CLASSIFICATION.pictures)
    for contender in contenders:
        with _asked(contender, kind, bodies, folder) as requests:
            if kind is Kind.HITS:
                fill_cache(requests)
            yield search(contender.name, kind, requests, effort)


@contextmanager
def _asked(contender: Contender, kind: Kind, bodies: Sequence[bytes], folder: Path) -> Iterator[RequestPlan]:
    """A system that is started, and what is sent to it."""
    files = write_bodies([contender.encode(body) for body in bodies], folder)
    with contender.running(folder) as (_, port):
        yield RequestPlan(
            LOOPBACK,
            port,
            contender.path,
            dict(contender.headers),
            files,
            distinct=CACHED_BODIES if kind is Kind.HITS else None,
        )


def write_bodies(bodies: Sequence[bytes], folder: Path) -> tuple[str, ...]:
    """Write bodies to files of a folder; their paths."""
    paths = [folder / f"body-{number}" for number in range(len(bodies))]
    for path, body in zip(paths, bodies, strict=True):
        path.write_bytes(body)
    return tuple(map(str, paths))


def _config(model: str, folder: Path) -> Path:
    return with_one_model(DEFAULT_CONFIG, model, folder / f"{model}.yaml")


def print_curves(curves: Sequence[Curve], bounds: Bounds) -> None:
    """Print a table with a row for each system and kind."""
    limits = f"p99 ≤ {bounds.p99_ms:g} ms, errors ≤ {bounds.error_share:.1%}"
    table = Table(title=f"Highest rate with {limits}", title_justify="left")
    for heading in ("requests", "system"):
        table.add_column(heading, no_wrap=True)
    for heading in ("req/s", "p50 ms", "p95 ms", "p99 ms", "late p99 ms", "load CPU ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("failed at")
    for curve in curves:
        best = curve.best
        values = (
            [best.rate, best.p50_ms, best.p95_ms, best.p99_ms, best.late_p99_ms, best.load_cpu_ms]
            if best
            else [None] * 6
        )
        failed = f"{figure(curve.found.failed)}/s: {curve.found.why}" if curve.found.failed else ""
        table.add_row(curve.kind, curve.system, *map(figure, values), failed)
    console.print(table)


def write_charts(curves: Sequence[Curve], bounds: Bounds, folder: Path) -> None:
    """Write `open-loop-hits.svg` and `open-loop-misses.svg`, those that were measured."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in Kind:
        drawn = {curve.system: curve.points for curve in curves if curve.kind is kind}
        if drawn:
            path = folder / f"open-loop-{kind}.svg"
            path.write_text(latency_chart(drawn, bounds.p99_ms, f"p99 against rate, {kind}"), encoding="utf-8")
            console.print(f"written: {path}")


def open_loop(
    url: Annotated[str | None, typer.Argument(help="A service that runs; without a path, /v1/classify.")] = None,
    peers: Annotated[bool, typer.Option("--peers", help="Tapetum and its peers instead, started in turn.")] = False,
    with_litserve: Annotated[bool, typer.Option("--with-litserve", help="Among the peers, LitServe too.")] = False,
    only: Annotated[Kind | None, typer.Option(help="Just hits or misses of the cache.")] = None,
    image: Annotated[
        list[Path] | None, typer.Option(help="JPEG to send; may be given again. Made up otherwise.")
    ] = None,
    api_key: Annotated[str | None, typer.Option(envvar="TAPETUM_API_KEY", help="Key of the service.")] = None,
    p99_ms: Annotated[float, typer.Option(min=1, help="Highest p99.")] = 250.0,
    error_share: Annotated[float, typer.Option(min=0, max=1, help="Largest share of errors.")] = 0.001,
    late_ms: Annotated[float, typer.Option(min=1, help="Highest p99 of the generator's own lateness.")] = 25.0,
    seconds: Annotated[float, typer.Option(min=0.5, max=60, help="Length of each point.")] = 4.0,
    first: Annotated[float, typer.Option(min=1, help="Rate of the first point.")] = 20.0,
    connections: Annotated[int, typer.Option(min=1, max=4096, help="Most connections.")] = 256,
    charts: Annotated[Path | None, typer.Option(help="Folder that takes the charts, as SVG.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Takes every point.")] = None,
) -> None:
    """Find the highest rate that a service answers within bounds."""
    if (url is None) != peers:
        raise typer.BadParameter("give a URL or --peers")
    effort = Effort(Bounds(p99_ms, error_share, late_ms), seconds, connections=connections, first=first)
    about = machine.describe()
    curves: list[Curve] = []
    try:
        with tempfile.TemporaryDirectory(prefix="tapetum-open-loop-") as name:
            folder = Path(name)
            python = LITSERVE.python(console.print) if with_litserve else None
            for kind in [only] if only else list(Kind):
                if url is None:
                    curves.extend(curves_of_peers(kind, effort, python, folder))
                else:
                    bodies = [path.read_bytes() for path in image] if image else [scene(SMALL, 0)]
                    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
                    requests = requests_to(url, kind, write_bodies(bodies, folder), headers)
                    curves.append(curve_of_url(requests, kind, effort))
    except (SystemFailed, NoEnvironment, OSError) as error:
        console.print(f"[red]error[/red]: {error}", highlight=False)
        raise typer.Exit(1) from None
    print_curves(curves, effort.bounds)
    console.print(f"busy before: {about['busy_before']:.0%} of the machine")
    if charts:
        write_charts(curves, effort.bounds, charts)
    if json_file:
        document = {"machine": about, "effort": asdict(effort), "curves": [asdict(curve) for curve in curves]}
        known = json.loads(json.dumps(document), parse_constant=lambda _: None)  # JSON has no NaN
        json_file.write_text(json.dumps(known, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    raise typer.Exit(0 if all(curve.best for curve in curves) else 1)


if __name__ == "__main__":
    typer.run(open_loop)
