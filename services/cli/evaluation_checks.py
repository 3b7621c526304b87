"""Validates an evaluation before Ray and the model are started."""

from __future__ import annotations

import os
from pathlib import Path

from models.catalog.lookup import find
from models.catalog.version_names import join_name
from models.datasets.opening import check_spec
from services.cli.console import CommandError
from services.evaluation.job import Plan
from services.evaluation.predictors import PredictorConfig, open_predictor
from services.evaluation.result import ResultError, read_result


def check_plan(plan: Plan) -> None:
    """Raises unless model, data and folder are valid; on a cluster, the model is not checked here.

    Raises:
        CommandError: The URL of the server is invalid, the folder is not one or cannot be written, or it holds the
            finished run of another model or other data.
        UnknownModel: The catalog has no such model.
        TapetumError: The server is unreachable, refuses the key, or has no such model.
        DatasetError: The data set does not exist.
    """
    check_spec(plan.data)
    if plan.output is not None:
        _check_folder(plan.output)
        if not plan.fresh:
            _check_free(plan.output, plan)
    if plan.place.address is None:
        _check_model(plan.predictor)


def _check_model(config: PredictorConfig) -> None:
    if config.through == "adapter":
        find(config.model)
        return
    try:
        open_predictor(config)
    except ValueError as error:
        raise CommandError(str(error), 2) from None


def _check_free(folder: Path, plan: Plan) -> None:
    """Raises if the results of another run would be overwritten."""
    try:
        there = read_result(folder)
        model, data = str(there["model"]["name"]), str(there["data"]["spec"])
        names = (model, join_name(model, str(there["model"].get("version"))))
    except (ResultError, KeyError, TypeError):
        return
    if plan.predictor.model not in names or data != plan.data:
        raise CommandError(
            f"{folder} holds the run of {model} on {data}; name another folder with --output, or --fresh to replace it",
            2,
        )


def _check_folder(folder: Path) -> None:
    """Raises unless a folder exists or can be created."""
    there = folder.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise CommandError(f"{folder} can be no folder: {there} is a file", 2)
    if not os.access(there, os.W_OK | os.X_OK):
        raise CommandError(f"{folder}: nothing can be written in {there}")
