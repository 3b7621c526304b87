"""Catalog entries of models that no catalog has."""

from __future__ import annotations

from typing import Any

from models.entries import CatalogEntry, WeightsSource


def fake_entry(task: str, preprocessing: Any, class_names: tuple[str, ...], **more: Any) -> CatalogEntry:
    """An entry of a model without weights.

    Args:
        task: As in the entry.
        preprocessing: Likewise.
        class_names: Likewise.
        more: Further members of the entry; `defaults` is empty unless it is given.
    """
    return CatalogEntry(
        name="fake",
        version="1",
        task=task,
        architecture="none",
        weights=WeightsSource("none", "", None, "Apache-2.0", "a test"),
        preprocessing=preprocessing,
        class_count=len(class_names),
        licence="Apache-2.0",
        accuracy=(),
        description="Sees things.",
        class_names=class_names,
        **{"defaults": {}, **more},
    )
