"""The command `tapetum`.

    tapetum serve                     the whole stack on this machine, or with `--address` on a cluster
    tapetum classify IMAGE…           the classes of images, with no server, or with `--url` from one
    tapetum detect IMAGE…             the objects in images, likewise
    tapetum pose IMAGE…               the key points of people in images, likewise
    tapetum segment IMAGE…            the pixels of objects or classes in images, likewise
    tapetum analyze IMAGE             several of these for one image, likewise
    tapetum explain IMAGE…            which parts of images count towards a prediction, likewise
    tapetum explain layers MODEL      the layers of a network, with their receptive fields
    tapetum generate                  images of a class from noise (experimental)
    tapetum generate evaluate         how real such images look, beside held-out ones
    tapetum stylize CONTENT STYLE     a photo in the style of a picture (experimental)
    tapetum models list|show|pull     what can be served
    tapetum models add FILE           a model of one's own, from an ONNX file or a checkpoint
    tapetum evaluate                  how good a model is on labelled images, with a report
    tapetum rollout NAME@VERSION      a version rolled out on a server, while guards hold
    tapetum node -- COMMAND…          a node of a Ray cluster
    tapetum config env|compose|…      what the environment of such nodes must hold
    tapetum export triton DIR NAME…   a model repository for NVIDIA Triton
    tapetum export onnx NAME          a model as one ONNX file
    tapetum train KIND                a model of one's own: classifier, detector, pose, segmenter …

Exit status: 0 fine, 1 something failed, 2 the command was not understood, 130 interrupted. Whatever is slow to import
is imported inside the command that needs it: `tapetum classify --url` never loads torch, and nothing here loads Ray
but `serve`, `evaluate` and `stylize`.
"""

from __future__ import annotations

import io
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from models.errors import ModelsError, UnknownModel
from services.cli.analyze import analyze
from services.cli.catalog import app as models_app
from services.cli.classify import classify
from services.cli.config import app as config_app
from services.cli.console import CommandError, no_such_model, show_error
from services.cli.detect import detect
from services.cli.evaluate import evaluate
from services.cli.explain_commands import app as explain_app
from services.cli.export import app as export_app
from services.cli.generate_commands import app as generate_app
from services.cli.node import node
from services.cli.pose import pose
from services.cli.rollout import rollout
from services.cli.segment import segment
from services.cli.serve import serve
from services.cli.stylize import stylize
from services.cli.train import app as train_app


class _Commands(TyperGroup):
    """Turns the errors that a person can do something about into one line and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except UnknownModel as error:
            failure = no_such_model(error.name, error.known)
        except ModelsError as error:
            failure = CommandError(str(error))
        except CommandError as error:
            failure = error
        show_error(failure.message)
        raise typer.Exit(failure.status)


app = typer.Typer(
    name="tapetum",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog="Example: tapetum classify photo.jpg holiday/ --top-k 3")(classify)
app.command(epilog="Example: tapetum detect photo.jpg --save drawn/")(detect)
app.command(epilog="Example: tapetum pose photo.jpg --save drawn/")(pose)
app.command(epilog="Example: tapetum segment photo.jpg --save drawn/")(segment)
app.command(epilog="Example: tapetum analyze photo.jpg --tasks classify,detect --save drawn.png")(analyze)
app.command(epilog="Example: tapetum evaluate --model yolo-person --data person/instances_val.json")(evaluate)
app.command(epilog="Example: tapetum stylize photo.jpg stained-glass -o window.png")(stylize)
app.command(epilog="Example: tapetum serve --port 9000")(serve)
app.command(epilog="Example: tapetum rollout yolo-person@2 --steps 5,25,100 --hold 300")(rollout)
app.command(epilog="Example: tapetum node -- ray start --head --block")(node)
app.add_typer(config_app, name="config")
app.add_typer(explain_app, name="explain")
app.add_typer(export_app, name="export")
app.add_typer(generate_app, name="generate")
app.add_typer(models_app, name="models")
app.add_typer(train_app, name="train")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"tapetum {version('tapetum')}")
        raise typer.Exit


@app.callback()
def tapetum(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Serves computer-vision models, and asks them from the command line."""


def main() -> None:
    """The entry point: runs the command line of this process and exits with its status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a letter gets a question mark
    app()
