"""The dashboards are what their generator makes, and ask for nothing that the service does not tell."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from deploy.grafana.board import Dashboard
from deploy.grafana.dashboards import DASHBOARDS, FOLDER
from deploy.grafana.panels import Panel, Query
from deploy.grafana.units import nice_ceiling, with_unit
from tests.checkout import DOCS
from tests.unit.promql import labels_of_metrics, selectors, unknown_in

PANELS = [panel for board in DASHBOARDS for panels in board.rows.values() for panel in panels]
QUERIES = [query for panel in PANELS for query in panel.queries]
PROVISIONING = FOLDER.parent / "provisioning"


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.name)
def test_file_is_what_the_generator_makes(board: Dashboard):
    assert (FOLDER / f"{board.name}.json").read_text(encoding="utf-8") == board.to_json()


def test_there_is_no_other_file():
    assert {path.name for path in FOLDER.iterdir()} == {f"{board.name}.json" for board in DASHBOARDS}


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.expr[:60])
def test_query_names_only_metrics_and_labels_that_exist(query: Query):
    assert selectors(query.filled())
    assert unknown_in(query.filled()) == []


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.expr[:60])
def test_legend_names_only_labels_that_the_query_keeps(query: Query):
    kept = {label.strip() for by in re.findall(r"by \(([^)]*)\)", query.expr) for label in by.split(",")}
    kept |= {"task"} if query.expr.startswith("task:") else set()
    assert set(re.findall(r"{{(\w+)}}", query.legend)) <= kept
    assert not re.search(r"[{}]", re.sub(r"{{\w+}}", "", query.legend))


@pytest.mark.parametrize(
    ("expr", "problem"),
    [
        ("sum(tapetum_request_total)", "tapetum_request_total"),
        ('sum(rate(tapetum_requests_total{replica="1"}[5m]))', "tapetum_requests_total{replica}"),
        ("sum by (stage) (rate(tapetum_requests_total[5m]))", "by (stage)"),
    ],
)
def test_misspelt_metric_or_label_is_found(expr: str, problem: str):
    assert unknown_in(expr) == [problem]


def test_every_metric_of_the_service_is_on_a_dashboard():
    text = " ".join(query.expr for query in QUERIES)
    rules = (FOLDER.parents[1] / "prometheus" / "rules" / "recording.yml").read_text(encoding="utf-8")
    families = {re.sub(r"_(sum|count|bucket)$", "", name) for name in labels_of_metrics() if ":" not in name}
    assert {name for name in families if name.startswith("tapetum_") and name not in text + rules} == set()


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_panel_says_what_it_shows(panel: Panel):
    assert panel.description.endswith(".")
    assert panel.queries


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.name)
def test_panels_fill_the_grid_without_overlap(board: Dashboard):
    taken: set[tuple[int, int]] = set()
    panels: list[dict[str, Any]] = json.loads(board.to_json())["panels"]
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_provisioned_source_scrapes_as_often_as_it_says():
    (source,) = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text())["datasources"]
    scraping = yaml.safe_load((FOLDER.parents[1] / "prometheus" / "prometheus.yml").read_text())["global"]
    assert source["jsonData"]["timeInterval"] == scraping["scrape_interval"]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0123, "s", "12.3 ms"),
        (90.0, "s", "1.5 min"),
        (0.0, "s", "0 s"),
        (0.001, "percentunit", "0.1 %"),
        (1234.0, "reqps", "1.23k/s"),
        (3.0, "short", "3"),
        (float("nan"), "s", "–"),
    ],
)
def test_number_has_its_unit(value: float, unit: str, text: str):
    assert with_unit(value, unit) == text


def test_axis_ends_at_a_round_number():
    assert [nice_ceiling(value) for value in (0.0, 0.07, 1.0, 3.1, 2600.0)] == [1.0, 0.1, 1.0, 4.0, 4000.0]


def test_images_of_the_page_are_small():
    pictures = list((DOCS / "images").glob("dashboard-*.svg"))
    assert {picture.stem for picture in pictures} == {f"dashboard-{board.name}" for board in DASHBOARDS}
    assert all(picture.stat().st_size < 300_000 for picture in pictures)
