"""The commands `tapetum explain IMAGE…` and `tapetum explain layers MODEL`."""

from __future__ import annotations

from typing import Any, Final

import typer
from typer.core import TyperGroup

from services.cli.explain_photo import photo
from services.cli.layers import layers

BY_DEFAULT: Final = "photo"
"""The command that an argument which is no command belongs to."""


class _PhotoByDefault(TyperGroup):
    """Takes `tapetum explain photo.jpg` for `tapetum explain photo photo.jpg`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "-h", "--help"):
            args = [BY_DEFAULT, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_PhotoByDefault, no_args_is_help=True, help="Show what a network sees.")
app.command(BY_DEFAULT, epilog="Example: tapetum explain photo.jpg --save maps/")(photo)
app.command("layers", epilog="Example: tapetum explain layers efficientnet-lite0 photo.jpg --layer stem --save maps/")(
    layers
)
