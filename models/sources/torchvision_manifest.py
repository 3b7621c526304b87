"""Catalog entries of torchvision's published weights, without importing torchvision.

``models/weights/torchvision.json`` has a row for every set of weights: its catalog entry, which
``python -m models.catalog.torchvision_entries`` reads off the installed torchvision; a test keeps the two equal. So a
process that must stay free of torch, such as the gateway, still lists every model.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from msgspec import convert

from models.entries import Accuracy, CatalogEntry, LetterboxPreprocessing, Preprocessing, Task, WeightsSource
from models.entries.skeletons import Skeleton

PATH: Final = Path(__file__).parents[1] / "weights" / "torchvision.json"
PREFIX: Final = "torchvision/"


def find_torchvision(name: str) -> CatalogEntry | None:
    """Looks up the entry of a set of weights.

    Args:
        name: ``torchvision/<builder>``, with the weights that torchvision recommends, or
            ``torchvision/<builder>@<weights>``.

    Returns:
        The entry under that name, or None where there is no such builder or no such weights.
    """
    builder, at, weights = name.removeprefix(PREFIX).partition("@")
    if not name.startswith(PREFIX):
        return None
    entries = (entry for entry in _entries() if entry.architecture == builder)
    found = next((entry for entry in entries if (entry.version == weights if at else entry.name == name)), None)
    return None if found is None else replace(found, name=name)


def torchvision_builders(task: Task | None = None) -> tuple[str, ...]:
    """Lists the builders of a task, or of all tasks, one task after another, each in alphabetical order."""
    return tuple(dict.fromkeys(entry.architecture for entry in _entries() if task in (None, entry.task)))


def write(entries: Sequence[CatalogEntry]) -> None:
    """Replaces all rows, one a line."""
    lines = ",\n".join(json.dumps(row_of(entry)) for entry in entries)
    PATH.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def row_of(entry: CatalogEntry) -> dict[str, object]:
    """An entry as JSON has it, without the members that are empty."""
    return {name: value for name, value in entry.to_dict().items() if value or name == "defaults"}


@cache
def _entries() -> tuple[CatalogEntry, ...]:
    return tuple(map(_entry_from, json.loads(PATH.read_text(encoding="utf-8"))))


def _entry_from(row: Mapping[str, Any]) -> CatalogEntry:
    preprocessing = Preprocessing if row["task"] == "classification" else LetterboxPreprocessing
    members: dict[str, Any] = {
        **row,
        "weights": convert(row["weights"], WeightsSource),
        "preprocessing": convert(row["preprocessing"], preprocessing),
        "accuracy": convert(row["accuracy"], tuple[Accuracy, ...]),
        "skeleton": convert(row.get("skeleton"), Skeleton | None),
        **{name: tuple(row[name]) for name in ("class_names", "category_ids") if name in row},
    }
    return CatalogEntry(**members)
