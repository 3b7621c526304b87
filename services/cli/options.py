"""Arguments and options that the commands for images share, and what they say together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from models.entries import Task
from services.cli.loading import Precision


def _check_device(device: str | None) -> str | None:
    if device is not None and not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise typer.BadParameter(f"{device!r} is none of cpu, cuda and cuda:N")
    return device


Images = Annotated[
    list[str],
    typer.Argument(metavar="IMAGE", help="Files, quoted globs, folders (with those below), or - for stdin."),
]
Model = Annotated[
    str | None, typer.Option(metavar="NAME", help="Model; by default the bundled one, or the server's own.")
]
Url = Annotated[str | None, typer.Option(metavar="URL", help="Ask the server there, such as http://localhost:8000.")]
ApiKey = Annotated[
    str | None, typer.Option(metavar="KEY", envvar="TAPETUM_API_KEY", help="The key that the server asks for.")
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="cpu|cuda|cuda:N", callback=_check_device, help="Where to run, without --url; cpu by default."
    ),
]
PrecisionOption = Annotated[
    Precision | None,
    typer.Option("--precision", help="Arithmetic of the network, without --url; auto by default."),
]
ScoreThreshold = Annotated[
    float | None, typer.Option(min=0, max=1, metavar="0…1", help="Leave out objects with a lower score.")
]
MaxDetections = Annotated[int | None, typer.Option(min=1, max=1000, metavar="N", help="The most objects of an image.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line for each image.")]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about every image.

    Attributes:
        task: What kind of answer is wanted.
        model: Who is to answer; None leaves that open.
        parameters: As the HTTP API names them; what is None is left to the model.
    """

    task: Task
    model: str | None
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Place:
    """Where the question is answered: in this process, or by a server.

    Raises:
        typer.BadParameter: On construction, where a server is told what is its own business.
    """

    url: str | None
    api_key: str | None
    device: str | None
    precision: Precision | None

    def __post_init__(self) -> None:
        if self.url is not None and (self.device or self.precision):
            raise typer.BadParameter("the server decides on device and precision; leave them out with --url")
