"""Compares the last full run of the benchmark with the one before: `make bench-compare`.

A figure is worse where every repeat of the last run is worse than every repeat of the one before. The exit status is 1
where one is. Speeds of models are compared only between runs on the same kind of machine.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from loadtests.history import HISTORY, Figure, Record, read
from loadtests.report import figure


@dataclass(frozen=True)
class Change:
    """One figure in two runs.

    Attributes:
        what: What it says.
        before: In the earlier run; None where it was not measured.
        last: In the later one; likewise.
    """

    what: str
    before: Figure | None
    last: Figure | None

    @property
    def verdict(self) -> str:
        """`better` or `worse` by more than the spread of the repeats, else nothing."""
        if self.before is None or self.last is None:
            return ""
        if self.last.is_worse_than(self.before):
            return "worse"
        return "better" if self.before.is_worse_than(self.last) else ""


def compare(before: Record, last: Record) -> list[Change]:
    """Every figure of two runs; speeds only where both are of the same kind of machine."""
    changes = [*_changes(before.ratios, last.ratios)]
    if _is_same_machine(before, last):
        speeds = _changes(before.speeds, last.speeds)
        changes += [Change(f"photos a second, {change.what}", change.before, change.last) for change in speeds]
    return changes


def table_of(before: Record, last: Record, changes: list[Change]) -> Table:
    """The changes, a row each."""
    table = Table(title=f"{before.commit} ({before.date}) and {last.commit} ({last.date})", title_justify="left")
    table.add_column("figure")
    for heading in ("before", "last", "last / before"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    styles = {"worse": "red", "better": "green"}
    for change in changes:
        times = change.last.median / change.before.median if change.before and change.last else None
        shown = [_shown(change.before), _shown(change.last), figure(times)]
        table.add_row(change.what, *shown, change.verdict, style=styles.get(change.verdict))
    return table


def main() -> int:
    """Print the comparison; the exit status."""
    console = Console(width=None if Console().is_terminal else 150, highlight=False)
    try:
        records = read()
    except ValueError as error:
        console.print(f"error: {error}", markup=False)
        return 2
    if len(records) < 2:
        console.print(f"{HISTORY.name} has {len(records)} runs: two are needed, of `make bench`")
        return 2
    before, last = records[-2:]
    changes = compare(before, last)
    console.print(table_of(before, last, changes))
    if not _is_same_machine(before, last):
        console.print("The machines differ: only ratios are compared.")
    if before.layout != last.layout:
        console.print(f"The layouts differ: {before.layout} before, {last.layout} now.")
    worse = [change.what for change in changes if change.verdict == "worse"]
    console.print("\n".join(["Worse by more than the spread:", *worse]) if worse else "Nothing is worse.", markup=False)
    return int(bool(worse))


def _changes(before: Mapping[str, Figure], last: Mapping[str, Figure]) -> Iterator[Change]:
    for what in {**before, **last}:
        yield Change(what, before.get(what), last.get(what))


def _is_same_machine(one: Record, other: Record) -> bool:
    return all(one.machine[key] == other.machine[key] for key in ("cpu", "cores"))


def _shown(one: Figure | None) -> str:
    if one is None:
        return ""
    low, high = min(one.values), max(one.values)
    return figure(one.median) if low == high else f"{figure(one.median)} ({figure(low)}–{figure(high)})"


if __name__ == "__main__":
    sys.exit(main())
