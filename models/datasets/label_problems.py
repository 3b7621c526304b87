"""Collects wrong labels, with file and line, while a data set is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from models.datasets.samples import LabelProblem, ProblemKind

Report = Callable[[ProblemKind, str], None]
"""Takes a problem at a place that the caller knows: its kind, and a sentence."""


TellProblems = Callable[[Sequence[LabelProblem]], None]
"""Takes the labels that are wrong, and were left out."""


class WrongLabels(Exception):
    """Labels are wrong, and `--strict` stops at that.

    Args:
        problems: All of them.
    """

    def __init__(self, problems: Sequence[LabelProblem]) -> None:
        lead = "1 label is" if len(problems) == 1 else f"{len(problems):,} labels are"
        super().__init__(f"{lead} wrong, and --strict stops at that")
        self.problems = tuple(problems)


class ProblemList:
    """Problems, as they are found."""

    def __init__(self) -> None:
        self._found: list[LabelProblem] = []

    def add(self, kind: ProblemKind, file: Path | str, line: int | None, message: str) -> None:
        """Adds a problem; see `LabelProblem`."""
        self._found.append(LabelProblem(kind, str(file), line, message))

    def at(self, file: Path | str, line: int | None) -> Report:
        """Gives what takes the problems of one place."""
        return lambda kind, message: self.add(kind, file, line, message)

    def in_order(self) -> tuple[LabelProblem, ...]:
        """Gives all, by file and line; those of one line in the order in which they were found."""
        return tuple(sorted(self._found, key=lambda problem: (problem.file, problem.line or 0)))
