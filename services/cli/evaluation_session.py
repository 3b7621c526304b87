"""Runs an evaluation with something to look at, writes its report, and says whether its figures will do."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
from rich.text import Text

from services.accuracy_store import StoreError
from services.cli.console import CommandError, Screen, printable
from services.cli.evaluation_display import evaluation_display, show_figures
from services.client import TapetumError
from services.evaluation.crew import CrewError
from services.evaluation.gates import (
    Condition,
    GateError,
    check_against,
    check_figures,
    read_condition,
)
from services.evaluation.job import Finished, Plan, WrongLabels, evaluate
from services.evaluation.publishing import publish, write_page
from services.evaluation.result import ResultError, read_result
from services.evaluation.run_folder import REPORT, RunFolderError
from services.evaluation.samples import DatasetError
from services.settings import SettingsError, read_settings

_SHOWN_PROBLEMS = 5
"""Wrong labels that the terminal lists; result.json has a hundred."""


@dataclass(frozen=True, slots=True)
class Gates:
    """What the figures of a run must be.

    Attributes:
        least: Bounds on figures.
        drops: Bounds on how far they may have dropped.
        baseline: The result of an earlier run.
    """

    least: Sequence[Condition]
    drops: Sequence[Condition]
    baseline: Mapping[str, Any] | None

    @classmethod
    def of(cls, fail_under: Sequence[str], max_drop: Sequence[str], baseline: Path | None) -> Gates:
        """From the options of the command line.

        Raises:
            CommandError: one of them cannot be meant so.
        """
        try:
            return cls(
                [read_condition(text, name_is_needed=True) for text in fail_under],
                [read_condition(text, name_is_needed=False) for text in max_drop],
                read_result(baseline) if baseline else None,
            )
        except (GateError, ResultError) as error:
            raise CommandError(str(error), 2) from None

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the figures that are bounded."""
        return tuple(bound.name for bound in (*self.least, *self.drops) if bound.name is not None)

    def check(self, result: Mapping[str, Any]) -> list[str]:
        """What does not hold, one line each.

        Raises:
            CommandError: there is no such figure.
        """
        try:
            failures = check_figures(result, self.least)
            if self.baseline is not None:
                failures += check_against(result, self.baseline, self.drops)
        except GateError as error:
            raise CommandError(str(error), 2) from None
        return failures


def run_evaluation(screen: Screen, plan: Plan, gates: Gates, *, record: bool, as_json: bool) -> int:
    """Evaluate, write the report, and show what came of it.

    Returns:
        Exit status: 1 where a gate does not hold.

    Raises:
        CommandError: whatever went wrong that a person can do something about.
        ModelsError: likewise.
    """
    plan = replace(plan, baseline=gates.baseline, figures=gates.figures)
    with _one_line_errors(plan), evaluation_display(screen, plan.asking.model) as display:
        run = evaluate(plan, display.report, display.say)
        display.say("drawing the report")
        page = write_page(run, gates.baseline)
        where = publish(run, page, read_settings()) if record and plan.limit is None else None
        run.folder.clear()
    if as_json:
        screen.out.file.write(orjson.dumps(run.result).decode() + "\n")
    else:
        show_figures(screen, run.result, gates.baseline)
    _show_problems(screen, run)
    screen.err.print(f"report: {printable(run.folder.path / REPORT)}", soft_wrap=True)
    if where is not None:
        screen.err.print(f"recorded in {printable(where)}", soft_wrap=True)
    failures = gates.check(run.result)
    for failure in failures:
        screen.err.print(Text.assemble(("failed: ", "bold red"), printable(failure)), soft_wrap=True)
    return 1 if failures else 0


def _show_problems(screen: Screen, run: Finished) -> None:
    problems = run.data.problems
    if problems:
        screen.err.print(f"{len(problems)} labels were wrong and left out:", style="yellow")
        for problem in problems[:_SHOWN_PROBLEMS]:
            screen.err.print(f"  {printable(str(problem))}", soft_wrap=True)
        if len(problems) > _SHOWN_PROBLEMS:
            screen.err.print("  … the report lists more")
    unknown = run.match.unknown
    if unknown:
        named = ", ".join(unknown[:_SHOWN_PROBLEMS]) + (" …" if len(unknown) > _SHOWN_PROBLEMS else "")
        screen.err.print(f"{len(unknown)} classes are unknown to the model and left out: {printable(named)}")
    failed = run.result["failed"]
    if failed["count"]:
        first = failed["shown"][0]
        example = printable(f"{first['name']}: {first['reason']}")
        screen.err.print(f"{failed['count']} images have no answer, such as {example}", soft_wrap=True)


@contextmanager
def _one_line_errors(plan: Plan) -> Generator[None]:
    try:
        yield
    except WrongLabels as error:
        listed = "\n".join(f"  {printable(str(problem))}" for problem in error.problems)
        raise CommandError(f"{len(error.problems)} labels are wrong:\n{listed}") from None
    except TapetumError as error:
        status = 2 if error.status in (404, 422) else 1
        raise CommandError(f"{plan.asking.url}: {error.message}", status) from None
    except (DatasetError, GateError) as error:
        raise CommandError(str(error), 2) from None
    except (CrewError, RunFolderError, SettingsError, StoreError) as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"{error.filename or plan.output}: {error.strerror or error}") from None
    except KeyboardInterrupt:
        raise CommandError("stopped; the same command goes on", 130) from None
