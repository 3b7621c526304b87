"""The commands `tapetum generate` and `tapetum generate evaluate`."""

from __future__ import annotations

from typing import Any, Final

import typer
from typer.core import TyperGroup

from services.cli.generate import images
from services.cli.generator_evaluation import evaluate

BY_DEFAULT: Final = "images"
"""The command that options without a command belong to."""


class _ImagesByDefault(TyperGroup):
    """Takes `tapetum generate --class 7` for `tapetum generate images --class 7`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, "-h", "--help"):
            args = [BY_DEFAULT, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_ImagesByDefault, help="Generate images from noise. Experimental.")
app.command(BY_DEFAULT, epilog="Example: tapetum generate --class 7 --seed 1 -o seven.png")(images)
app.command("evaluate", epilog="Example: tapetum generate evaluate --data mnist")(evaluate)
