"""Measures how long `tapetum serve` takes until it is ready, and the memory of all its processes (Linux only).

    python -m loadtests.start                    # all of it
    python -m loadtests.start --only first --repeats 5

    first       the models that the configuration preloads: the others are loaded on demand
    all         every model of the configuration
    on-demand   a model that nobody uses is loaded by a request and unloaded again, ten times
    own         `tapetum models add` of an ONNX file, and `tapetum serve` of that model until its first answer

Memory is the proportional set size (PSS) of every process that belongs to the stack: pages that several processes
share count once. It is read once the stack has been idle for 15 s, after which it holds no activations.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Final

import psutil
import typer
import yaml

from loadtests.contenders import JPEG, Contender, tapetum, tapetum_program
from loadtests.photos import SMALL, photos
from loadtests.processes import RunningSystem, post
from loadtests.workloads import WORKLOADS
from models.catalog.lookup import find
from services.local.stack import DEFAULT_CONFIG

IDLE_S: Final = 15.0
TURNS: Final = 10
LOADED: Final = ("segmentation", "mask-rcnn-nuclei")
"""Task and name of the model of `on-demand`."""
EXPORTED: Final = ("detection", "yolo-person")
"""Task and name of the model whose ONNX file is added."""
_ADMIN_KEY: Final = "loadtests-start"
_MIB: Final = 2**20


class Part(StrEnum):
    """What is measured, see the top of this module."""

    FIRST = "first"
    ALL = "all"
    ON_DEMAND = "on-demand"
    OWN = "own"


def start(
    only: Annotated[list[Part] | None, typer.Option(help="Just this; may be given again.")] = None,
    repeats: Annotated[int, typer.Option(min=1, max=20, help="Starts of each kind.")] = 3,
    config: Annotated[Path, typer.Option(help="Tapetum's Serve configuration file.")] = DEFAULT_CONFIG,
) -> None:
    """Measure the time that a start takes, and memory when idle."""
    with tempfile.TemporaryDirectory(prefix="tapetum-start-") as name:
        folder = Path(name)
        for part in only or list(Part):
            if part is Part.ON_DEMAND:
                _show_loads(config, folder)
            elif part is Part.OWN:
                _show_own(folder)
            else:
                _show_starts(part, config if part is Part.FIRST else _without_preload(config, folder), repeats, folder)


def _show_starts(part: Part, config: Path, repeats: int, folder: Path) -> None:
    ready_s: list[float] = []
    idle_mib: list[float] = []
    for _ in range(repeats):
        started_at = time.monotonic()
        with _running(config, folder) as (system, _):
            ready_s.append(time.monotonic() - started_at)
            time.sleep(IDLE_S)
            idle_mib.append(pss_mib(system))
    print(f"{part}: ready after {_range(ready_s)} s; idle {_range(idle_mib)} MiB", flush=True)


def _show_loads(config: Path, folder: Path) -> None:
    task, model = LOADED
    (photo,) = photos(SMALL, ["coffee"])
    path, key = f"{WORKLOADS[task].path}?model={model}", {"X-API-Key": _ADMIN_KEY}
    with _running(config, folder) as (system, port):
        time.sleep(IDLE_S)
        print(f"on-demand: {model}; before {pss_mib(system):.0f} MiB", flush=True)
        for turn in range(1, TURNS + 1):
            started_at = time.monotonic()
            _expect(200, post(port, path, photo, JPEG))
            first_s = time.monotonic() - started_at
            time.sleep(IDLE_S)
            loaded_mib = pss_mib(system)
            _expect(200, post(port, f"/v1/models/{model}@{find(model).version}/unload", b"", key))
            time.sleep(IDLE_S)
            unloaded_mib = pss_mib(system)
            print(
                f"{turn}: first answer {first_s:.1f} s, {loaded_mib:.0f} MiB; unloaded {unloaded_mib:.0f} MiB",
                flush=True,
            )


def _show_own(folder: Path) -> None:
    task, model = EXPORTED
    (photo,) = photos(SMALL, ["astronaut"])
    file, catalog = folder / "best.onnx", {"TAPETUM_CATALOG": str(folder / "catalog")}
    Path(catalog["TAPETUM_CATALOG"]).mkdir()
    _run("export", "onnx", model, "--output", str(file))
    started_at = time.monotonic()
    _run("models", "add", str(file), "--name", "best", "--yes", environment=catalog)
    added_at = time.monotonic()
    serve = Contender("own model", [tapetum_program(), "serve", "--model", "best", "--port"], environment=catalog)
    with serve.running(folder) as (_, port):
        _expect(200, post(port, WORKLOADS[task].path, photo, JPEG))
        ended_at = time.monotonic()
    added_s, answered_s = added_at - started_at, ended_at - added_at
    print(f"own: added in {added_s:.1f} s, answered {answered_s:.1f} s later: {added_s + answered_s:.1f} s", flush=True)


def _run(*arguments: str, environment: Mapping[str, str] | None = None) -> None:
    subprocess.run([tapetum_program(), *arguments], env={**os.environ, **(environment or {})}, check=True)


@contextmanager
def _running(config: Path, folder: Path) -> Iterator[tuple[RunningSystem, int]]:
    contender = replace(tapetum(config), environment={"TAPETUM_ADMIN_KEYS": _ADMIN_KEY})
    with contender.running(folder) as running:
        yield running


def pss_mib(system: RunningSystem) -> float:
    """Proportional set size of all processes of a system, in MiB."""
    total = 0
    for process in system.processes():
        with suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total / _MIB


def _without_preload(config: Path, folder: Path) -> Path:
    document: dict[str, Any] = yaml.safe_load(config.read_text(encoding="utf-8"))
    document["applications"][0]["args"].pop("preload", None)
    target = folder / "all.yaml"
    target.write_text(yaml.safe_dump(document), encoding="utf-8")
    return target


def _range(values: Sequence[float]) -> str:
    digits = 1 if max(values) < 100 else 0
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _expect(status: int, answer: tuple[int, bytes]) -> None:
    if answer[0] != status:
        raise SystemExit(f"status {answer[0]}: {answer[1][:500].decode(errors='replace')}")


if __name__ == "__main__":
    typer.run(start)
