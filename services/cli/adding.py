"""`tapetum models add`: looks into the file of a model, tries it on a photo, and writes its card."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer
from rich.table import Table
from rich.text import Text

from models.errors import ModelsError, OpenQuestion, UnusableModel
from services.cli.console import CommandError, Screen, printable
from services.cli.layouts import LAYOUTS
from services.cli.own_models import one_line_errors
from services.cli.questions import Given, ask, read_normalisation
from services.cli.trial import Trial, try_model

if TYPE_CHECKING:
    from models.catalog.lookup import CatalogEntry
    from models.importing.found import FoundModel

_FAMILIES: Final = ("torchvision/", "yolox/", "timm/")
_SHOWN_PREDICTIONS: Final = 5
_SHOWN_CLASSES: Final = 6
_MOST_LAYOUTS: Final = 4
"""A checkpoint of a module of the user's own may have outputs of any layout."""
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Addition:
    """What the command line says, besides `Given`.

    Attributes:
        file: Of the model.
        name: NAME or NAME@VERSION.
        folder: Of the new card.
        sample: Photo to try the model on.
        replacing: Whether a model of the same name is replaced.
        may_ask: Whether there is a terminal to ask on.
    """

    file: Path
    name: str
    folder: Path
    sample: Path | None
    replacing: bool
    may_ask: bool


def add_model(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="ONNX file, or checkpoint: .pth, .pt or .safetensors.")],
    name: Annotated[
        str, typer.Option(metavar="NAME", help="What to call the model, or NAME@VERSION for a further version of one.")
    ],
    task: Annotated[
        str | None,
        typer.Option(metavar="TASK", help="classification, detection, semantic or instance (masks), if it is unclear."),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="names.txt, a name a line; data.yaml of YOLO; a,b,c; imagenet; or coco."),
    ] = None,
    mean: Annotated[
        str | None, typer.Option(metavar="R,G,B", help="Subtracted from pixels of 0 to 255; or of 0 to 1, as is --std.")
    ] = None,
    std: Annotated[str | None, typer.Option(metavar="R,G,B", help="Pixels are then divided by it.")] = None,
    layout: Annotated[
        str | None, typer.Option(metavar="LAYOUT", help="What the outputs hold (docs/extending.md), if it is unclear.")
    ] = None,
    architecture: Annotated[
        str | None, typer.Option(metavar="NAME", help="Network of a checkpoint, such as torchvision/resnet50.")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(min=16, max=8192, metavar="PIXELS", help="Side of images, if the network takes any."),
    ] = None,
    channels: Annotated[
        Literal["rgb", "bgr"] | None, typer.Option(help="Order of the colours that the network takes; rgb by default.")
    ] = None,
    sample: Annotated[
        Path | None, typer.Option(metavar="PHOTO", help="Try the model on this photo instead of a bundled one.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for the card; by default that of TAPETUM_CATALOG, or your own."),
    ] = None,
    licence: Annotated[str, typer.Option(metavar="TEXT", help="Licence of the weights, for the card.")] = "unknown",
    description: Annotated[str, typer.Option(metavar="TEXT", help="One sentence about the model, for the card.")] = "",
    replacing: Annotated[bool, typer.Option("--replace", help="Replace a model of your own of the same name.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: an option must say what is unclear.")] = False,
) -> None:
    """Add a model from a file: look into it, try it on a photo, and write a card, so that it can be served by its name.

    What the file does not say is asked for, on a terminal; elsewhere a line names the option that says it. A model that
    does not load or fails on the photo is not written.
    """
    screen = Screen()
    _check_file(file)
    with screen.err.status("loading torch"):
        from models.catalog.lookup import folder_for_new_cards
        from models.importing.card import CardOptions
        from models.importing.class_names import read_class_names
        from models.importing.own_cards import check_name

    folder = output or folder_for_new_cards()
    with one_line_errors():
        folder.mkdir(parents=True, exist_ok=True)
    check_name(name, folder, replacing=replacing)
    try:
        normalisation = read_normalisation(mean, std)
    except ValueError as error:
        raise CommandError(str(error), 2) from None
    class_names = None if classes is None else read_class_names(classes)
    options = CardOptions(name, task, class_names, normalisation, layout, size, channels, licence, description)
    may_ask = not yes and has_terminal(screen)
    _add(screen, Addition(file, name, folder, sample, replacing, may_ask), Given(options, architecture))


def has_terminal(screen: Screen) -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty() and screen.err.is_terminal


def _add(screen: Screen, addition: Addition, given: Given) -> None:
    from models.importing.own_cards import PICTURE, publish, staging

    found, entry = _described(screen, addition, given)
    with one_line_errors(), staging(addition.folder) as place:
        card = _staged(screen, place, addition, given, found, entry)
        trial = try_model(screen, card, entry, addition.sample, addition.file)
        picture = card.with_name(card.name.removesuffix(".json") + PICTURE)
        picture.write_bytes(trial.picture)
        published = publish(card, addition.folder, replacing=addition.replacing)
    _show_trial(screen, entry, trial, published.with_name(picture.name))
    _show_commands(screen, addition, entry)
    print(published)


def _check_file(file: Path) -> None:
    """Raises where there is no need to look into the file."""
    if str(file).startswith(_FAMILIES) and not file.exists():
        raise CommandError(f"{file} needs no `add`: it is served by its name, `tapetum serve --model {file}`", 2)
    from models.importing.file_format import format_of
    from services.machine.memory import total_memory

    format_of(file)
    size, memory = file.stat().st_size, total_memory()
    if size > memory:
        raise CommandError(f"{file}: has {size // _MIB:,} MiB, and this machine has {memory // _MIB:,} MiB of memory")


def _described(screen: Screen, addition: Addition, given: Given) -> tuple[FoundModel, CatalogEntry]:
    """What the file says, and the card of that and of the user's answers to what it does not say."""
    from models.importing.card import card_of

    shown, before = False, None
    while True:
        try:
            with screen.err.status(f"looking into {addition.file.name}"):
                found = _inspected(addition.file, given)
            if not shown:
                _show_found(screen, addition.file, found)
                shown = True
            entry = card_of(addition.file, found, given.options)
            if found.format == "checkpoint" or entry.outputs == next(iter(found.outputs), None):
                return found, entry
            # of several layouts, class count and normalisation are those of the likeliest one: look again
            given = replace(given, options=replace(given.options, layout=entry.outputs))
        except OpenQuestion as question:
            if not addition.may_ask:
                raise CommandError(str(question), 2) from None
            before, given = given, ask(screen, question, given)
        except UnusableModel as error:
            if before is None:
                raise
            screen.err.print(Text(printable(str(error)), "red"), soft_wrap=True)
            before, given = None, before  # ask again


def _inspected(file: Path, given: Given) -> FoundModel:
    from models.importing.file_format import format_of

    if format_of(file) == "onnx":
        from models.importing.onnx_file import inspect_onnx

        if given.architecture is not None:
            raise CommandError("--architecture is for checkpoints: an ONNX file has its network in it", 2)
        return inspect_onnx(file, given.options.layout, given.options.class_names)
    from models.importing.checkpoint import inspect_checkpoint

    return inspect_checkpoint(file, given.architecture, given.options.channels)


def _staged(
    screen: Screen, place: Path, addition: Addition, given: Given, found: FoundModel, entry: CatalogEntry
) -> Path:
    """Writes card and weights to a private folder, where the model is tried."""
    versioned = "@" in addition.name
    with screen.err.status(f"copying {addition.file.name}"):
        if found.format == "onnx":
            from models.importing.own_cards import stage_onnx

            return stage_onnx(place, addition.file, entry, versioned=versioned)
        from models.catalog.cards import write_card
        from models.importing.checkpoint import read_checkpoint

        state = read_checkpoint(addition.file, found, given.options.channels)
        return write_card(place, entry, state, versioned=versioned, exact=True)


def _show_found(screen: Screen, file: Path, found: FoundModel) -> None:
    names = found.class_names or ()
    more = f", … ({len(names)})" if len(names) > _SHOWN_CLASSES else ""
    size = found.input_size or found.usual_size
    sides = ("any" if size is None else f"{size[0]} × {size[1]} pixels") + (" or any" if found.usual_size else "")
    rows = {
        "file": f"{file.name}, {found.format}, {file.stat().st_size / _MIB:.1f} MiB",
        "architecture": None if found.architecture == "onnx" else found.architecture,
        "task": " or ".join(found.kinds) or None,
        "outputs": " or ".join(found.outputs) if 0 < len(found.outputs) <= _MOST_LAYOUTS else None,
        "classes": ", ".join(names[:_SHOWN_CLASSES]) + more if names else found.class_count,
        "input": sides + ("" if found.channels == "rgb" else ", BGR"),
        "evidence": "\n".join(found.evidence) or None,
    }
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in rows.items():
        if value is not None:
            lines = str(value).splitlines()
            table.add_row(key, Text("\n".join(map(printable, lines)), "dim" if key == "evidence" else ""))
    screen.err.print(table)


def _show_trial(screen: Screen, entry: CatalogEntry, trial: Trial, picture: Path) -> None:
    layout = LAYOUTS[entry.task]
    screen.err.print(Text.assemble("\n", (trial.sample.name, "bold"), f" → {printable(picture)}"), soft_wrap=True)
    if trial.predictions:
        screen.err.print(layout.table(trial.predictions[:_SHOWN_PREDICTIONS]))
    else:
        hint = f"{layout.nothing} in this photo; try it on one of your own by --sample PHOTO"
        screen.err.print(Text(hint, "yellow"), soft_wrap=True)


def _show_commands(screen: Screen, addition: Addition, entry: CatalogEntry) -> None:
    """The commands that serve the model and ask it."""
    from models.catalog.lookup import own_folders
    from services.client.calls import ENDPOINTS

    try:
        is_read = addition.folder.resolve() in [folder.resolve() for folder in own_folders()]
    except ModelsError:
        is_read = False
    catalog = "" if is_read else f"TAPETUM_CATALOG={shlex.quote(str(addition.folder.resolve()))} "
    post = "curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg'"
    screen.err.print(
        Text.assemble(
            ("\nserve it  ", "dim"),
            (f"{catalog}tapetum serve --model {addition.name}\n", "bold"),
            ("ask it    ", "dim"),
            f"{post} localhost:8000/{ENDPOINTS[entry.task].path}",
        ),
        soft_wrap=True,
    )
