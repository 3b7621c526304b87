"""Runs an evaluation with a progress display, writes its report, and checks its release gates."""

from __future__ import annotations

import signal
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
from rich.text import Text

from models.datasets.label_problems import WrongLabels
from models.datasets.samples import DatasetError
from services.accuracy.store import StoreError
from services.cli.console import CommandError, Screen, printable
from services.cli.evaluation_checks import check_plan
from services.cli.evaluation_display import counted, evaluation_display, show_figures
from services.cli.label_problems import SHOWN_PROBLEMS, STRICT_PROBLEMS, list_problems, show_problems, tell
from services.client import TapetumError
from services.evaluation.gates import (
    Condition,
    GateError,
    check_against,
    check_figures,
    read_condition,
)
from services.evaluation.job import Finished, Plan, evaluate
from services.evaluation.publishing import publish, write_page
from services.evaluation.report.comparison import Comparison
from services.evaluation.result import ResultError, read_result
from services.evaluation.run_folder import REPORT, RunFolderError
from services.evaluation.worker_pool import WorkerPoolError
from services.settings import SettingsError, read_settings


@dataclass(frozen=True, slots=True)
class Gates:
    """The release gates of a run.

    Attributes:
        least: Lower bounds of figures.
        drops: Largest regressions against the baseline.
        baseline: The result of an earlier run.
    """

    least: Sequence[Condition]
    drops: Sequence[Condition]
    baseline: Mapping[str, Any] | None

    @classmethod
    def of(cls, fail_under: Sequence[str], max_drop: Sequence[str], baseline: Path | None) -> Gates:
        """From the options of the command line.

        Raises:
            CommandError: one of them is invalid.
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
        """Failed gates, one line each.

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
    """Evaluate, write the report, and show the results.

    Returns:
        Exit status: 1 where a gate fails.

    Raises:
        CommandError: an error that the user can fix.
        ModelsError: likewise.
    """
    plan = replace(plan, baseline=gates.baseline, figures=gates.figures)
    with one_line_errors(screen, plan):
        settings = read_settings() if record else None
        plan = with_caps(plan)
        check_plan(plan)
        with evaluation_display(screen, plan.predictor.model) as display:
            run = evaluate(plan, display.report, display.say)
            display.say("drawing the report")
            page = write_page(run, gates.baseline)
            where = publish(run, page, settings) if settings and plan.limit is None else None
            run.folder.clear()
    if as_json:
        screen.out.file.write(orjson.dumps(run.result).decode() + "\n")
    else:
        show_figures(screen, run.result, gates.baseline)
    _show_problems(screen, run)
    tell(screen, f"report: {run.folder.path / REPORT}")
    if where is not None:
        tell(screen, f"recorded in {where}")
    if gates.baseline is not None:
        for remark in Comparison.of(run.result, gates.baseline).remarks:
            tell(screen, f"the baseline was measured otherwise: {remark}")
    failures = gates.check(run.result)
    for failure in failures:
        screen.err.print(Text.assemble(("failed: ", "bold red"), printable(failure)), soft_wrap=True)
    return 1 if failures else 0


def with_caps(plan: Plan) -> Plan:
    """The plan with the image limits of this environment; a gateway has its own."""
    settings = read_settings()
    caps = {"max_image_bytes": settings.max_image_bytes, "max_image_pixels": settings.max_image_pixels}
    return replace(plan, predictor=replace(plan.predictor, **caps))


def _show_problems(screen: Screen, run: Finished) -> None:
    show_problems(screen, run.data.problems)
    unknown = run.match.unknown
    if unknown:
        named = ", ".join(unknown[:SHOWN_PROBLEMS]) + (" …" if len(unknown) > SHOWN_PROBLEMS else "")
        lead = f"{counted(len(unknown), 'class')} of the data that the model does not know, left out"
        tell(screen, f"{lead}: {named}")
    failed = run.result["failed"]
    if failed["count"]:
        first = failed["shown"][0]
        lead = f"{counted(failed['count'], 'image')} without an answer"
        tell(screen, f"{lead}, such as {first['name']}: {first['reason']}")


@contextmanager
def one_line_errors(screen: Screen, plan: Plan) -> Generator[None]:
    """Turn the errors of an evaluation that the user can fix into one line.

    Raises:
        CommandError: One of them.
    """
    try:
        yield
    except WrongLabels as error:
        list_problems(screen, error.problems, STRICT_PROBLEMS)
        raise CommandError(str(error)) from None
    except TapetumError as error:
        status = 2 if error.status in (404, 422) else 1
        url = str(plan.predictor.url)
        raise CommandError(error.message if url in error.message else f"{url}: {error.message}", status) from None
    except (DatasetError, GateError) as error:
        raise CommandError(str(error), 2) from None
    except (WorkerPoolError, RunFolderError, SettingsError, StoreError) as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        place = error.filename or plan.output or "the folder of the run"
        raise CommandError(f"{place}: {error.strerror or error}") from None
    except ValueError as error:  # what a model answered cannot be measured
        raise CommandError(str(error)) from None
    except KeyboardInterrupt as error:
        number = error.args[0] if error.args else signal.SIGINT
        raise CommandError("stopped; the same command goes on", 128 + number) from None
