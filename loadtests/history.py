"""The ratios of full runs of the benchmark, kept from commit to commit: `loadtests/history.jsonl`, a run a line."""

from __future__ import annotations

import json
import subprocess
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from loadtests.bench import Bench
from loadtests.contenders import ROOT, TAPETUM
from loadtests.goals import goals
from loadtests.samples import Medians, Sample

HISTORY: Final = Path(__file__).with_name("history.jsonl")
_MACHINE: Final = ("cpu", "cores", "memory_gib", "python", "packages")
"""What a line says of the machine: nothing that names it."""


@dataclass(frozen=True)
class Figure:
    """One figure of a run.

    Attributes:
        values: In each repeat in which it was measured, at least one.
        more_is_better: Whether a larger value is better.
    """

    values: tuple[float, ...]
    more_is_better: bool

    @property
    def median(self) -> float:
        """Over the repeats."""
        return median(self.values)

    def is_worse_than(self, other: Figure) -> bool:
        """Whether every repeat is worse than every repeat of the other: by more than the spread of both."""
        if self.more_is_better:
            return max(self.values) < min(other.values)
        return min(self.values) > max(other.values)


@dataclass(frozen=True)
class Record:
    """One run.

    Attributes:
        commit: Of the working tree, with `-dirty` where it had other changes.
        date: UTC.
        machine: Processor, cores, memory, and versions of Python and packages.
        layout: Of Tapetum: `split` or `colocated`.
        ratios: To peers, to the floor, and CPU times, by what they say. They carry over to other machines.
        speeds: Photos a second of every bundled model, by its name. They do not.
    """

    commit: str
    date: str
    machine: Mapping[str, Any]
    layout: str
    ratios: Mapping[str, Figure]
    speeds: Mapping[str, Figure]


def record_of(bench: Bench, machine: Mapping[str, Any]) -> Record:
    """The record of a run.

    Args:
        bench: What it showed.
        machine: See `loadtests.machine.describe`.
    """
    return Record(
        commit=_commit(),
        date=machine["date"],
        machine={key: machine[key] for key in _MACHINE},
        layout=bench.layout,
        ratios=ratios_of(bench),
        speeds={
            case.photo: Figure(tuple(sample.requests_per_s for sample in samples), True)
            for case, samples in _by_case(bench.samples).items()
            if case.section == "models" and case.system == TAPETUM
        },
    )


def ratios_of(bench: Bench) -> dict[str, Figure]:
    """Every figure that there is a goal for, in every repeat."""
    values: defaultdict[str, list[float]] = defaultdict(list)
    more_is_better: dict[str, bool] = {}
    for samples in _repeats(bench.samples):
        for goal in goals(Medians(samples), bench.layout):
            if goal.reached is not None:
                values[goal.what].append(goal.reached)
                more_is_better[goal.what] = goal.more_is_better
    return {what: Figure(tuple(several), more_is_better[what]) for what, several in values.items()}


def append(record: Record, path: Path = HISTORY) -> None:
    """Append a run, a line of JSON."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(_rounded(asdict(record)), ensure_ascii=False) + "\n")


def read(path: Path = HISTORY) -> list[Record]:
    """All runs, the oldest first; none where there is no file.

    Raises:
        ValueError: a line is no run; the message has its number.
    """
    if not path.exists():
        return []
    records: list[Record] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            records.append(_record(json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path.name}, line {number}: no run of the benchmark: {error}") from None
    return records


def _record(document: dict[str, Any]) -> Record:
    figures = {
        name: {what: Figure(tuple(one["values"]), one["more_is_better"]) for what, one in document[name].items()}
        for name in ("ratios", "speeds")
    }
    return Record(**{**document, **figures})


def _repeats(samples: Sequence[Sample]) -> list[list[Sample]]:
    """The samples of each repeat: the n-th of a case is of the n-th repeat."""
    seen: Counter[tuple[Any, ...]] = Counter()
    repeats: defaultdict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        repeats[seen[sample.case]].append(sample)
        seen[sample.case] += 1
    return [repeats[number] for number in sorted(repeats)]


def _by_case(samples: Sequence[Sample]) -> dict[Any, list[Sample]]:
    found: defaultdict[Any, list[Sample]] = defaultdict(list)
    for sample in samples:
        found[sample.case].append(sample)
    return found


def _rounded(value: Any) -> Any:
    """Four digits of every number with a fraction."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
