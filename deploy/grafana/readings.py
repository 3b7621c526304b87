"""What Prometheus answers: series of numbers over time, with the names that a legend gives them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from deploy.grafana.panels import Query


@dataclass(frozen=True)
class Series:
    """A line of a panel.

    Attributes:
        name: In the legend.
        times_s: Unix times, ascending.
        values: At each of them; NaN where there is none.
    """

    name: str
    times_s: tuple[float, ...]
    values: tuple[float, ...]

    @property
    def latest(self) -> float:
        """The newest number; NaN where there is none."""
        return next((value for value in reversed(self.values) if math.isfinite(value)), math.nan)


class Prometheus:
    """A running Prometheus.

    Args:
        url: Its address, such as `http://127.0.0.1:9090`.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def now(self, expr: str) -> list[dict[str, Any]]:
        """The samples of a query, each with its labels as `metric` and its time and number as `value`.

        Raises:
            ValueError: Prometheus refuses the query; the message says why.
        """
        return self._ask("query", {"query": expr})

    def over_time(self, query: Query, interval: str, start_s: float, end_s: float, step_s: float) -> list[Series]:
        """A query at many times.

        Args:
            query: Of a panel.
            interval: Of its rates.
            start_s: Unix time of the first point.
            end_s: Unix time of the last one.
            step_s: Between two.
        """
        asked = {"query": query.filled(interval), "start": start_s, "end": end_s, "step": step_s}
        found = self._ask("query_range", asked)
        return [_series(query, row["metric"], row["values"]) for row in found]

    def _ask(self, what: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        answer = httpx.get(f"{self._url}/api/v1/{what}", params=params, timeout=30).json()
        if answer["status"] != "success":
            raise ValueError(f"{params['query']}: {answer['error']}")
        return answer["data"]["result"]


def _series(query: Query, labels: Mapping[str, str], values: list[tuple[float, str]]) -> Series:
    name = re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), query.legend)
    return Series(name.strip(), tuple(float(at) for at, _ in values), tuple(float(value) for _, value in values))
