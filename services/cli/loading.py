"""Loads and downloads models with a progress display: torch alone takes seconds to import."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from models.entries import Task
from services.cli.console import CommandError, Screen

if TYPE_CHECKING:
    from models.adapter import Adapter
    from models.entries import CatalogEntry
    from models.sources.downloads import Progress as Report

Precision = Literal["auto", "fp32", "bf16", "fp16"]

FAVOURITES: Final[Mapping[Task, str]] = {
    "classification": "efficientnet-lite0",
    "detection": "yolo-person",
    "keypoints": "keypoint-rcnn-person",
    "segmentation": "unet-person",
    "generation": "gan-digits",
    "stylization": "style-stained-glass",
}
"""Default model of each task: the fastest bundled one."""


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """Device and precision from the command line (`models.runtime.Runtime`)."""

    device: str = "cpu"
    precision: Precision = "auto"


def find_model(task: Task, name: str | None) -> CatalogEntry:
    """The catalog entry of a model, or of the default model of the task.

    Raises:
        UnknownModel: there is no such model.
        CommandError: the model is for another task.
    """
    from models.catalog.lookup import find

    entry = find(name or FAVOURITES[task])
    if entry.task != task:
        hint = "; name a model of one task as TASK=NAME, such as detect=yolo-person" if task == "multitask" else ""
        raise CommandError(f"{entry.name} is a model for {entry.task}, not for {task}{hint}", 2)
    return entry


def load_model(screen: Screen, entry: CatalogEntry, options: RuntimeOptions) -> Adapter[Any, Any]:
    """Loads a model, and downloads its weights if needed.

    Raises:
        ModelsError: the weights or the runtime are not available; the message says what to do.
    """
    with screen.err.status(f"loading {entry.name}"):
        from models.catalog.loading import load
        from models.catalog.version_names import join_name
        from models.runtime import Runtime
        from models.sources.weights_files import fetch

        runtime = Runtime(options.device, options.precision)
    if entry.weights.kind != "none":
        with download_bar(screen, entry.name) as report:
            fetch(entry, report)
    with screen.err.status(f"loading {entry.name}"):
        return load(join_name(entry.name, entry.version), runtime)


@contextmanager
def download_bar(screen: Screen, name: str) -> Iterator[Report]:
    """A progress bar on standard error that appears with the first bytes.

    Yields:
        A function to call with the bytes received and the total, or 0 where that is unknown.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=screen.err, transient=True, disable=not screen.err.is_terminal
    ) as progress:
        task = progress.add_task(f"downloading {name}", total=None, visible=False)

        def report(received_bytes: int, all_bytes: int) -> None:
            progress.update(task, completed=received_bytes, total=all_bytes or None, visible=True)

        yield report
