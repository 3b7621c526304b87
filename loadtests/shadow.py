"""Measures what a shadow version costs the requests beside it: latencies with and without, in one run.

    python -m loadtests.shadow
    python -m loadtests.shadow --rate 8 --share 1 --seconds 15 --rounds 3

Starts Tapetum with one detector in two versions of the same weights, and sends photos that the cache does not have at
a fixed rate. Rounds without a shadow and rounds in which version 2 is the shadow of a share of the requests take turns,
so that whatever else the machine does falls on both alike. What must hold:

    latency     p99 with a shadow at most 1.25 times that without
    failures    nothing but answers
    shadow      at least one image ran, or nothing was measured

The rate must be one that the service answers without a queue: a shadow only runs where no image waits.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml

from loadtests import machine
from loadtests.arrivals import Arrival, offer
from loadtests.contenders import JPEG, tapetum
from loadtests.goals import Goal, judged
from loadtests.load_plan import ArrivalPlan, RequestPlan
from loadtests.open_loop import console, say, write_bodies
from loadtests.photos import SMALL, photos
from loadtests.point import OK, ordered_ms
from loadtests.processes import LOOPBACK, SystemFailed, get
from loadtests.report import figure, goal_table
from loadtests.statistic import percentile, ratio
from loadtests.workloads import DETECTION
from services.client import Client
from services.client.administration import change_plan

MOST_RATIO: Final = 1.25
ADMIN_KEY: Final = "benchmark-of-a-shadow-version"
SETTLE_S: Final = 3.0
"""Seconds after a change of the plan until every gateway has read it."""

_WEIGHTS: Final = Path(__file__).parent.parent / "models" / "weights"


@dataclass(frozen=True)
class Rounds:
    """Rounds of the same kind.

    Attributes:
        arrivals: Their requests.
        shadows: Images that the shadow answered meanwhile.
        dropped: Images that it did not run.
    """

    arrivals: Sequence[Arrival] = ()
    shadows: float = 0
    dropped: float = 0

    @property
    def answered_ms(self) -> list[float]:
        """Latencies of the answers in ascending order."""
        return ordered_ms(arrival.took_s for arrival in self.arrivals if arrival.outcome == OK)

    @property
    def failed(self) -> int:
        """Requests without an answer."""
        return sum(arrival.outcome != OK for arrival in self.arrivals)

    def and_then(self, arrivals: Sequence[Arrival], shadows: float, dropped: float) -> Rounds:
        """These, and one more."""
        return Rounds((*self.arrivals, *arrivals), self.shadows + shadows, self.dropped + dropped)


def goals_of(without: Rounds, beside: Rounds) -> list[Goal]:
    """What must hold, and whether it does.

    Args:
        without: Rounds without a shadow.
        beside: Rounds with one.
    """
    p99_ms = [percentile(rounds.answered_ms, 0.99) for rounds in (beside, without)]
    return [
        judged("p99 with a shadow, of that without", "≤", MOST_RATIO, ratio(*p99_ms)),
        judged("requests without an answer", "≤", 0, without.failed + beside.failed),
        judged("images that the shadow answered", "≥", 1, beside.shadows),
    ]


def write_two_versions(folder: Path, model: str) -> Path:
    """Write a further version 2 of a bundled model, with the same weights, and a configuration that serves both.

    Returns:
        The configuration file.
    """
    card = json.loads((_WEIGHTS / f"{model}.json").read_text(encoding="utf-8"))
    name = f"{model}@2"
    (folder / f"{name}.json").write_text(json.dumps({**card, "version": "2"}), encoding="utf-8")
    shutil.copy(_WEIGHTS / card["weights"]["file"], folder)
    deployment = {"name": "Detector", "task": DETECTION.task, "models": [f"{model}@{card['version']}", name]}
    document: dict[str, Any] = {
        "applications": [
            {
                "name": "tapetum",
                "route_prefix": "/",
                "import_path": "services.app:build",
                "args": {
                    "gateway": {"num_cpus": 0.5},
                    "deployments": [{**deployment, "num_cpus": 0.5, "max_batch_size": 8}],
                    "version_policy": {model: card["version"]},
                },
            }
        ]
    }
    config = folder / "two-versions.yaml"
    config.write_text(yaml.safe_dump(document), encoding="utf-8")
    return config


def images_by_outcome(port: int) -> Mapping[str, float]:
    """Images for the shadow since the service started, by their outcome."""
    _, text = get(port, "/metrics")
    counts: dict[str, float] = {}
    for line in text.decode().splitlines():
        series, _, value = line.rpartition(" ")
        if series.startswith("tapetum_shadow_images_total{"):
            outcome = series.partition('outcome="')[2].partition('"')[0]
            counts[outcome] = counts.get(outcome, 0.0) + float(value)
    return counts


def run_rounds(
    port: int, requests: RequestPlan, rate: float, seconds: float, rounds: int, share: float
) -> list[Rounds]:
    """Send rounds without and with a shadow, by turns.

    Args:
        port: Of the service.
        requests: What is sent.
        rate: Arrivals a second.
        seconds: Length of a round.
        rounds: Of each kind.
        share: Share of the requests that the shadow also answers.

    Returns:
        The rounds without a shadow, and those with one.
    """
    kinds = [Rounds(), Rounds()]
    with Client(f"http://{LOOPBACK}:{port}", api_key=ADMIN_KEY) as client:
        for number in range(2 * rounds):
            kind = number % 2
            shadow = {"version": "2", "share": share} if kind else None
            client.send(change_plan(DETECTION.model, {"shadow": shadow}))
            time.sleep(SETTLE_S)
            before = images_by_outcome(port)
            offered = offer(ArrivalPlan(**vars(requests), phases=((rate, seconds),), seed=number // 2 + 1))
            after = images_by_outcome(port)
            shadows, dropped = (after.get(name, 0.0) - before.get(name, 0.0) for name in ("ok", "dropped"))
            kinds[kind] = kinds[kind].and_then(offered.arrivals, shadows, dropped)
    return kinds


def print_rounds(without: Rounds, beside: Rounds, goals: Sequence[Goal]) -> None:
    """Print the figures, and what must hold."""
    for name, rounds in (("without a shadow", without), ("with a shadow", beside)):
        p50_ms, p99_ms = (percentile(rounds.answered_ms, share) for share in (0.5, 0.99))
        say(
            f"{name}: {len(rounds.arrivals)} requests, {rounds.failed} failed, p50 {figure(p50_ms)} ms, "
            f"p99 {figure(p99_ms)} ms; images of the shadow: {rounds.shadows:g} answered, {rounds.dropped:g} dropped"
        )
    console.print(goal_table(goals))


def shadow(
    rate: Annotated[float, typer.Option(min=0.1, help="Requests a second.")] = 8.0,
    share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the requests for the shadow.")] = 1.0,
    seconds: Annotated[float, typer.Option(min=1.0, max=120.0, help="Length of a round.")] = 15.0,
    rounds: Annotated[int, typer.Option(min=1, max=20, help="Rounds of each kind.")] = 3,
) -> None:
    """Measure p99 with and without a shadow; the status is 1 where something that must hold does not."""
    about = machine.describe()
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            config = write_two_versions(folder, DETECTION.model)
            environment = {"TAPETUM_CATALOG": str(folder), "TAPETUM_ADMIN_KEYS": ADMIN_KEY}
            contender = replace(tapetum(config), path=DETECTION.path, environment=environment)
            files = write_bodies(photos(SMALL, DETECTION.pictures), folder)
            with contender.running(folder) as (_, port):
                requests = RequestPlan(LOOPBACK, port, contender.path, dict(JPEG), files, distinct=0)
                without, beside = run_rounds(port, requests, rate, seconds, rounds, share)
    except (SystemFailed, OSError) as error:
        console.print(f"[red]error[/red]: {error}", highlight=False)
        raise typer.Exit(1) from None
    goals = goals_of(without, beside)
    print_rounds(without, beside, goals)
    console.print(f"busy before: {about['busy_before']:.0%} of the machine")
    raise typer.Exit(0 if all(goal.met for goal in goals) else 1)


if __name__ == "__main__":
    typer.run(shadow)
