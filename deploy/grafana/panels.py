"""One panel of a dashboard: what it asks Prometheus, and how Grafana draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as dashboard_models

SOURCE: Final = dashboard_models.DataSourceRef(type_val="prometheus", uid="${datasource}")
"""The data source that a reader picks at the top of the dashboard."""

HEIGHTS: Final = {"lines": 8, "stat": 4, "bars": 8}


@dataclass(frozen=True)
class Query:
    """A question to Prometheus.

    Attributes:
        expr: In PromQL; `$task`, `$model` and `$__rate_interval` are filled in by Grafana.
        legend: Name of a series, with its labels as `{{label}}`.
    """

    expr: str
    legend: str = ""

    def filled(self, interval: str = "1m") -> str:
        """The question as Grafana asks it where everything is chosen.

        Args:
            interval: Of rates; Grafana takes four scrape intervals at least.
        """
        filled = self.expr.replace("$__rate_interval", interval)
        return filled.replace("$task", ".*").replace("$model", ".*")


def percentiles(bucket: str, by: str, shares: Sequence[float]) -> list[Query]:
    """Queries for percentiles of a histogram.

    Args:
        bucket: The metric of its buckets, with a selector.
        by: Label of which each value has lines of its own; empty: one line for all.
        shares: From 0 to 1.
    """
    prefix = f"{{{{{by}}}}} " if by else ""
    return [
        Query(
            f"histogram_quantile({share}, sum by (le{f', {by}' if by else ''}) (rate({bucket}[$__rate_interval])))",
            f"{prefix}p{share * 100:g}",
        )
        for share in shares
    ]


@dataclass(frozen=True)
class Panel:
    """A panel.

    Attributes:
        title: What is shown.
        description: What it means and when to worry, in a sentence.
        unit: Grafana's id of the unit, such as `s`, `reqps` or `percentunit`.
        queries: At least one.
        kind: Lines over time, the latest number, or a bar for each series.
        width: Of 24 columns.
        stacked: Whether lines lie on top of each other, as parts of a whole.
        limit: Where an alert begins, drawn as a line or as a change of colour.
        maximum: Upper end of the axis, where there is one.
    """

    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    kind: Literal["lines", "stat", "bars"] = "lines"
    width: int = 8
    stacked: bool = False
    limit: float | None = None
    maximum: float | None = None

    def build(self) -> Any:
        """The panel, as a builder of the SDK."""
        panel: Any = {"lines": self._lines, "stat": self._stat, "bars": self._bars}[self.kind]()
        panel = panel.title(self.title).description(self.description).unit(self.unit).datasource(SOURCE).min(0)
        panel = panel.span(self.width).height(HEIGHTS[self.kind]).thresholds(self._thresholds())
        if self.maximum is not None:
            panel = panel.max(self.maximum)
        for name, query in zip("ABCDEFGH", self.queries, strict=False):
            target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend or "__auto").ref_id(name)
            panel = panel.with_target(target.datasource(SOURCE).range() if self.kind == "lines" else target.instant())
        return panel

    def _lines(self) -> timeseries.Panel:
        legend = common.VizLegendOptions().show_legend(True).display_mode(common_models.LegendDisplayMode.LIST)
        tooltip = common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI)
        legend = legend.placement(common_models.LegendPlacement.BOTTOM).calcs([])
        panel = (
            timeseries.Panel().line_width(1).fill_opacity(40 if self.stacked else 10).legend(legend).tooltip(tooltip)
        )
        panel = panel.show_points(common_models.VisibilityMode.NEVER)
        if self.stacked:
            panel = panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A"))
        if self.limit is not None:
            dashed = common.GraphThresholdsStyleConfig().mode(common_models.GraphTresholdsStyleMode.DASHED)
            panel = panel.thresholds_style(dashed)
        return panel

    def _stat(self) -> stat.Panel:
        panel = stat.Panel().reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        return panel.color_mode(common_models.BigValueColorMode.VALUE)

    def _bars(self) -> bargauge.Panel:
        panel = bargauge.Panel().reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        panel = panel.orientation(common_models.VizOrientation.HORIZONTAL)
        return panel.display_mode(common_models.BarGaugeDisplayMode.BASIC)

    def _thresholds(self) -> dashboard.ThresholdsConfig:
        steps = [dashboard_models.Threshold(value=None, color="green")]
        if self.limit is not None:
            steps.append(dashboard_models.Threshold(value=self.limit, color="red"))
        return dashboard.ThresholdsConfig().mode(dashboard_models.ThresholdsMode.ABSOLUTE).steps(steps)
