"""`tapetum models`: lists, shows, downloads and quantizes the models of the catalog, and adds models of the user's."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.columns import Columns
from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.cli.adding import add_model
from services.cli.console import Screen
from services.cli.loading import download_bar
from services.cli.own_models import remove_model, rename_model

if TYPE_CHECKING:
    from models.catalog.lookup import CatalogEntry

app = typer.Typer(no_args_is_help=True, help="List, show, download, quantize and add models of the catalog.")

_NO_SHARES: Final = frozenset({"fid", "content_loss", "style_loss"})
"""Metrics that are no fractions, and so are not shown in percent."""
_HEADLINES: Final = {"top1": "top-1", "iou": "IoU", "miou": "mIoU", "map": "mAP"}
"""Metrics shown in the list, with their labels; of each model the first one that it has."""
app.command("add", epilog="Example: tapetum models add best.onnx --name plates --classes data.yaml")(add_model)
app.command("remove", epilog="Example: tapetum models remove plates")(remove_model)
app.command("rename", epilog="Example: tapetum models rename plates number-plates")(rename_model)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Model name, from `tapetum models list`, or NAME@VERSION.")]


def _check_task(task: str | None) -> str | None:
    from models.kinds import task_names

    if task is not None and task not in task_names():
        raise typer.BadParameter(f"{task!r} is none of {', '.join(task_names())}")
    return task


@app.command("list", epilog="Example: tapetum models list --json | jq -r .name")
def list_models(
    task: Annotated[
        str | None,
        typer.Option(metavar="TASK", callback=_check_task, help="Only models for this task, such as detection."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line for each model.")] = False,
) -> None:
    """List the models: those that come with Tapetum and your own first, then families whose weights are downloaded."""
    from models.catalog.lookup import find, names

    entries = [entry for entry in map(find, names()) if task in (None, entry.task)]
    if as_json:
        for entry in entries:
            print(json.dumps(entry.to_dict()))
        return
    console = Screen().out
    families: dict[tuple[str, str], list[CatalogEntry]] = {}
    for entry in entries:
        families.setdefault((entry.name.rpartition("/")[0], entry.task), []).append(entry)
    alone = [entry for entry in entries if "/" not in entry.name]
    if alone:
        console.print(_table(alone))
    for (family, of_task), members in families.items():
        if family:
            _show_family(console, family, of_task, members)
    if task in (None, "classification"):
        _count_timm(console)


@app.command("show", epilog="Example: tapetum models show torchvision/resnet50")
def show_model(
    name: _Name,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, on one line.")] = False,
) -> None:
    """Show the catalog entry of one model: weights, preprocessing, licence, accuracy."""
    from models.catalog.lookup import find

    entry = find(name)
    if as_json:
        print(json.dumps(entry.to_dict()))
    else:
        Screen().out.print(_entry_table(entry))


@app.command("pull", epilog="Example: tapetum models pull torchvision/resnet50")
def pull_model(name: _Name) -> None:
    """Download and verify a model's weights, so that it starts without network access."""
    from models.catalog.lookup import find

    screen = Screen()
    entry = find(name)
    with screen.err.status(f"looking for {entry.name}"):
        from models.catalog.loading import pull
    with download_bar(screen, entry.name) as report:
        pull(name, report)
    screen.out.print(f"{name} is here", highlight=False)


@app.command("quantize", epilog="Example: tapetum models quantize yolo-person --data person")
def quantize_model(
    name: _Name,
    data: Annotated[
        str, typer.Option(metavar="SPEC", help="Labelled images to evaluate on, as `tapetum evaluate` reads them.")
    ],
    calibration: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Images for the ranges of activations; those of --data by default."),
    ] = None,
    images: Annotated[int, typer.Option(min=1, metavar="N", help="The most images for calibration.")] = 300,
    new_name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the new model; NAME-int8 by default.")
    ] = None,
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the model; name it in TAPETUM_CATALOG to serve.")
    ] = Path("trained"),
    max_loss: Annotated[
        float,
        typer.Option(
            min=0, max=100, metavar="POINTS", help="The most that the accuracy may fall, in points (hundredths)."
        ),
    ] = 0.2,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Evaluate on N images only.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Worker processes of the evaluation; one for each CPU.")
    ] = None,
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="Read files outside the data folder that labels or links lead to.")
    ] = False,
) -> None:
    """Quantize a model to int8 for OpenVINO on CPUs, and write it as a card if it loses little accuracy.

    The model and its quantized version are evaluated on the data, and timed. Where the most important figure falls by
    more than --max-loss, nothing is written, and the status is 1. Needs `tapetum[quantize]`.
    """
    from services.cli.quantization import Quantization, run_quantization

    wanted = Quantization(
        name,
        new_name or f"{name.rpartition('/')[2].partition('@')[0]}-int8",
        data,
        calibration or data,
        images,
        output,
        max_loss,
        limit,
        workers,
        allow_outside,
    )
    raise typer.Exit(run_quantization(Screen(), wanted))


def _table(entries: Iterable[CatalogEntry]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("model", style="bold", no_wrap=True)
    table.add_column("task", no_wrap=True)
    table.add_column("accuracy", no_wrap=True)
    table.add_column("", ratio=1)
    for entry in entries:
        table.add_row(_named(entry), entry.task, _headline(entry), entry.description)
    return table


def _named(entry: CatalogEntry) -> Text:
    """The name of a model, and its versions where there are several."""
    from models.catalog.lookup import versions

    known = versions(entry.name)
    return Text.assemble(entry.name, (f" @{', @'.join(known)}" if len(known) > 1 else "", "not bold dim"))


def _show_family(console: Console, family: str, task: str, entries: list[CatalogEntry]) -> None:
    """Many names in little room: without their family, in columns."""
    note = f"{len(entries)} for {task}; weights are downloaded on first use"
    console.print(Text.assemble("\n", (f"{family}/", "bold"), "…  ", (note, "dim")))
    names = [Text(entry.name.removeprefix(f"{family}/")) for entry in entries]
    console.print(Columns(names, padding=(0, 2), column_first=True))


def _count_timm(console: Console) -> None:
    """Over a thousand names are counted only."""
    from models.sources.timm_manifest import PREFIX, timm_names

    note = f"{len(timm_names()):,} for classification, which timm.list_pretrained() names; needs tapetum[timm]"
    console.print(Text.assemble("\n", (PREFIX, "bold"), "…  ", (note, "dim")))


def _headline(entry: CatalogEntry) -> str:
    figures = {found.metric: found.value for found in reversed(entry.accuracy)}  # the first one of a metric counts
    return next((f"{name} {figures[metric]:.1%}" for metric, name in _HEADLINES.items() if metric in figures), "")


def _entry_table(entry: CatalogEntry) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in _facts(entry.to_dict()):
        table.add_row(key, Text(value, style="bold" if key == "name" else ""))
    return table


def _facts(document: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """The leaves of a JSON document with their paths; a line for each figure, none for what is unset."""
    for key, value in document.items():
        if key == "accuracy":
            for figure in value:
                metric, number = figure["metric"], figure["value"]
                shown = f"{number:.4g}" if metric in _NO_SHARES else f"{number:.1%}"
                yield metric, f"{shown} on {figure['dataset']} ({figure['note']})"
        elif key == "speed":
            for found in value:
                how = f"{found['precision']}, batches of {found['batch_size']}, {found['machine']}; {found['note']}"
                yield "speed", f"{found['images_per_s']:g} images a second ({how})"
        elif isinstance(value, dict):
            yield from _facts(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{key}", ", ".join(map(str, value))
        elif value not in (None, ""):
            yield f"{prefix}{key}", str(value)
