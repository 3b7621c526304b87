"""Data classes whose fields are the options of a command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from inspect import Parameter, Signature, get_annotations
from typing import Any, TypeVar, get_type_hints

Group = TypeVar("Group")


def takes(group: type[Group]) -> Callable[[Callable[[Group], None]], Callable[..., None]]:
    """Makes a command of Typer of a function that takes a data class: its fields are the options.

    Args:
        group: The data class. Required options come first, then those that it adds to what it inherits.
    """
    hints = get_type_hints(group, include_extras=True)
    defaults = {field.name: field.default for field in fields(group)}  # pyright: ignore[reportArgumentType]
    names = dict.fromkeys(name for base in group.__mro__ for name in get_annotations(base))
    parameters = [
        Parameter(
            name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if defaults[name] is MISSING else defaults[name],
            annotation=hints[name],
        )
        for name in sorted(names, key=lambda name: defaults[name] is not MISSING)
    ]

    def command_of(function: Callable[[Group], None]) -> Callable[..., None]:
        def command(**given: Any) -> None:
            function(group(**given))

        command.__name__, command.__doc__ = function.__name__, function.__doc__
        command.__signature__ = Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
        return command

    return command_of
