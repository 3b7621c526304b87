"""`tapetum classify`: finds the images, has them classified here or by a server, and shows what comes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from services.cli.console import CommandError, Screen, no_such_model
from services.cli.display import show_json, show_text
from services.cli.loading import Precision, RuntimeOptions, find_model, load_model
from services.cli.results import Result
from services.cli.sources import ImageSource, find_sources


def _check_device(device: str | None) -> str | None:
    if device is not None and not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise typer.BadParameter(f"{device!r} is none of cpu, cuda and cuda:N")
    return device


def classify(
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE", help="Files, quoted globs, folders (with those below), or - for stdin."),
    ],
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Model; by default the first one of the list, or the server's own."),
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, max=1000, metavar="K", help="How many classes to show.")] = 5,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="Ask the server there, such as http://localhost:8000.")
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(metavar="KEY", envvar="TAPETUM_API_KEY", help="The key that the server asks for.")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="cpu|cuda|cuda:N", callback=_check_device, help="Where to run, without --url; cpu by default."
        ),
    ] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="Arithmetic of the network, without --url; auto by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line for each image.")] = False,
) -> None:
    """Tell what is in images: the most probable classes of each.

    The model runs in this process, unless --url names a server. An image that cannot be read gets an error in its
    place; the others get their answers, and the status is 1.
    """
    screen = Screen()
    sources = find_sources(images)
    if url is None:
        results = _results_from_here(
            screen, sources, model, top_k, RuntimeOptions(device or "cpu", precision or "auto")
        )
    elif device or precision:
        raise typer.BadParameter("the server decides on device and precision; leave them out with --url")
    else:
        results = _results_from_server(sources, url, api_key, model, top_k)
    show = show_json if as_json else show_text
    failures = show(screen, results, len(sources))
    raise typer.Exit(1 if failures else 0)


def _results_from_server(
    sources: Sequence[ImageSource], url: str, api_key: str | None, model: str | None, top_k: int
) -> Iterator[Result]:
    from services.cli.remote import classify_there
    from services.client import AsyncClient, TapetumError

    try:
        client = AsyncClient(url, api_key=api_key)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    try:
        yield from classify_there(sources, client, model, top_k)
    except TapetumError as error:
        if model is not None and error.code == "unknown_model":
            raise no_such_model(model, error.details.get("known", ())) from None
        raise CommandError(error.message) from None


def _results_from_here(
    screen: Screen, sources: Sequence[ImageSource], model: str | None, top_k: int, runtime: RuntimeOptions
) -> Iterator[Result]:
    entry = find_model(model)
    if all(source.problem for source in sources):  # then there is no need to wait for torch
        yield from (Result.unreadable(source.name, str(source.problem)) for source in sources)
        return
    from services.cli.local import classify_here

    yield from classify_here(sources, load_model(screen, entry, runtime), top_k)
