"""`tapetum stylize`: a photo in the style of a picture, by Gatys' optimisation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from services.cli.console import CommandError, Screen, printable

if TYPE_CHECKING:
    from models.stylization.gatys import Frame, StyleSettings

_SUFFIX = ".png"


def stylize(
    content: Annotated[Path, typer.Argument(metavar="CONTENT", help="The photo.")],
    style: Annotated[
        str, typer.Argument(metavar="STYLE", help="The picture with the style, or stained-glass, drawn by code.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="PNG to write; by default CONTENT-STYLE.png here."),
    ] = None,
    size: Annotated[int, typer.Option(min=16, max=4096, help="Long side of the result in pixels, at most.")] = 384,
    style_size: Annotated[int, typer.Option(min=16, max=4096, help="Long side of the style picture in pixels.")] = 256,
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Steps of the optimisation.")] = 300,
    content_weight: Annotated[float, typer.Option(min=0, metavar="W", help="Weight of the photo's content.")] = 6.0,
    style_weight: Annotated[float, typer.Option(min=0, metavar="W", help="Weight of the style.")] = 30.0,
    smoothness: Annotated[float, typer.Option(min=0, metavar="W", help="Weight of the total variation.")] = 4.0,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Of noise and shifts: the same seed, same picture.")
    ] = 0,
    keep_colours: Annotated[
        bool, typer.Option("--keep-colours", help="Keep the photo's colours: change its luminance only.")
    ] = False,
    start: Annotated[
        Literal["content", "noise"], typer.Option(help="Start from the photo, or from noise.")
    ] = "content",
    features: Annotated[
        Literal["efficientnet-lite0", "vgg19"], typer.Option(help="Network whose feature maps are compared.")
    ] = "efficientnet-lite0",
    preview_every: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Steps between previews, a multiple of 10: OUTPUT-0100.png …; 0: none."),
    ] = 100,
    device: Annotated[str, typer.Option(metavar="DEVICE", help="cpu, cuda or cuda:N.")] = "cpu",
    address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A running Ray cluster; by default one is started here.")
    ] = None,
) -> None:
    """Paint a photo in the style of a picture, by Gatys' optimisation on Ray. Experimental.

    Ctrl-C ends it early and keeps the best picture so far.
    """
    target = output or Path(f"{content.stem}-{Path(style).stem}{_SUFFIX}")
    if target.suffix.lower() != _SUFFIX:
        raise typer.BadParameter(f"{printable(target)}: the name must end in {_SUFFIX}")
    if not target.parent.is_dir():
        raise CommandError(f"{printable(target.parent)}: there is no such folder")
    from models.stylization.gatys import StyleSettings
    from models.stylization.perceptual import LossWeights

    weights = LossWeights(content_weight, style_weight, smoothness)
    settings = StyleSettings(
        steps=steps,
        weights=weights,
        seed=seed,
        keep_colours=keep_colours,
        start=start,
        features=features,
        device=device,
    )
    screen = Screen()
    last: Frame | None = None
    try:
        with _one_line_errors():
            for last in _frames(content, style, (size, style_size), settings, address):
                _show(screen, last)
                if preview_every and last.step % preview_every == 0 and last.step < steps:
                    _write(last, target.with_stem(f"{target.stem}-{last.step:04}"))
            assert last is not None
            _write(last, target)
    except KeyboardInterrupt as error:
        if last is None:
            raise
        _write(last, target)
        screen.err.print(Text(f"stopped after {last.step} of {steps} steps: {printable(target)}"), soft_wrap=True)
        raise typer.Exit(128 + (error.args[0] if error.args else 2)) from None
    screen.out.print(Text(printable(target)), soft_wrap=True)


def _frames(
    content: Path, style: str, sizes: tuple[int, int], settings: StyleSettings, address: str | None
) -> Iterator[Frame]:
    from models.errors import ImageError
    from models.stylization.photos import read_picture, read_style
    from services.evaluation.worker_pool import Place
    from services.stylizing import stylize as run

    name = printable(content)
    try:
        photo = read_picture(content, sizes[0])
        name = printable(style)
        picture = read_style(style, sizes[1])
    except ImageError as error:
        raise CommandError(f"{name}: {error}") from None
    except OSError as error:
        raise CommandError(f"{name}: {error.strerror or error}") from None
    gpus = 0.0 if settings.device == "cpu" else 1.0
    return run(photo, picture, settings, Place(1, address, 1.0 if address is None else 0.0, gpus))


@contextmanager
def _one_line_errors() -> Iterator[None]:
    from services.evaluation.worker_pool import WorkerPoolError

    try:
        yield
    except WorkerPoolError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"{error.filename or 'the picture'}: {error.strerror or error}") from None
    except ValueError as error:
        raise CommandError(str(error), 2) from None


def _show(screen: Screen, frame: Frame) -> None:
    losses = f"content {frame.content:.3f}  style {frame.style:.4f}  total {frame.total:.3f}"
    screen.err.print(f"step {frame.step} of {frame.steps}  {losses}", soft_wrap=True, highlight=False)


def _write(frame: Frame, path: Path) -> None:
    from PIL import Image

    from models.drawing.picture import encode
    from models.files import replaced

    with replaced(path) as file:
        file.write(encode(Image.fromarray(frame.pixels), "png"))
