"""A dashboard: its panels in rows, what a reader can choose, and its JSON for Grafana."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as dashboard_models

from deploy.grafana.panels import SOURCE, Panel


@dataclass(frozen=True)
class Dashboard:
    """A dashboard.

    Attributes:
        name: Of its file, and the end of its address in Grafana.
        title: What it is about.
        description: Which question it answers.
        variables: What a reader can choose, and the metric that has the choices as a label.
        rows: Panels by the title of their row.
    """

    name: str
    title: str
    description: str
    variables: Mapping[str, str]
    rows: Mapping[str, Sequence[Panel]]

    def to_json(self) -> str:
        """The file for Grafana."""
        made = dashboard.Dashboard(self.title).uid(f"tapetum-{self.name}").description(self.description)
        made = made.tags(["tapetum"]).readonly().timezone("browser").time("now-1h", "now").refresh("30s")
        made = made.tooltip(dashboard_models.DashboardCursorSync.CROSSHAIR)
        others = dashboard.DashboardLink("Tapetum").type(dashboard_models.DashboardLinkType.DASHBOARDS)
        made = made.link(others.tags(["tapetum"]).as_dropdown(False).keep_time(True).include_vars(True))
        made = made.with_variable(dashboard.DatasourceVariable("datasource").label("Source").type("prometheus"))
        for name, metric in self.variables.items():
            made = made.with_variable(_variable(name, metric))
        for title, panels in self.rows.items():
            made = made.with_row(dashboard.Row(title))
            for panel in panels:
                made = made.with_panel(panel.build())
        document: dict[str, Any] = json.loads(json.dumps(made.build(), cls=JSONEncoder))
        for number, panel in enumerate(document["panels"], 1):
            panel["id"] = number
        return json.dumps(document, indent=2, sort_keys=True) + "\n"


def _variable(name: str, metric: str) -> dashboard.QueryVariable:
    made = dashboard.QueryVariable(name).label(name.capitalize()).query(f"label_values({metric}, {name})")
    made = made.datasource(SOURCE).refresh(dashboard_models.VariableRefresh.ON_TIME_RANGE_CHANGED).multi(True)
    everything = dashboard_models.VariableOption(selected=True, text=["All"], value=["$__all"])
    return (
        made.current(everything).include_all(True).all_value(".*").sort(dashboard_models.VariableSort.ALPHABETICAL_ASC)
    )
