"""Checkpoints of a training run: written atomically, so that a kill or a full disk leaves the last one intact."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final, cast

import torch

_NEWEST: Final = "checkpoint.pt"
_PREVIOUS: Final = "checkpoint.previous.pt"

_log = logging.getLogger(__name__)


class CannotResume(ValueError):
    """A run cannot go on from the checkpoints that are in its folder; the message says why, and what to do."""


class Checkpoints:
    """The last two checkpoints of a run, so that there is one even where the newest did not reach the disk whole.

    Args:
        folder: Where they are kept.
    """

    def __init__(self, folder: Path) -> None:
        self.newest = folder / _NEWEST
        self._previous = folder / _PREVIOUS

    def save(self, state: dict[str, Any]) -> None:
        """Writes one; the newest of before becomes the previous one.

        Args:
            state: Tensors, strings and numbers, in dictionaries and lists.

        Raises:
            OSError: It cannot be written; the newest of before is still there.
        """
        partial = self.newest.with_suffix(".partial")
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        if self.newest.exists():
            self.newest.replace(self._previous)
        partial.replace(self.newest)

    def load(self) -> dict[str, Any] | None:
        """Reads the newest that is whole, running no code that it may hold.

        Returns:
            What was saved, on the CPU; None where nothing was.

        Raises:
            CannotResume: There are checkpoints, but none is whole.
        """
        there = [path for path in (self.newest, self._previous) if path.exists()]
        for path in there:
            try:
                return torch.load(path, map_location="cpu", weights_only=True)
            except (UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError):
                _log.warning("%s is truncated or corrupt", path)
        if there:
            names = " and ".join(path.name for path in there)
            raise CannotResume(
                f"{self.newest.parent}: {names} cannot be read (truncated or corrupt); remove them to start anew"
            )
        return None


def check_settings(path: Path, saved: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Makes sure that a checkpoint belongs to what is to go on.

    Args:
        path: Of the checkpoint, for the message.
        saved: Its settings, read from JSON.
        asked: Those of the run.

    Raises:
        CannotResume: They differ; the message names the first that does.
    """
    before, now = _flat(saved), _flat(json.loads(json.dumps(asked)))
    for key in sorted({*before, *now}):
        if before.get(key) != now.get(key):
            raise CannotResume(
                f"{path} is of a run with {key} {before.get(key)!r}, not {now.get(key)!r}: "
                "give the same options to go on, or another folder to start anew"
            )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} to {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(cast("dict[str, Any]", value), f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
