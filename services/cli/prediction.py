"""The prediction commands: find the images, predict them here or on a server, and print the results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

from services.answers.model_request import ModelRequest
from services.cli.console import CommandError, Screen, closest, no_such_model
from services.cli.display import show_json, show_text
from services.cli.layouts import Layout
from services.cli.loading import RuntimeOptions, find_model, load_model
from services.cli.options import Place
from services.cli.results import Result
from services.cli.sources import ImageSource, find_sources


def predict(
    images: Sequence[str],
    request: ModelRequest,
    place: Place,
    layout: Layout,
    *,
    as_json: bool,
    save: Path | None = None,
    cutout: bool = False,
) -> None:
    """Run a command, and exit with its status: 0, or 1 where an image failed.

    Args:
        images: Arguments of the command line.
        request: Task, model and parameters.
        place: This process or a server.
        layout: Text format of the results.
        as_json: Whether to print JSON instead.
        save: Folder for the images with their predictions drawn on them.
        cutout: Whether to save cut-outs: the pixels of the masks on a transparent background.
    """
    screen = Screen()
    sources = find_sources(images)
    results = predicted(screen, sources, request, place, keep=save is not None)
    if save is not None:
        from services.cli.saving import save_pictures

        results = save_pictures(results, save, cutout=cutout)
    show = show_json if as_json else show_text
    failures = show(screen, results, len(sources), layout)
    raise typer.Exit(1 if failures else 0)


def predicted(
    screen: Screen, sources: Sequence[ImageSource], request: ModelRequest, place: Place, *, keep: bool
) -> Iterator[Result]:
    """The result of each image, in order.

    Args:
        screen: For the progress of downloads.
        sources: The images.
        request: Task, model and parameters.
        place: This process or a server.
        keep: Whether results include their images.
    """
    if place.url is not None:
        return _results_from_server(sources, request, place.url, place.api_key, keep)
    options = RuntimeOptions(place.device or "cpu", place.precision or "auto")
    return _results_from_here(screen, sources, request, options, keep)


def _results_from_server(
    sources: Sequence[ImageSource], request: ModelRequest, url: str, api_key: str | None, keep: bool
) -> Iterator[Result]:
    from services.cli.remote import answer_there
    from services.client import AsyncClient, TapetumError

    try:
        client = AsyncClient(url, api_key=api_key)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    try:
        yield from answer_there(sources, client, request, keep)
    except TapetumError as error:
        if request.model is not None and error.code == "unknown_model":
            raise no_such_model(request.model, error.details.get("known", ())) from None
        raise CommandError(error.message, 2 if error.status == 422 else 1) from None


def _results_from_here(
    screen: Screen, sources: Sequence[ImageSource], request: ModelRequest, options: RuntimeOptions, keep: bool
) -> Iterator[Result]:
    entry = find_model(request.task, request.model)
    if all(source.problem for source in sources):  # then there is no need to wait for torch
        yield from (Result.unreadable(source.name, str(source.problem)) for source in sources)
        return
    from services.cli.local import answer_here
    from services.kinds.completion import UnknownClasses, complete

    adapter = load_model(screen, entry, options)
    try:
        parameters = complete(entry.kind, request.parameters, entry.defaults, adapter.class_names)
    except UnknownClasses as error:
        meant = [name for one in error.unknown for name in closest(str(one), error.known, 1)]
        hint = f"; did you mean {' or '.join(meant)}?" if meant else ""
        raise CommandError(f"{error}{hint}", 2) from None
    yield from answer_here(sources, adapter, request.task, parameters, keep)
