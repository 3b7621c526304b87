"""One measurement: a load plan run against a running system, with the system's CPU time over the same window."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Protocol

import psutil

from loadtests.load_plan import LoadPlan, LoadResult
from loadtests.processes import SystemFailed, cpu_between

BUSY = ("user", "nice", "system", "irq", "softirq", "steal")
"""Kinds of CPU time that are work; `nice` is that of threads with a lower priority, as those of a model replica."""


@dataclass(frozen=True)
class Measurement:
    """What one run of a plan showed.

    Attributes:
        load: What the load generator saw.
        system_cpu_s: CPU time (user and system) of the system's processes in the measured window.
        other_cores: Cores that were kept busy in it by programs that have no part in the benchmark.
    """

    load: LoadResult
    system_cpu_s: float
    other_cores: float

    @property
    def requests_per_s(self) -> float:
        """Responses with status 200 per second of the window."""
        return self.load.requests / self.load.seconds

    @property
    def system_cpu_ms(self) -> float | None:
        """CPU milliseconds of the system per response; None where there was none."""
        return self.system_cpu_s / self.load.requests * 1e3 if self.load.requests else None

    @property
    def load_cpu_ms(self) -> float | None:
        """CPU milliseconds of the load generator per response; None where there was none."""
        return self.load.load_cpu_s / self.load.requests * 1e3 if self.load.requests else None


class System(Protocol):
    """Something whose CPU time is read, such as a `loadtests.processes.RunningSystem`."""

    def cpu_s(self) -> Mapping[int, float]:
        """CPU time in seconds of every process since its start, by process id."""
        ...


def measure(plan: LoadPlan, system: System) -> Measurement:
    """Run a plan in a process of its own.

    Raises:
        SystemFailed: the load generator broke off.
    """
    generator = subprocess.Popen(
        [sys.executable, "-m", "loadtests.load"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for whoever started it
    )
    try:
        assert generator.stdin is not None and generator.stdout is not None
        generator.stdin.write(json.dumps(asdict(plan)))
        generator.stdin.close()
        _expect(generator.stdout.readline(), "begin")
        before, busy_before = system.cpu_s(), busy_s()
        _expect(generator.stdout.readline(), "end")
        after, busy_after = system.cpu_s(), busy_s()
        result = LoadResult(**json.loads(generator.stdout.readline() or "{}"))
        system_cpu_s = cpu_between(before, after)
        other_cpu_s = busy_after - busy_before - system_cpu_s - result.load_cpu_s
        return Measurement(result, system_cpu_s, max(0.0, other_cpu_s / result.seconds))
    finally:
        generator.kill()
        generator.wait()


def busy_s() -> float:
    """CPU seconds that the machine has worked since its start, less those of this process."""
    times = psutil.cpu_times()._asdict()
    own = psutil.Process().cpu_times()
    return sum(times.get(kind, 0.0) for kind in BUSY) - own.user - own.system


def _expect(line: str, word: str) -> None:
    if line.strip() != word:
        raise SystemFailed(f"the load generator broke off: wanted {word!r}, got {line.strip()!r}")
