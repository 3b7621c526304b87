"""Reads which metrics and labels a PromQL expression names, and holds them against the metrics of the service."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from services import telemetry
from tests.checkout import ROOT

RULES = ROOT / "deploy" / "prometheus" / "rules"
_SELECTOR = re.compile(r"(?<![\w\"{,=~])([a-zA-Z_][\w:]*)\s*(\{[^}]*\})?(?!\s*\(|[\w:])")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_WORDS = frozenset({"and", "or", "unless", "by", "on", "bool", "offset", "without", "ignoring"})
_OF_PROMETHEUS = {"up": {"job", "instance"}, "ALERTS": {"alertname", "alertstate", "severity"}}


class Selector(NamedTuple):
    """A metric in an expression, with the label, the operator and the text of each matcher."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]


def selectors(expr: str) -> list[Selector]:
    """Every metric of an expression."""
    bare = re.sub(r"\[[^\]]*\]|\boffset\s+\w+", "", _GROUPING.sub("", expr))
    found = ((match[1], match[2] or "") for match in _SELECTOR.finditer(bare))
    return [
        Selector(name, tuple(_MATCHER.findall(braces)))
        for name, braces in found
        if name not in _WORDS and not name.isnumeric()
    ]


def grouping_labels(expr: str) -> set[str]:
    """Every label that an expression groups or joins by."""
    return {label.strip() for match in _GROUPING.finditer(expr) for label in match[1].split(",") if label.strip()}


def documents(folder: Path) -> Mapping[str, Any]:
    """The YAML files of a folder, by their names."""
    return {path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.yml"))}


def rules(kind: str) -> dict[str, dict[str, Any]]:
    """All rules by name; `kind` is `alert` or `record`."""
    groups = [group for document in documents(RULES).values() for group in document["groups"]]
    return {rule[kind]: rule for group in groups for rule in group["rules"] if kind in rule}


@cache
def labels_of_metrics() -> dict[str, frozenset[str]]:
    """Every series that a scrape of the service can have, and every one that a rule records, with its labels."""
    assert telemetry.REQUESTS
    known = {name: frozenset(labels) for name, labels in _OF_PROMETHEUS.items()}
    for collector in tuple(REGISTRY._collector_to_names):
        if not isinstance(collector, MetricWrapperBase) or not collector._name.startswith("tapetum_"):
            continue
        labels = frozenset(collector._labelnames)
        name = collector._name
        if collector._type == "histogram":
            known |= {f"{name}_sum": labels, f"{name}_count": labels, f"{name}_bucket": labels | {"le"}}
        else:
            known[f"{name}_total" if collector._type == "counter" else name] = labels
    known |= {gauge.name: frozenset(gauge.labels) for gauge in telemetry.COMPUTED_GAUGES}
    return known | {name: frozenset({"task"} if name.startswith("task:") else ()) for name in rules("record")}


def unknown_in(expr: str) -> list[str]:
    """Metrics that do not exist, and labels that the metrics of this expression do not have."""
    known = labels_of_metrics()
    found = selectors(expr)
    problems = [selector.metric for selector in found if selector.metric not in known]
    for selector in found:
        labels = known.get(selector.metric, frozenset())
        problems += [f"{selector.metric}{{{label}}}" for label, _, _ in selector.matchers if label not in labels]
    everywhere = frozenset[str]().union(*(known.get(selector.metric, ()) for selector in found))
    return problems + [f"by ({label})" for label in sorted(grouping_labels(expr) - everywhere)]
