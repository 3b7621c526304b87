"""Arguments and options shared by the prediction commands, and checks of their combinations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

import typer

from services.cli.loading import Precision


def check_device(device: str | None) -> str | None:
    """Returns the name of a device, and raises unless it is one.

    Raises:
        BadParameter: It is none of `cpu`, `cuda` and `cuda:N`.
    """
    if device is not None and not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise typer.BadParameter(f"{device!r} is none of cpu, cuda and cuda:N")
    return device


Images = Annotated[
    list[str],
    typer.Argument(metavar="IMAGE", help="Files, quoted globs, folders (recursive), or - for stdin."),
]
Model = Annotated[
    str | None, typer.Option(metavar="NAME", help="Model; by default the bundled one, or the server's default.")
]
Url = Annotated[str | None, typer.Option(metavar="URL", help="Server to use, such as http://localhost:8000.")]
ApiKey = Annotated[str | None, typer.Option(metavar="KEY", envvar="TAPETUM_API_KEY", help="API key for the server.")]
Device = Annotated[
    str | None,
    typer.Option(metavar="cpu|cuda|cuda:N", callback=check_device, help="Device, without --url; cpu by default."),
]
PrecisionOption = Annotated[
    Precision | None,
    typer.Option("--precision", help="Precision of the network, without --url; auto by default."),
]
ContentWeight = Annotated[float, typer.Option(min=0, metavar="W", help="Weight of the photo's content.")]
StyleWeight = Annotated[float, typer.Option(min=0, metavar="W", help="Weight of the style.")]
Smoothness = Annotated[float, typer.Option(min=0, metavar="W", help="Weight of the total variation.")]
ScoreThreshold = Annotated[
    float | None, typer.Option(min=0, max=1, metavar="0…1", help="Drop objects with a lower score.")
]
MaxDetections = Annotated[int | None, typer.Option(min=1, max=1000, metavar="N", help="The most objects in an image.")]
Augment = Annotated[
    bool,
    typer.Option(
        "--augment", help="Test-time augmentation: predict several views of each image and merge them; slower."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line for each image.")]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the model runs: in this process, or on a server.

    Raises:
        typer.BadParameter: On construction, where options of local runs are combined with a server.
    """

    url: str | None
    api_key: str | None
    device: str | None
    precision: Precision | None

    def __post_init__(self) -> None:
        if self.url is not None and (self.device or self.precision):
            raise typer.BadParameter("the server decides on device and precision; leave them out with --url")


IouThreshold = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        metavar="0…1",
        help="IoU threshold of NMS: of objects that overlap by more, only the best one is kept.",
    ),
]
ObjectClasses = Annotated[
    list[str] | None,
    typer.Option("--class", metavar="NAME", help="Only objects of this class, by name or id; may be repeated."),
]
ClassAgnostic = Annotated[
    bool, typer.Option("--class-agnostic", help="NMS across classes: objects also suppress those of other classes.")
]
