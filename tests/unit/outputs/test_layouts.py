"""The table of layouts: names that a user types, and the documentation of each."""

from __future__ import annotations

import re

import pytest

from models.kinds import KINDS
from models.outputs.layouts import LAYOUTS, OutputLayout
from tests.checkout import ROOT

ROWS = dict(
    re.findall(r"^\| `([\w-]+)` \| (\w+) \| .+ \| .+ \|$", (ROOT / "docs" / "extending.md").read_text(), re.MULTILINE)
)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
def test_layout_is_in_the_table_of_the_documentation_with_its_kind(layout: OutputLayout):
    assert ROWS[layout.name] == layout.kind


def test_documentation_has_no_further_layouts():
    assert set(ROWS) == set(LAYOUTS)


def test_names_are_short_and_of_a_known_kind():
    for layout in LAYOUTS.values():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", layout.name)
        assert len(layout.name) <= 24
        assert layout.kind in KINDS
        assert "\n" not in layout.description


def test_networks_that_drop_duplicates_and_networks_of_one_image():
    final = {layout.name for layout in LAYOUTS.values() if layout.is_final}
    assert final == {
        "end-to-end",
        "detr",
        "rt-detr",
        "rt-detr-rows",
        "labels-boxes-scores",
        "torchvision",
        "efficient-nms",
        "mmdeploy",
        "end-to-end-segmentation",
        "torchvision-masks",
    }
    assert {layout.name for layout in LAYOUTS.values() if layout.one_by_one} == {"torchvision", "torchvision-masks"}
