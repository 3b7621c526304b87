"""What every comparison is made with: it sends load to a system, keeps what that showed, and what must hold for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from loadtests.contenders import Contender, with_one_model
from loadtests.goals import Layout
from loadtests.load_plan import LoadPlan
from loadtests.measuring import Measurement, measure
from loadtests.peers import Peer
from loadtests.processes import LOOPBACK, RunningSystem
from loadtests.samples import Case, Sample, sample_of

T = TypeVar("T")

QUIET_CORES = 0.15
"""What other programs may use of the machine before a figure is called in question."""


@dataclass(frozen=True)
class Check:
    """Something that must hold for the figures to mean what they say.

    Attributes:
        what: One line.
        holds: Whether it does.
    """

    what: str
    holds: bool


@dataclass(frozen=True)
class Conditions:
    """How everything is measured.

    Attributes:
        config: Tapetum's Serve configuration file.
        concurrencies: Connections.
        seconds: Length of a measured window.
        warm_up_s: Requests go out this long before it.
        peers: The interpreter of each peer's environment.
        checkout: Of another commit, whose models are compared with those of this one; None leaves it out.
        folder: Takes photos and logs.
        say: Takes lines of progress.
    """

    config: Path
    concurrencies: Sequence[int]
    seconds: float
    warm_up_s: float
    peers: Mapping[Peer, Path]
    checkout: Path | None
    folder: Path
    say: Callable[[str], None]


class Bench:
    """Measures, and keeps what that showed.

    Args:
        conditions: How to measure.

    Attributes:
        conditions: Likewise.
        samples: Every measurement so far.
        checks: Every check so far.
        layout: Of Tapetum, as its processes show it; `split` until they have been seen.
    """

    def __init__(self, conditions: Conditions) -> None:
        self.conditions = conditions
        self.layout: Layout = "split"
        self.samples: list[Sample] = []
        self.checks: list[Check] = []

    def config_for(self, model: str) -> Path:
        """Tapetum's configuration, cut down to one model."""
        return with_one_model(self.conditions.config, model, self.conditions.folder / f"{model}.yaml")

    def write(self, name: str, bodies: Sequence[bytes]) -> tuple[str, ...]:
        """Write bodies of requests to files.

        Args:
            name: Of the files, which are numbered.
            bodies: One for each file.

        Returns:
            Their paths.
        """
        paths = [self.conditions.folder / f"{name.replace(' ', '-')}-{number}" for number in range(len(bodies))]
        for path, body in zip(paths, bodies, strict=True):
            path.write_bytes(body)
        return tuple(map(str, paths))

    def plan(
        self, contender: Contender, port: int, files: tuple[str, ...], concurrency: int, distinct: int | None = None
    ) -> LoadPlan:
        """One measured window; the arguments are those of `LoadPlan`."""
        return LoadPlan(
            host=LOOPBACK,
            port=port,
            path=contender.path,
            headers=dict(contender.headers),
            bodies=files,
            concurrency=concurrency,
            seconds=self.conditions.seconds,
            warm_up_s=self.conditions.warm_up_s,
            distinct=distinct,
        )

    def measure(self, case: Case, plan: LoadPlan, system: RunningSystem) -> Measurement:
        """Run a plan, and keep the sample.

        Raises:
            SystemFailed: the load generator broke off.
        """
        measurement = measure(plan, system)
        self.keep(sample_of(case, measurement))
        if measurement.other_cores > QUIET_CORES:
            where = f"{case.section}, {case.system}, {case.photo}, concurrency {case.concurrency}"
            self.check(f"{where}: other programs kept {measurement.other_cores:.2f} cores busy", False)
        if measurement.load.errors:
            self.conditions.say(f"the end of {case.system}'s log:\n{system.log_end()}")
        return measurement

    def keep(self, sample: Sample) -> None:
        """Keep a sample, and say so."""
        self.samples.append(sample)
        failed = f"   {sum(sample.errors.values())} errors, first {sample.first_error}" if sample.errors else ""
        section, system, photo, concurrency = sample.case
        self.conditions.say(
            f"{section:<14} {system:<28} {photo:<10} × {concurrency:<3} {sample.requests_per_s:8.1f}/s{failed}"
        )

    def check(self, what: str, holds: bool) -> None:
        """Keep a check."""
        self.checks.append(Check(what, holds))


def turned(systems: Sequence[T], turn: int) -> list[T]:
    """The same systems with another one first."""
    turn %= len(systems)
    return [*systems[turn:], *systems[:turn]]
