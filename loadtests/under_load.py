"""About a minute of load on a stack that runs, and one table: Locust's users, then the open loop.

    python -m loadtests.under_load                              # http://127.0.0.1:8000
    python -m loadtests.under_load http://10.0.0.7:8000 --users 40

`users` are those of `loadtests/locustfile.py`, with the bounds of `loadtests/thresholds.yaml`; `open loop` is the
highest rate of `/v1/classify` that `loadtests.open_loop` finds, roughly, for hits and misses of the cache. The exit
status is 1 where a bound was broken or no rate was within bounds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer
from rich.table import Table

from loadtests.contenders import ROOT
from loadtests.open_loop import Curve, Effort, Kind, console, curve_of_url, requests_to, say, write_bodies
from loadtests.photos import SMALL
from loadtests.point import Bounds
from loadtests.processes import SystemFailed
from loadtests.report import figure
from loadtests.scenes import scene
from loadtests.statistic import percentile

FIRST_RATE: Final = {Kind.HITS: 150.0, Kind.MISSES: 20.0}
POINT_S: Final = 1.5


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        part: `users` or `open loop`.
        what: Kind of request.
        rate: Requests a second.
        p50_ms: Half of them took this long or less.
        p95_ms: The same for 95 in 100.
        p99_ms: The same for 99 in 100.
        errors: How many failed, of how many.
    """

    part: str
    what: str
    rate: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    errors: str


def users_rows(entries: Sequence[dict[str, Any]], seconds: float) -> list[Row]:
    """The rows of a Locust run.

    Args:
        entries: What Locust's `--json-file` holds: one for each name of a request, with a count for each response time.
        seconds: Length of the run.
    """
    rows: list[Row] = []
    for entry in sorted(entries, key=lambda one: one["name"]):
        times = sorted(float(ms) for ms, count in entry["response_times"].items() for _ in range(count))
        rows.append(
            Row(
                "users",
                entry["name"],
                entry["num_requests"] / seconds,
                *(percentile(times, share) for share in (0.50, 0.95, 0.99)),
                errors=f"{entry['num_failures']} of {entry['num_requests']}",
            )
        )
    return rows


def run_users(url: str, users: int, seconds: int, folder: Path) -> tuple[list[Row], str, bool]:
    """Run the Locust users.

    Args:
        url: Of the stack.
        users: How many, at the same time.
        seconds: For how long.
        folder: Takes Locust's figures.

    Returns:
        The rows, what Locust says of the thresholds, and whether all were kept.

    Raises:
        SystemFailed: Locust left no figures.
    """
    figures = folder / "locust.json"
    command = [sys.executable, "-m", "locust", "-f", str(ROOT / "loadtests" / "locustfile.py"), "--headless"]
    command += ["--host", url, "--users", str(users), "--spawn-rate", str(users), "--run-time", f"{seconds}s"]
    command += ["--only-summary", "--json-file", str(figures.with_suffix(""))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if not figures.exists():
        raise SystemFailed(f"Locust broke off:\n{done.stderr[-2000:]}")
    said = [line for line in done.stdout.splitlines() if "threshold" in line]
    return users_rows(json.loads(figures.read_text()), seconds), "\n".join(said), done.returncode == 0


def open_loop_row(curve: Curve) -> Row | None:
    """The row of the highest rate; None where there is none."""
    best = curve.best
    if best is None:
        return None
    failed = f"{sum(best.errors.values())} of {best.offered}"
    return Row("open loop", f"classify, {curve.kind}", best.rate, best.p50_ms, best.p95_ms, best.p99_ms, failed)


def print_rows(rows: Sequence[Row]) -> None:
    """Print the table."""
    table = Table(title="Under load", title_justify="left")
    table.add_column("part", no_wrap=True)
    table.add_column("request", no_wrap=True)
    for heading in ("req/s", "p50 ms", "p95 ms", "p99 ms", "failed"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        figures = map(figure, (row.rate, row.p50_ms, row.p95_ms, row.p99_ms))
        table.add_row(row.part, row.what, *figures, row.errors)
    console.print(table)


def under_load(
    url: Annotated[str, typer.Argument(help="Of a stack that runs.")] = "http://127.0.0.1:8000",
    users: Annotated[int, typer.Option(min=1, max=10_000, help="Locust users.")] = 8,
    seconds: Annotated[int, typer.Option(min=3, max=3600, help="Of the Locust run.")] = 20,
    p99_ms: Annotated[float, typer.Option(min=1, help="Bound of the open loop.")] = 250.0,
    api_key: Annotated[str | None, typer.Option(envvar="TAPETUM_API_KEY", help="Key of the stack.")] = None,
) -> None:
    """Send about a minute of load to a stack that runs, and print one table."""
    url = url.rstrip("/")
    if not _is_ready(url):
        console.print(f"[red]error[/red]: no stack is ready at {url}; `make serve` starts one", highlight=False)
        raise typer.Exit(1)
    if api_key:
        os.environ["TAPETUM_API_KEY"] = api_key
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        with tempfile.TemporaryDirectory(prefix="tapetum-load-") as name:
            folder = Path(name)
            rows, said, kept = run_users(url, users, seconds, folder)
            bodies = write_bodies([scene(SMALL, 0)], folder)
            for kind, first in FIRST_RATE.items():
                effort = Effort(Bounds(p99_ms), seconds=POINT_S, warm_up_s=0.5, first=first)
                row = open_loop_row(curve_of_url(requests_to(url, kind, bodies, headers), kind, effort))
                kept = kept and row is not None
                rows += [row] if row else []
    except SystemFailed as error:
        console.print(f"[red]error[/red]: {error}", highlight=False)
        raise typer.Exit(1) from None
    print_rows(rows)
    say(said)
    raise typer.Exit(0 if kept else 1)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5.0, trust_env=False).status_code == 200
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


if __name__ == "__main__":
    typer.run(under_load)
