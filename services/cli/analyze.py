"""`tapetum analyze`: several tasks for one image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from services.answers.image_problem import Problem
from services.answers.model_request import ModelRequest
from services.cli.console import CommandError, Screen, printable
from services.cli.layouts import CLASSES, MASKS, OBJECTS, POSES, Layout
from services.cli.loading import RuntimeOptions, find_model, load_model
from services.cli.options import ApiKey, AsJson, Device, Place, PrecisionOption, Url
from services.cli.prediction import predicted
from services.cli.results import Result
from services.cli.sources import ImageSource, UnreadableSource, find_sources


@dataclass(frozen=True, slots=True)
class _Task:
    """A task of an analysis.

    Attributes:
        task: The task of its models.
        layout: Text format of its answers.
    """

    task: str
    layout: Layout


TASKS: Final[Mapping[str, _Task]] = {
    "classify": _Task("classification", CLASSES),
    "detect": _Task("detection", OBJECTS),
    "pose": _Task("keypoints", POSES),
    "segment": _Task("segmentation", MASKS),
}
"""The tasks by their names."""
MAX_BYTES: Final = 256 * 2**20
"""Larger files are not read; the server's own limit is lower."""


def _split_tasks(text: str | None) -> str | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    for place, name in enumerate(names):
        if name not in TASKS:
            raise typer.BadParameter(f"there is no task {name!r}; there are {', '.join(TASKS)}")
        if name in names[:place]:
            raise typer.BadParameter(f"{name} is given twice")
    return ",".join(names)


def analyze(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="The file, or - for stdin.")],
    tasks: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            callback=_split_tasks,
            help="Tasks, with commas between them: classify, detect, pose, segment; by default all of them, or with "
            "--url every task that has a model loaded there.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TASK=NAME",
            help="Model of a task, such as detect=yolo-person; may be repeated. Or the name of a multi-task network, "
            "such as multitask-person, which answers all tasks.",
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Save the image with all answers drawn on it, as .png or .jpg."),
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
    device: Device = None,
    precision: PrecisionOption = None,
    as_json: AsJson = False,
) -> None:
    """Predict several tasks for one image: classes, objects, poses and masks.

    The models run in this process, one after another, unless --url names a server, which gets the image once. A
    multi-task network, --model NAME, answers all tasks that it has in one pass, in this process or there. A task that
    fails has its error in its place; the others get their answers, and the status is 1.
    """
    if save is not None and save.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise typer.BadParameter("--save takes a file that ends in .png or .jpg")
    place = Place(url, api_key, device, precision)
    whole = model[0] if model and len(model) == 1 and "=" not in model[0] else None
    names, models = tasks.split(",") if tasks else None, _models([] if whole else model or [])
    for task in models if names else ():
        if task not in (names or ()):
            raise typer.BadParameter(f"--model {task}=…: {task} is not one of --tasks")
    screen, (source, *more) = Screen(), find_sources([image])
    if more:
        raise typer.BadParameter("one image at a time")
    if place.url is not None:
        data, results = _from_server(source, names, whole or models, place.url, place.api_key)
    elif whole is not None:
        data, results = _from_network_here(screen, source, names, whole, place)
    else:
        data, results = _from_here(screen, source, names or list(TASKS), models, place)
    if save is not None:
        from services.cli.saving import analysis_picture, write_picture

        found = [one for one in results.values() if not isinstance(one.outcome, Problem)]
        if found:
            write_picture(analysis_picture(found, data, save), save)
        else:
            save = None
    _show(screen, image, results, save, as_json=as_json)
    raise typer.Exit(1 if any(isinstance(one.outcome, Problem) for one in results.values()) else 0)


def _models(given: list[str]) -> dict[str, str]:
    models: dict[str, str] = {}
    for one in given:
        task, _, name = one.partition("=")
        if task not in TASKS or not name:
            raise typer.BadParameter(f"--model {one!r} is not TASK=NAME, such as detect=yolo-person")
        models[task] = name
    return models


def _from_here(
    screen: Screen, source: ImageSource, names: list[str], models: Mapping[str, str], place: Place
) -> tuple[bytes, dict[str, Result]]:
    """The image and the result of each task, predicted one after another in this process."""
    data, results = b"", dict[str, Result]()
    for name in names:
        request = ModelRequest(TASKS[name].task, models.get(name))
        (result,) = predicted(screen, [source], request, place, keep=True)
        if result.image is not None:
            data = result.image
        results[name] = result
    return data, results


def _from_network_here(
    screen: Screen, source: ImageSource, names: list[str] | None, model: str, place: Place
) -> tuple[bytes, dict[str, Result]]:
    """The image and the result of each task, predicted by one pass of a multi-task network in this process.

    Raises:
        CommandError: it is no such network, or has no part for a task.
    """
    entry = find_model("multitask", model)
    from services.cli.local import answer_parts_here
    from services.kinds.multitask import kinds_of_tasks

    kinds = kinds_of_tasks(entry.parts)
    for name in names or ():
        if name not in kinds:
            raise CommandError(f"{entry.name} has no part for {name}; it has {', '.join(kinds)}", 2)
    wanted = {name: kinds[name] for name in names or kinds}
    if source.problem:  # then there is no need to wait for torch
        return b"", dict.fromkeys(wanted, Result.unreadable(source.name, str(source.problem)))
    adapter = load_model(screen, entry, RuntimeOptions(place.device or "cpu", place.precision or "auto"))
    results = answer_parts_here(source, adapter, wanted)
    return next(iter(results.values())).image or b"", results


def _from_server(
    source: ImageSource, names: list[str] | None, models: Mapping[str, str] | str, url: str, api_key: str | None
) -> tuple[bytes, dict[str, Result]]:
    """The image and the result of each task, predicted by a server in one request."""
    from services.client import Client, TapetumError

    try:
        data = source.read(MAX_BYTES)
    except UnreadableSource as error:
        raise CommandError(f"{printable(source.name)}: {error}") from None
    try:
        with Client(url, api_key=api_key) as client:
            parameters: dict[str, Any] = (
                {"model": models}
                if isinstance(models, str)
                else {task: {"model": name} for task, name in models.items()}
            )
            analysis = client.analyze(data, names, **parameters)
            counts: dict[str, Any] = {}
            for answer in analysis.answers.values():
                if not isinstance(answer, TapetumError):
                    with suppress(TapetumError):  # it only decides on colours
                        counts[answer.model] = client.model(answer.model).entry.get("class_count")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    except TapetumError as error:
        raise CommandError(error.message, 2 if error.status == 422 else 1) from None
    return data, {
        task: Result(source.name, Problem(answer.code, answer.message))
        if isinstance(answer, TapetumError)
        else Result(source.name, answer, data, counts.get(answer.model))
        for task, answer in analysis.answers.items()
    }


def _show(screen: Screen, name: str, results: Mapping[str, Result], saved: Path | None, *, as_json: bool) -> None:
    if as_json:
        answers = {task: result.to_dict() for task, result in results.items()}
        more = {} if saved is None else {"saved": printable(str(saved))}
        print(json.dumps({"path": printable(name), "answers": answers, **more}))
        return
    for task, result in results.items():
        if isinstance(result.outcome, Problem):
            screen.err.print(
                Text.assemble((task, "bold"), ": ", (printable(result.outcome.message), "red")), soft_wrap=True
            )
            continue
        layout, rows = TASKS[task].layout, result.outcome.predictions
        if screen.out.is_terminal:
            screen.out.print(Text.assemble((task, "bold"), (f"  {result.outcome.model}", "dim")))
            screen.out.print(layout.table(rows) if rows else Text(layout.nothing, "dim"))
        else:
            for fields in [layout.fields(row) for row in rows] or [(layout.nothing,)]:
                print("\t".join((task, *fields)))
    if saved is not None and screen.out.is_terminal:
        screen.out.print(Text(f"→ {printable(str(saved))}", "dim"))
