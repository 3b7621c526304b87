"""Writes a run of `loadtests.overhead` as the tables of docs/benchmarks.md.

python -m loadtests.tables                     # of runs/overhead.json, where a run leaves what it measured
python -m loadtests.tables runs/other.json
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from loadtests.contenders import ADAPTER, BEFORE, FLOOR, ROOT, TAPETUM
from loadtests.workloads import WORKLOADS

Row = dict[str, Any]

_USUAL: Final = ROOT / "runs" / "overhead.json"
_WITHOUT_NETWORK: Final = {"noop": "no-op model", "cache": "cached"}
_PLACE: Final = re.compile(r", (640×480|1920×1440|100 KB), concurrency (\d+)$|, concurrency (\d+)$")
_CONCURRENCIES: Final = (1, 8, 32)


def main() -> None:
    """Print the tables."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else _USUAL
    print("\n".join(tables(json.loads(path.read_text(encoding="utf-8")))))


def tables(run: Row) -> Iterator[str]:
    """The lines of the tables.

    Args:
        run: What `loadtests.report.write_json` wrote.
    """
    checks = [check["holds"] for check in run["checks"]]
    machine = run["machine"]
    yield f"{machine['date']}: {machine['cores']} cores, {machine['cpu']}; {sum(checks)} of {len(checks)} checks held"
    yield from (f"    {check['what']}" for check in run["checks"] if not check["holds"])
    rows: list[Row] = run["medians"]
    for section in WORKLOADS:
        yield from _head(section.capitalize(), "photo | system | answers/s at 1 / 8 / 32 | p99 ms | CPU ms an answer")
        yield from _speeds([row for row in rows if row["section"] == section])
    yield from _head("No network, and the cache", "what | system | answers/s at 1 / 8 / 32 | p99 ms | CPU ms an answer")
    for section, what in _WITHOUT_NETWORK.items():
        yield from _speeds([row for row in rows if row["section"] == section], what)
    yield from _models([row for row in rows if row["section"] == "models"])
    yield from _evaluation([row for row in rows if row["section"] == "evaluation"])
    yield from _head("Goals", "goal | wanted | reached | ")
    yield from _goals(run["goals"])


def _head(title: str, columns: str) -> list[str]:
    return ["", f"#### {title}", "", f"| {columns} |", f"|{' --- |' * (columns.count('|') + 1)}"]


def _speeds(rows: Sequence[Row], what: str = "") -> Iterator[str]:
    for photo in dict.fromkeys(row["photo"] for row in rows):
        of_photo = [row for row in rows if row["photo"] == photo]
        named = f"{what}, {photo}" if what else photo
        if floor := [row for row in of_photo if row["system"].startswith(FLOOR)]:
            alone = max((row for row in floor if row["concurrency"] == 1), key=_speed)
            full = max((row for row in floor if row["concurrency"] > 1), key=_speed)
            yield f"| {named} | floor | {_both(alone, full, _speed)} |  | {_both(alone, full, _cpu)} |"
        for system in dict.fromkeys(row["system"] for row in of_photo if not row["system"].startswith(FLOOR)):
            of_system = {row["concurrency"]: row for row in of_photo if row["system"] == system}
            bold = "**" if system.startswith(TAPETUM) else ""
            speeds, p99, cpu = (
                " / ".join(number(of_system[each][key]) if each in of_system else "–" for each in _CONCURRENCIES)
                for key in ("requests_per_s", "p99_ms", "system_cpu_ms")
            )
            yield f"| {named} | {bold}{system}{bold} | {bold}{speeds}{bold} | {p99} | {cpu} |"


def _models(rows: Sequence[Row]) -> Iterator[str]:
    now = {row["photo"]: _speed(row) for row in rows if row["system"] == TAPETUM}
    before = {row["photo"]: _speed(row) for row in rows if row["system"] == BEFORE}
    yield from _head("Every bundled model, before and now", "model | before | now | times")
    for model, speed in now.items():
        was = before.get(model)
        times = f"{speed / was:.2f}" if was else "–"
        yield f"| `{model}` | {number(was)} | {number(speed)} | {times} |"


def _evaluation(rows: Sequence[Row]) -> Iterator[str]:
    speeds = {row["system"]: number(_speed(row)) for row in rows}
    if speeds:
        yield from ("", "#### Evaluation", "")
        yield f"{speeds.get(TAPETUM)} images a second through the gateway, {speeds.get(ADAPTER)} through the adapter."


def _goals(goals: Sequence[Row]) -> Iterator[str]:
    """One row for the goals that differ only in photo, concurrency or model."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for goal in goals:
        if goal["reached"] is None:
            continue
        what = _PLACE.sub("", goal["what"])
        place = _PLACE.search(goal["what"])
        if place and (what.startswith(("× floor", "× mosec")) or "CPU" in what):
            what = f"{what}, at {place.group(2) or place.group(3)}"
        if what.startswith(f"× {BEFORE}"):
            what = f"× {BEFORE}, each bundled model"
        groups.setdefault((what, goal["wanted"]), []).append(goal)
    for (what, wanted), several in groups.items():
        values = [goal["reached"] for goal in several]
        met = sum(bool(goal["met"]) for goal in several)
        said = "yes" if met == len(several) else "no" if not met else f"{met} of {len(several)}"
        shown = " / ".join(f"{value:.2f}" for value in values)
        if len(values) > 2:
            shown = f"{min(values):.2f} to {max(values):.2f}"
        yield f"| {what} | {wanted} | {shown} | {said} |"


def number(value: float | None) -> str:
    """A figure with two or three digits that count; – where there is none."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _both(alone: Row, full: Row, of: Any) -> str:
    return f"{number(of(alone))} / {number(of(full))} / –"


def _speed(row: Row) -> float:
    return row["requests_per_s"]


def _cpu(row: Row) -> float | None:
    return row["system_cpu_ms"]


if __name__ == "__main__":
    main()
