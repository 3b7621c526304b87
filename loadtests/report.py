"""The tables that a run prints, and the JSON that it leaves."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from loadtests.bench import Bench
from loadtests.contenders import ADAPTER, BEFORE, FASTAPI, FASTAPI_REDIS, FLOOR, LITSERVE, MOSEC, TAPETUM
from loadtests.goals import Goal, floor_of, goals
from loadtests.samples import Medians, Sample
from loadtests.statistic import ratio
from loadtests.workloads import WORKLOADS

TITLES = {
    **{task: workload.title for task, workload in WORKLOADS.items()},
    "noop": "Overhead alone: a model that does nothing, every body new to the cache",
    "cache": "Answers from the cache",
    "protocols": "Protocols of one Tapetum: the no-op model, every body new to the cache, and answers from the cache",
    "models": "Every bundled model, photos of 640×480",
    "evaluation": "Evaluation through the gateway and through the adapter: images a second",
}
_PEERS = {
    **dict.fromkeys(WORKLOADS, (FASTAPI, LITSERVE, MOSEC)),
    "noop": (FASTAPI,),
    "cache": (FASTAPI_REDIS,),
    "models": (BEFORE,),
    "evaluation": (ADAPTER,),
}


def print_report(console: Console, bench: Bench) -> None:
    """Print the medians, the checks and the goals of a run."""
    medians, checks = Medians(bench.samples), bench.checks
    for section, title in TITLES.items():
        if rows := medians.section(section):
            console.print(_table(title, rows, medians))
    for check in checks:
        if not check.holds:
            console.print(f"[red]does not hold[/red]: {check.what}", highlight=False)
    console.print(f"{sum(check.holds for check in checks)} of {len(checks)} checks hold")
    if wanted := goals(medians, bench.layout):
        console.print(goal_table(wanted))


def write_json(path: Path, machine: dict[str, Any], conditions: dict[str, Any], bench: Bench) -> None:
    """Write everything that a run showed: the medians with their ratios, every sample, the checks and the goals."""
    medians = Medians(bench.samples)
    rows = [sample for section in TITLES for sample in medians.section(section)]
    document = {
        "machine": machine,
        "conditions": conditions,
        "layout": bench.layout,
        "goals": [asdict(goal) for goal in goals(medians, bench.layout)],
        "checks": [asdict(check) for check in bench.checks],
        "medians": [{**_flat(sample), "ratios": _ratios(sample, medians)} for sample in rows],
        "samples": [_flat(sample) for sample in bench.samples],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8")


def _flat(sample: Sample) -> dict[str, Any]:
    members = asdict(sample)
    del members["case"]
    return {**sample.case._asdict(), **members}


def _ratios(sample: Sample, medians: Medians) -> dict[str, float]:
    if sample.case.system != TAPETUM:
        return {}
    section, _, photo, concurrency = sample.case
    found = {peer: medians.speed_ratio(sample, peer) for peer in _PEERS[section]}
    if section in WORKLOADS:
        found[FLOOR] = ratio(sample.requests_per_s, floor_of(medians, section, photo, concurrency))
    return {peer: value for peer, value in found.items() if value is not None}


def _table(title: str, rows: Sequence[Sample], medians: Medians) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("photo", no_wrap=True)
    table.add_column("system", no_wrap=True)
    for heading in ("at a time", "req/s", "p50 ms", "p95 ms", "p99 ms", "CPU ms", "load CPU", "errors"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Tapetum is")
    photos = [row.case.photo for row in rows]
    for row in sorted(rows, key=lambda row: (photos.index(row.case.photo), row.case.concurrency)):
        table.add_row(
            row.case.photo,
            row.case.system,
            str(row.case.concurrency),
            figure(row.requests_per_s),
            *(figure(value) for value in (row.p50_ms, row.p95_ms, row.p99_ms, row.system_cpu_ms, row.load_cpu_ms)),
            ", ".join(f"{count} × {kind}" for kind, count in row.errors.items()),
            ", ".join(f"{value:.2f} × {peer}" for peer, value in _ratios(row, medians).items()),
            style="bold" if row.case.system == TAPETUM else None,
        )
    return table


def figure(value: float | None) -> str:
    """A figure with three digits that count, or nothing."""
    if value is None or not math.isfinite(value):
        return ""
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def goal_table(wanted: Sequence[Goal]) -> Table:
    """Goals, what was wanted of each, and what was reached."""
    table = Table(title="Goals", title_justify="left")
    table.add_column("goal")
    table.add_column("wanted", justify="right")
    table.add_column("reached", justify="right")
    table.add_column("")
    for goal in wanted:
        reached = "not measured" if goal.reached is None else figure(goal.reached) or "never"
        table.add_row(goal.what, goal.wanted, reached, {None: "", True: "[green]yes", False: "[red]no"}[goal.met])
    return table
