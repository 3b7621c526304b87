"""The benchmark of layers: what its gateway leaves out, and what its table says."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from loadtests.layers import HAPROXY, RAY, Row, table
from loadtests.systems.layered_gateway import LAYERS, SKIP

HERE, THERE = Path("/here"), Path("/there")


def test_every_part_that_is_left_out_exists():
    # in a process of its own, which they change
    command = "from loadtests.systems.layered_gateway import SKIP\nfor skip in SKIP.values(): skip()"
    subprocess.run([sys.executable, "-c", command], check=True)
    assert [*SKIP] == [*LAYERS][2:]


def test_a_layer_adds_to_the_one_above_it_and_ray_to_the_server():
    figures = {"uvicorn": 0.1, RAY: 0.4, HAPROXY: 0.5, "routes": 0.2, "log": 0.9}
    lines = _lines({Row(layer, HERE, 8): value for layer, value in figures.items()}, HERE)
    assert [(cells[0], cells[2]) for cells in lines] == [
        ("uvicorn", "–"),
        (RAY, "0.300"),
        (HAPROXY, "0.100"),
        ("routes", "0.100"),
        ("log", "0.700"),
    ]


def test_another_checkout_is_compared_layer_by_layer():
    medians = {Row("log", HERE, 8): 0.5, Row("log", THERE, 8): 1.0}
    (cells,) = _lines(medians, THERE)
    assert cells[:4] == ["log", "1.000", "–", "2.00"]


def _lines(medians: dict[Row, float], checkout: Path) -> list[list[str]]:
    console = Console(file=io.StringIO(), width=200, record=True)
    console.print(table(medians, checkout, (8,), HERE))
    lines = [line.split("│")[1:-1] for line in console.export_text().splitlines() if "│" in line]
    return [[cell.strip() for cell in cells] for cells in lines]
