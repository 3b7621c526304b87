"""Shows the labels of a data set that are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from services.cli.console import Screen, printable

if TYPE_CHECKING:
    from models.datasets.samples import LabelProblem

SHOWN_PROBLEMS = 5
"""Wrong labels that the terminal lists."""

STRICT_PROBLEMS = 100
"""The same with `--strict`."""


def show_problems(screen: Screen, problems: Sequence[LabelProblem]) -> None:
    """Print how many labels are wrong, and the first of them; nothing where there is none."""
    if problems:
        lead = "1 label was" if len(problems) == 1 else f"{len(problems):,} labels were"
        tell(screen, f"{lead} wrong, and left out or cut:", "yellow")
        list_problems(screen, problems, SHOWN_PROBLEMS)


def list_problems(screen: Screen, problems: Sequence[LabelProblem], most: int) -> None:
    """Print the first of some problems, one a line."""
    for problem in problems[:most]:
        tell(screen, f"  {problem}")
    if len(problems) > most:
        tell(screen, f"  … and {len(problems) - most:,} more")


def tell(screen: Screen, line: str, style: str = "") -> None:
    """Print one line on standard error without markup: it may hold names from labels."""
    screen.err.print(Text(printable(line), style), soft_wrap=True)
