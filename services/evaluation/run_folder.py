"""The folder of a run: what is done is written down part by part, so that a stopped job goes on where it was.

result.json        the figures, and all that they depend on
predictions.json   what the model said, as COCO's result files have it
targets.json       what is known, as COCO's annotation files have it, for detectors and instance masks
report.html        all of it for people
parts/             only while the job is not finished: plan.json, and two files for every finished part
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, overload
from uuid import uuid4

import orjson

from services.evaluation.lines import Line
from services.evaluation.scoring import MetricState
from services.evaluation.worker import Chunk, PartResult, unpack

PLAN: Final = "plan.json"
RESULT: Final = "result.json"
REPORT: Final = "report.html"
PREDICTIONS: Final = "predictions.json"
TARGETS: Final = "targets.json"


class RunFolderError(Exception):
    """A folder that cannot take this run; the message is one line for a person."""


class RunFolder:
    """What a job keeps on disk.

    Args:
        path: The folder; made with the first part.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._parts = path / "parts"

    def open(self, plan: Mapping[str, Any]) -> bool:
        """Begin, or go on with, what a plan says.

        Args:
            plan: Everything that the answers depend on, JSON-able.

        Returns:
            Whether there is something to go on with.

        Raises:
            RunFolderError: another run is not finished there.
            OSError: the folder cannot be written.
        """
        known = self._plan()
        if known is not None and known != orjson.loads(orjson.dumps(plan)):
            different = ", ".join(sorted(key for key in {*plan, *known} if known.get(key) != plan.get(key)))
            raise RunFolderError(
                f"{self.path}: another run was stopped here, with another {different}; finish it, name another folder "
                "with --output, or begin anew with --fresh"
            )
        self._parts.mkdir(parents=True, exist_ok=True)
        with replaced(self._parts / PLAN) as file:
            file.write(orjson.dumps(plan, option=orjson.OPT_INDENT_2))
        return known is not None

    def is_unfinished(self, plan: Mapping[str, Any]) -> bool:
        """Whether exactly this run was stopped here."""
        return self._plan() == orjson.loads(orjson.dumps(plan))

    def _plan(self) -> dict[str, Any] | None:
        try:
            return orjson.loads((self._parts / PLAN).read_bytes())
        except (OSError, ValueError):
            return None

    def clear(self) -> None:
        """Forget the parts."""
        shutil.rmtree(self._parts, ignore_errors=True)

    def add(self, result: PartResult) -> None:
        """Write a part down; it counts as finished once its second file is there."""
        with replaced(self._lines_path(result.part)) as file:
            file.write(result.lines)
        with replaced(self._columns_path(result.part)) as file:
            file.write(result.columns)

    def has(self, part: Chunk) -> bool:
        """Whether a part is finished."""
        return self._columns_path(part).is_file()

    def lines(self, parts: Sequence[Chunk]) -> Iterator[Line]:
        """The lines of finished parts, one part in memory at a time."""
        for part in parts:
            yield from map(orjson.loads, self._lines_path(part).read_bytes().splitlines())

    def columns(self, parts: Sequence[Chunk]) -> Sequence[MetricState]:
        """What the metric kept of finished parts, read anew whenever one is asked for."""
        return _StoredColumns([self._columns_path(part) for part in parts])

    def _lines_path(self, part: Chunk) -> Path:
        return self._parts / f"{part.number:06d}.jsonl"

    def _columns_path(self, part: Chunk) -> Path:
        return self._parts / f"{part.number:06d}.npz"


class _StoredColumns(Sequence[MetricState]):
    """The arrays of parts, of which none is kept in memory."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, place: int) -> MetricState: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[MetricState]: ...
    def __getitem__(self, place: int | slice) -> MetricState | Sequence[MetricState]:
        if isinstance(place, slice):
            return _StoredColumns(self._paths[place])
        return unpack(self._paths[place].read_bytes())


@contextmanager
def replaced(path: Path) -> Generator[IO[bytes]]:
    """A file that takes the place of another once it is whole.

    Yields:
        The file to write to.

    Raises:
        OSError: it cannot be written.
    """
    part = path.with_name(f"{path.name}.{uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


class JsonList:
    """A JSON list that is written row by row, however long it gets.

    Args:
        file: To write to.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._rows = 0

    def __enter__(self) -> JsonList:
        self._file.write(b"[")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.write(b"\n]")

    def add(self, row: Mapping[str, Any]) -> None:
        """Write a row."""
        self._file.write(b",\n" if self._rows else b"\n")
        self._file.write(orjson.dumps(row))
        self._rows += 1

    @property
    def rows(self) -> int:
        """How many there are."""
        return self._rows
