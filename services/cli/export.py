"""`tapetum export`: models in the formats of other servers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from services.cli.console import CommandError, Screen, printable

app = typer.Typer(no_args_is_help=True, help="Write models in the formats of other servers.")


@app.callback()
def export() -> None:
    """Write models in the formats of other servers."""


@app.command(epilog="Example: tapetum export triton repository/ yolo-person unet-person")
def triton(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The model repository; made where it is missing.")],
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Models; `tapetum models list` shows them.")],
    python_backend: Annotated[
        bool, typer.Option("--python-backend", help="For Triton's python backend, which runs the ONNX by a model.py.")
    ] = False,
    max_batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="The most images of a batch.")] = 16,
    instances: Annotated[int, typer.Option(min=1, metavar="N", help="Copies of a network on each device.")] = 1,
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="CPU threads of each copy; all cores by default.")
    ] = None,
) -> None:
    """Write a Triton model repository: networks as ONNX from pixels to raw outputs, with their `config.pbtxt`.

    Each is run on photos and compared with the network here; one that differs is not written.
    """
    screen = Screen()
    with screen.err.status("loading torch"):
        from models.export.triton_repository import RepositoryOptions, export_model
    options = RepositoryOptions("python" if python_backend else "onnxruntime", max_batch_size, instances, threads)
    for name in names:
        try:
            with screen.err.status(f"exporting {printable(name)}"):
                done = export_model(name, folder, options)
        except OSError as error:
            raise CommandError(f"{error.filename or folder}: {(error.strerror or str(error)).lower()}") from None
        difference, largest, _ = done.agreement
        text = f"{printable(done.path)}: largest difference {difference:.2g} at outputs of up to {largest:.3g}"
        screen.out.print(text, soft_wrap=True)


@app.command(epilog="Example: tapetum export onnx yolo-person")
def onnx(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Model; `tapetum models list` shows them.")],
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file to write; by default NAME.onnx in this folder.")
    ] = None,
) -> None:
    """Write a model as one ONNX file: its network from pixels to raw outputs, and in the metadata what these are.

    It is run on photos and compared with the network here; one that differs is not written.
    """
    screen = Screen()
    with screen.err.status("loading torch"):
        from models.catalog.lookup import find
        from models.export.naming import server_model
        from models.export.onnx_model import export_file
    path = output or Path(f"{server_model(find(name)).name}.onnx")
    try:
        with screen.err.status(f"exporting {printable(name)}"):
            done = export_file(name, path)
    except OSError as error:
        raise CommandError(f"{error.filename or path}: {(error.strerror or str(error)).lower()}") from None
    difference, largest, _ = done.agreement
    text = f"{printable(done.path)}: largest difference {difference:.2g} at outputs of up to {largest:.3g}"
    screen.out.print(text, soft_wrap=True)
    if done.outputs is None:
        note = "its outputs are raw: the second stage, or the decoding of its anchors, is in Tapetum only"
    else:
        note = f"its outputs are {done.outputs}; `tapetum models add {done.path} --name NAME` adds it"
    screen.err.print(Text(printable(note)), soft_wrap=True)
