"""`tapetum generate evaluate`: how real generated images look to a classifier, beside real images and noise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer
from rich.table import Table

from services.cli.console import CommandError, Screen, printable
from services.cli.generate import GeneratorName, Truncation
from services.cli.loading import RuntimeOptions, find_model, load_model
from services.cli.options import Device

if TYPE_CHECKING:
    from models.training.generator_evaluation import GeneratorFigures

_COLUMNS: Final = {"generated": "generated", "train": "train (floor)", "noise": "noise"}


def evaluate(
    data: Annotated[
        Path,
        typer.Option(
            metavar="DATA", help="Images by class with splits train and val, as `tapetum train generator` has."
        ),
    ],
    model: GeneratorName = None,
    judge: Annotated[
        str, typer.Option(metavar="MODEL", help="Classifier with the same classes, whose features are compared.")
    ] = "mnist",
    count: Annotated[int, typer.Option(min=100, metavar="N", help="Images to generate, of all classes evenly.")] = 5000,
    truncation: Truncation = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of the generated images, and of the noise.")] = 0,
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Compare generated images with held-out ones: FID, agreement with the class, precision, recall, diversity.

    As many images to learn from, and as many of noise, are compared, too: the first are what a perfect generator could
    reach. The judge's last hidden layer has the features of the FID.
    """
    screen = Screen()
    entry = find_model("generation", model)
    scale = float(entry.defaults["truncation"]) if truncation is None else truncation
    generator: Any = load_model(screen, entry, RuntimeOptions(device or "cpu"))
    with screen.err.status("generating and comparing images"):
        found = _compared(generator, data, judge, count, scale, seed)
    if as_json:
        document = {"model": entry.name, "version": entry.version, "truncation": scale, "seed": seed, **found.to_dict()}
        screen.out.print(orjson.dumps(document).decode(), soft_wrap=True, markup=False)
    else:
        _show(screen, found)


def _compared(generator: Any, data: Path, judge: str, count: int, truncation: float, seed: int) -> GeneratorFigures:
    from models.catalog.generators import load_judge
    from models.datasets.samples import DatasetError
    from models.training.generator_evaluation import compare_with_real

    try:
        return compare_with_real(generator, data, load_judge(judge), count, truncation, seed)
    except DatasetError as error:
        raise CommandError(str(error)) from None
    except ValueError as error:
        raise CommandError(str(error), 2) from None


def _show(screen: Screen, found: GeneratorFigures) -> None:
    counts = [f"{found.counts[name]:,} images" for name in _COLUMNS]
    figures = [
        [figure, *(f"{found.rows[column][figure]:.3f}" for column in _COLUMNS)] for figure in found.rows["generated"]
    ]
    _show_table(screen, ["", *_COLUMNS.values()], [["", *counts], *figures])
    classes = [[name, *(f"{value:.3f}" for value in values.values())] for name, values in found.classes.items()]
    _show_table(screen, ["class", *next(iter(found.classes.values()), {})], classes)
    against = f"against {found.counts['val']:,} images of {found.data}/val, by the features of {found.judge}"
    screen.err.print(against, style="dim", soft_wrap=True)


def _show_table(screen: Screen, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal, tab-separated lines in a pipe."""
    if not screen.out.is_terminal:
        for row in (heads, *rows):
            print("\t".join(row))
        return
    table = Table(*heads, box=None)
    for row in rows:
        table.add_row(*map(printable, row))
    screen.out.print(table)
