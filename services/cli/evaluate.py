"""`tapetum evaluate`: measures the accuracy of a model on a labelled data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import typer

from services.cli.console import Screen
from services.cli.evaluate_options import DEFAULT_DASHBOARD, DEFAULT_URL, EvaluateOptions
from services.cli.option_groups import takes

if TYPE_CHECKING:
    from services.evaluation.job import Plan


_KINDS: Final = {"classify": "classification", "detect": "detection", "segment": "instance", "semantic": "semantic"}
"""The kinds of predictions, by the names of --task."""


@takes(EvaluateOptions)
def evaluate(options: EvaluateOptions) -> None:
    """Evaluate a model on labelled images, with the serving code, and write a report.

    The folder of the run gets result.json (figures with 95 % intervals, and what they depend on), predictions.json in
    COCO's format, and report.html. A run that was stopped goes on when the same command is given again. Labels that
    are wrong are left out, counted and listed. The status is 1 where a condition of --fail-under or --max-drop does
    not hold.
    """
    if options.submit:
        from services.cli.submitting import submit_job

        raise typer.Exit(submit_job(Screen(), options.address or DEFAULT_DASHBOARD, options.api_key))
    options.check()
    from services.cli.evaluation_session import Gates, run_evaluation

    plan = _plan(options)
    gates = Gates.of(options.fail_under or [], options.max_drop or [], options.baseline)
    raise typer.Exit(run_evaluation(Screen(), plan, gates, record=options.record, as_json=options.as_json))


def _plan(options: EvaluateOptions) -> Plan:
    from services.evaluation.job import Plan
    from services.evaluation.kinds.kind_evaluation import Thresholds
    from services.evaluation.predictors import PredictorConfig
    from services.evaluation.worker_pool import Place, default_workers

    cpus = options.worker_cpus if options.worker_cpus is not None else (0.0 if options.address else 1.0)
    return Plan(
        PredictorConfig(
            options.model,
            options.through,
            (options.url or DEFAULT_URL) if options.through == "gateway" else None,
            options.api_key,
            options.device or "cpu",
            options.precision or "auto",
            _KINDS[options.task] if options.task is not None else None,
        ),
        options.data,
        options.limit,
        Thresholds(options.score_threshold, options.iou_threshold, options.max_detections),
        Place(options.workers or default_workers(), options.address, cpus, options.worker_gpus),
        options.output,
        options.fresh,
        options.strict,
        allow_outside=options.allow_outside,
        augment=options.augment,
    )
