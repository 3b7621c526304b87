"""`tapetum stylize`: a photo in the style of a picture, by Gatys' optimisation."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.text import Text

from services.cli.console import CommandError, Screen, printable
from services.cli.option_groups import takes
from services.cli.options import ContentWeight, Smoothness, StyleWeight, check_device
from services.cli.picture_files import check_suffix, replace_picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.stylization.gatys import Frame, StyleSettings


@dataclass(frozen=True, kw_only=True)
class StylizeFlags:
    """Arguments and options of `tapetum stylize`."""

    content: Annotated[Path, typer.Argument(metavar="CONTENT", help="The photo.")]
    style: Annotated[
        str, typer.Argument(metavar="STYLE", help="The picture with the style, or stained-glass, drawn by code.")
    ]
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File to write, which is replaced: .png, .jpg or .webp; by default CONTENT-STYLE.png here.",
        ),
    ] = None
    size: Annotated[int, typer.Option(min=16, max=4096, help="Long side of the result in pixels, at most.")] = 384
    style_size: Annotated[int, typer.Option(min=16, max=4096, help="Long side of the style picture in pixels.")] = 256
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Steps of the optimisation.")] = 300
    content_weight: ContentWeight = 6.0
    style_weight: StyleWeight = 30.0
    smoothness: Smoothness = 4.0
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of noise and shifts: the same seed, same picture.")] = 0
    keep_colours: Annotated[
        bool, typer.Option("--keep-colours", help="Keep the photo's colours: change its luminance only.")
    ] = False
    start: Annotated[Literal["content", "noise"], typer.Option(help="Start from the photo, or from noise.")] = "content"
    features: Annotated[
        Literal["efficientnet-lite0", "vgg19"],
        typer.Option(help="Network whose feature maps are compared; the weights of vgg19 are downloaded once."),
    ] = "efficientnet-lite0"
    preview_every: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Steps between previews, a multiple of 10: OUTPUT-0100.png …; 0: none."),
    ] = 100
    device: Annotated[str, typer.Option(metavar="DEVICE", callback=check_device, help="cpu, cuda or cuda:N.")] = "cpu"
    address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A running Ray cluster; by default one is started here.")
    ] = None


@takes(StylizeFlags)
def stylize(flags: StylizeFlags) -> None:
    """Paint a photo in the style of a picture, by Gatys' optimisation on Ray. Experimental.

    Ctrl-C ends it early and keeps the best picture so far.
    """
    target = _target(flags)
    settings = _settings(flags)
    screen = Screen()
    last: Frame | None = None
    with _one_line_errors(flags), _job(flags, settings) as frames:
        try:
            for last in frames:
                _show(screen, last)
                if flags.preview_every and last.step % flags.preview_every == 0 and last.step < last.steps:
                    replace_picture(last.pixels, target.with_stem(f"{target.stem}-{last.step:04}"))
        except KeyboardInterrupt as error:
            if last is None:
                raise _stopped_early(error) from None
            replace_picture(last.pixels, target)
            screen.err.print(Text(f"stopped after {last.step} of {last.steps} steps: {printable(target)}"))
            raise typer.Exit(_status(error)) from None
        assert last is not None
        replace_picture(last.pixels, target)
    screen.out.print(Text(printable(target)), soft_wrap=True)


def _target(flags: StylizeFlags) -> Path:
    from services.stylizing import STEPS_PER_CALL

    target = flags.output or Path(f"{flags.content.stem}-{Path(flags.style).stem}.png")
    check_suffix(target)
    if not target.parent.is_dir():
        raise CommandError(f"{printable(target.parent)}: there is no such folder")
    if flags.preview_every % STEPS_PER_CALL:
        raise typer.BadParameter(f"--preview-every must be a multiple of {STEPS_PER_CALL}, not {flags.preview_every}")
    return target


def _settings(flags: StylizeFlags) -> StyleSettings:
    from models.stylization.gatys import StyleSettings
    from models.stylization.perceptual import LossWeights

    return StyleSettings(
        steps=flags.steps,
        weights=LossWeights(flags.content_weight, flags.style_weight, flags.smoothness),
        seed=flags.seed,
        keep_colours=flags.keep_colours,
        start=flags.start,
        features=flags.features,
        device=flags.device,
    )


@contextmanager
def _job(flags: StylizeFlags, settings: StyleSettings) -> Generator[Iterator[Frame]]:
    from models.stylization.photos import read_picture, read_style
    from services.evaluation.worker_pool import Place
    from services.stylizing import stylizing

    with _named(flags.content):
        photo: NDArray[Any] = read_picture(flags.content, flags.size)
    with _named(flags.style):
        style: NDArray[Any] = read_style(flags.style, flags.style_size)
    cpus, gpus = (1.0 if flags.address is None else 0.0), (0.0 if settings.device == "cpu" else 1.0)
    with ExitStack() as stack:
        try:
            frames = stack.enter_context(stylizing(photo, style, settings, Place(1, flags.address, cpus, gpus)))
        except KeyboardInterrupt as error:
            raise _stopped_early(error) from None
        yield frames


def _stopped_early(error: KeyboardInterrupt) -> CommandError:
    return CommandError("stopped before the first picture", _status(error))


def _status(error: KeyboardInterrupt) -> int:
    return 128 + (error.args[0] if error.args else signal.SIGINT)


@contextmanager
def _named(picture: str | Path) -> Iterator[None]:
    """Puts the name of the picture before the errors of reading it."""
    from models.errors import ImageError

    try:
        yield
    except ImageError as error:
        raise CommandError(f"{printable(picture)}: {error}") from None
    except OSError as error:
        raise CommandError(f"{printable(picture)}: {error.strerror or error}") from None


@contextmanager
def _one_line_errors(flags: StylizeFlags) -> Iterator[None]:
    from models.errors import WeightsUnavailable
    from services.evaluation.worker_pool import WorkerPoolError

    try:
        yield
    except WeightsUnavailable as error:
        others = "" if flags.features == "efficientnet-lite0" else "; --features efficientnet-lite0 needs no download"
        raise CommandError(f"{error}{others}") from None
    except WorkerPoolError as error:
        raise CommandError(str(error)) from None
    except ValueError as error:
        raise CommandError(str(error), 2) from None


def _show(screen: Screen, frame: Frame) -> None:
    losses = f"content {frame.content:.3f}  style {frame.style:.4f}  total {frame.total:.3f}"
    screen.err.print(f"step {frame.step} of {frame.steps}  {losses}", soft_wrap=True, highlight=False)
