"""Predicts the images of a command in this process, without a server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from models.adapter import Adapter
from models.entries import Task
from models.parameters import Parameters
from services.answers.image_problem import Problem
from services.answers.local import local_answers
from services.cli.console import CommandError
from services.cli.results import Result
from services.cli.sources import ImageSource, UnreadableSource
from services.client.calls import ENDPOINTS
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
    head = {"model": adapter.entry.name, "version": adapter.entry.version, "cached": False, "request_id": ""}
    try:
        settings = read_settings()
    except SettingsError as error:
        raise CommandError(str(error)) from None
    read = partial(_read, max_bytes=settings.max_image_bytes)
    caps = settings.max_image_bytes, settings.max_image_pixels
    for local in local_answers(sources, read, adapter, parameters, *caps):
        if isinstance(local.body, Problem):
            yield Result(local.item.name, local.body)
        else:
            answer = ENDPOINTS[task].answer.parse({**head, **local.body})  # as if a server had given it
            yield Result(local.item.name, answer, local.image if keep else None, len(adapter.class_names))


def _read(source: ImageSource, max_bytes: int) -> bytes | Problem:
    try:
        return source.read(max_bytes)
    except UnreadableSource as error:
        return Problem("unreadable_file", str(error))
