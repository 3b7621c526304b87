"""A registry that imports some of its records only when they are looked up."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class LazyRecords(dict[K, V]):
    """A dictionary of records, and the places of others, which `registry[key]` imports.

    Membership, `get` and iteration are about the records that are there from the start: so nothing that lists them
    imports the others, or depends on whether another part of the process has imported them.

    Args:
        records: The records that are there from the start.
        places: Of the others by key, `package.module:NAME`.
    """

    def __init__(self, records: Mapping[K, V], places: Mapping[K, str]) -> None:
        super().__init__(records)
        self.places = dict(places)

    def __missing__(self, key: K) -> Any:
        """Imports a record.

        Raises:
            KeyError: There is none of this key.
        """
        module, _, name = self.places[key].partition(":")
        return getattr(import_module(module), name)
