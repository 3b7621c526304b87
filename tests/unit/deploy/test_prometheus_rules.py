"""Rules and alerts ask for what the service tells, and each alert is explained and has tests of both kinds."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import pytest
import yaml

from services import errors
from services.telemetry import REQUEST_SECONDS
from tests.checkout import ROOT
from tests.unit.promql import documents, rules, selectors, unknown_in

PROMETHEUS = ROOT / "deploy" / "prometheus"
ALERTS, RECORDS = rules("alert"), rules("record")
EXPRESSIONS = {name: rule["expr"] for name, rule in (ALERTS | RECORDS).items()}
KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ServiceError)]
NOT_OF_PREDICTIONS = frozenset({errors.ExplainingUnavailable, errors.FeedbackUnavailable, errors.PlanUnavailable})
"""No request to a prediction endpoint ends with them."""


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_rule_names_only_metrics_and_labels_that_exist(name: str):
    assert selectors(EXPRESSIONS[name])
    assert unknown_in(EXPRESSIONS[name]) == []


def test_failures_are_the_errors_for_which_the_service_is_to_blame():
    to_blame = {kind.code for kind in KINDS if kind.status >= 500 and kind not in NOT_OF_PREDICTIONS}
    counted = [
        set(text.split("|"))
        for name, expr in EXPRESSIONS.items()
        if name.startswith("task:tapetum_request_failures")
        for selector in selectors(expr)
        for label, _, text in selector.matchers
        if label == "outcome"
    ]
    assert len(counted) == 7 + 4  # windows of shares, and of counts
    assert all(codes == to_blame for codes in counted)


def test_objective_of_latency_is_a_bucket():
    ends = {
        text
        for expr in RECORDS.values()
        for selector in selectors(expr["expr"])
        for label, _, text in selector.matchers
        if label == "le"
    }
    assert ends == {"1.0"}
    assert {float(end) for end in ends} <= set(REQUEST_SECONDS._upper_bounds)


@pytest.mark.parametrize("name", [name for name in RECORDS if re.search(r"\d[mhd]$", name)])
def test_recorded_series_has_the_window_of_its_name(name: str):
    window = re.search(r"\d+[mhd]$", name)
    assert window
    assert set(re.findall(r"\[(\w+)\]", RECORDS[name]["expr"])) == {window[0]}


def test_every_recorded_series_is_used():
    dashboards = " ".join(path.read_text() for path in (PROMETHEUS.parent / "grafana" / "dashboards").glob("*.json"))
    alerts = " ".join(rule["expr"] for rule in ALERTS.values())
    assert {name for name in RECORDS if name not in alerts + dashboards} == set()


@pytest.mark.parametrize("name", ALERTS)
def test_alert_is_explained(name: str):
    rule = ALERTS[name]
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook"}
    assert rule["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"


@pytest.mark.parametrize("name", ALERTS)
def test_alert_is_in_the_table_of_the_page(name: str):
    page = (PROMETHEUS.parents[1] / "docs" / "monitoring.md").read_text(encoding="utf-8")
    assert f"| [`{name}`](operations.md#{name.lower()}) | {ALERTS[name]['labels']['severity']} |" in page


def test_every_alert_is_tested_firing_and_silent():
    tested: defaultdict[str, set[bool]] = defaultdict(set)
    for document in documents(PROMETHEUS / "tests").values():
        for case in (case for test in document["tests"] for case in test["alert_rule_test"]):
            tested[case["alertname"]].add(bool(case["exp_alerts"]))
    assert tested == {name: {True, False} for name in ALERTS}


@pytest.mark.parametrize("name", documents(PROMETHEUS / "tests"))
def test_file_of_tests_loads_all_rules(name: str):
    named = yaml.safe_load((PROMETHEUS / "tests" / name).read_text())["rule_files"]
    assert {path.rpartition("/")[2] for path in named} == set(documents(PROMETHEUS / "rules"))


def test_configuration_loads_the_rules_and_scrapes_machine_and_nodes():
    configuration: dict[str, Any] = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    assert configuration["rule_files"] == ["rules/*.yml"]
    jobs = {job["job_name"]: job["dns_sd_configs"][0] for job in configuration["scrape_configs"]}
    assert {name: (*job["names"], job["port"]) for name, job in jobs.items()} == {
        "tapetum": ("tapetum", 8000),
        "tapetum-nodes": ("tapetum-nodes", 9464),
    }
    pattern = re.search(r'job=~"([^"]+)"', ALERTS["NodeDown"]["expr"])
    assert pattern and all(re.fullmatch(pattern[1], name) for name in jobs)
