"""Predicts the images of a command in this process, without a server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from models.adapter import Adapter
from models.entries import Kind, Task
from models.kinds import KINDS
from models.parameters import MultitaskParameters, Parameters
from services.answers.image_problem import Problem
from services.answers.local import LocalAnswer, local_answers
from services.cli.console import CommandError
from services.cli.results import Result
from services.cli.sources import ImageSource, UnreadableSource
from services.client.calls import ENDPOINTS
from services.kinds.completion import complete
from services.settings import SettingsError, read_settings


def answer_here(
    sources: Iterable[ImageSource], adapter: Adapter[Any, Any], task: Task, parameters: Parameters, keep: bool = False
) -> Iterator[Result]:
    """Yields the result of each image, in order.

    Args:
        sources: The images.
        adapter: A loaded model.
        task: Its task.
        parameters: Request parameters.
        keep: Whether results include their images.

    Raises:
        CommandError: a setting has an invalid value.
    """
    for local in _predicted(sources, adapter, parameters):
        if isinstance(local.body, Problem):
            yield Result(local.item.name, local.body)
        else:
            answer = ENDPOINTS[task].answer.parse({**_head(adapter), **local.body})  # as if a server had given it
            yield Result(local.item.name, answer, local.image if keep else None, len(adapter.class_names))


def answer_parts_here(source: ImageSource, adapter: Adapter[Any, Any], kinds: Mapping[str, Kind]) -> dict[str, Result]:
    """The results of several tasks for one image, by one pass of a multi-task network with its own defaults.

    Args:
        source: The image.
        adapter: The loaded network.
        kinds: By task, such as `detect`, the kind of the part that answers it.

    Raises:
        CommandError: a setting has an invalid value.
    """
    parts = {kind: adapter.entry.parts[kind] for kind in kinds.values()}
    wanted: dict[str, Any] = {
        kind: complete(kind, {}, {**KINDS[kind].defaults, **part.defaults}, part.class_names)
        for kind, part in parts.items()
    }
    (local,) = _predicted([source], adapter, MultitaskParameters(**wanted))
    if isinstance(local.body, Problem):
        return dict.fromkeys(kinds, Result(source.name, local.body))
    shared = {**_head(adapter), "image": local.body["image"]}
    return {
        task: Result(
            source.name,
            ENDPOINTS[KINDS[kind].task].answer.parse({**shared, **local.body["parts"][kind]}),
            local.image,
            len(parts[kind].class_names),
        )
        for task, kind in kinds.items()
    }


def _head(adapter: Adapter[Any, Any]) -> dict[str, Any]:
    return {"model": adapter.entry.name, "version": adapter.entry.version, "cached": False, "request_id": ""}


def _predicted(
    sources: Iterable[ImageSource], adapter: Adapter[Any, Any], parameters: Parameters
) -> Iterator[LocalAnswer[ImageSource]]:
    try:
        settings = read_settings()
    except SettingsError as error:
        raise CommandError(str(error)) from None
    read = partial(_read, max_bytes=settings.max_image_bytes)
    return local_answers(sources, read, adapter, parameters, settings.max_image_bytes, settings.max_image_pixels)


def _read(source: ImageSource, max_bytes: int) -> bytes | Problem:
    try:
        return source.read(max_bytes)
    except UnreadableSource as error:
        return Problem("unreadable_file", str(error))
