"""The folder of a run: results are stored chunk by chunk, so that a stopped job can be resumed.

result.json        the figures, and all that they depend on
predictions.json   the predictions, in COCO's results format
targets.json       the ground truth, as COCO annotations, for detectors and instance masks
report.html        all of it for people
parts/             only while the job is not finished: plan.json, and two files for every finished chunk
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final, overload

import orjson

from models.files import replaced
from services.evaluation.lines import Line
from services.evaluation.scoring import MetricState
from services.evaluation.worker import Chunk, ChunkResult, unpack

PLAN: Final = "plan.json"
RESULT: Final = "result.json"
REPORT: Final = "report.html"
PREDICTIONS: Final = "predictions.json"
TARGETS: Final = "targets.json"


class RunFolderError(Exception):
    """The folder cannot be used for this run; the message is one line for a person."""


class RunFolder:
    """The files of a job.

    Args:
        path: The folder; created with the first chunk.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._parts = path / "parts"

    def open(self, plan: Mapping[str, Any]) -> bool:
        """Start or resume the run of a plan.

        Args:
            plan: Everything that the predictions depend on, JSON-able.

        Returns:
            Whether a stopped run is resumed.

        Raises:
            RunFolderError: the folder holds another, unfinished run.
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
        """Whether the folder holds exactly this run, unfinished."""
        return self._plan() == orjson.loads(orjson.dumps(plan))

    def _plan(self) -> dict[str, Any] | None:
        try:
            return orjson.loads((self._parts / PLAN).read_bytes())
        except (OSError, ValueError):
            return None

    def clear(self) -> None:
        """Delete the chunks."""
        shutil.rmtree(self._parts, ignore_errors=True)

    def add(self, result: ChunkResult) -> None:
        """Write the files of a chunk; it is finished once the second one exists."""
        with replaced(self._lines_path(result.chunk)) as file:
            file.write(result.lines)
        with replaced(self._columns_path(result.chunk)) as file:
            file.write(result.columns)

    def has(self, chunk: Chunk) -> bool:
        """Whether a chunk is finished."""
        return self._columns_path(chunk).is_file()

    def lines(self, chunks: Sequence[Chunk]) -> Iterator[Line]:
        """The records of finished chunks, one chunk in memory at a time."""
        for chunk in chunks:
            yield from map(orjson.loads, self._lines_path(chunk).read_bytes().splitlines())

    def columns(self, chunks: Sequence[Chunk]) -> Sequence[MetricState]:
        """The metric states of finished chunks, read from disk at every access."""
        return _StoredColumns([self._columns_path(chunk) for chunk in chunks])

    def _lines_path(self, chunk: Chunk) -> Path:
        return self._parts / f"{chunk.number:06d}.jsonl"

    def _columns_path(self, chunk: Chunk) -> Path:
        return self._parts / f"{chunk.number:06d}.npz"


class _StoredColumns(Sequence[MetricState]):
    """A sequence of metric states on disk; none is kept in memory."""

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


class JsonList:
    """Writes a JSON list row by row, in constant memory.

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
