"""What the dashboard of versions shows: requests, errors and latency of canaries, and the agreement of shadows."""

from __future__ import annotations

from deploy.grafana.board import Dashboard
from deploy.grafana.panels import Panel, Query

_OF_MODEL = 'task=~"$task",model=~"$model",version!=""'
_SHADOW = 'model=~"$model"'
_FAILED = 'outcome=~"internal_error|non_finite_answer|overloaded|not_ready|backend_failed|out_of_time"'
_LEGEND = "{{model}}@{{version}}"


def _rate(metric: str, labels: str, by: str = "model, version") -> str:
    return f"sum by ({by}) (rate({metric}{{{labels}}}[$__rate_interval]))"


VERSIONS = Dashboard(
    "versions",
    "Tapetum: versions",
    "How a new version does beside the old one: as a canary, and as a shadow.",
    {"task": "tapetum_model_configured", "model": "tapetum_model_configured"},
    {
        "Canary": [
            Panel(
                "Requests",
                "Requests a second, by the version that answered.",
                "reqps",
                [Query(_rate("tapetum_requests_total", _OF_MODEL), _LEGEND)],
                stacked=True,
            ),
            Panel(
                "Failed requests",
                "Share of the requests of a version that failed for a reason of the service.",
                "percentunit",
                [
                    Query(
                        f"({_rate('tapetum_requests_total', f'{_OF_MODEL},{_FAILED}')}"
                        f" or 0 * {_rate('tapetum_requests_total', _OF_MODEL)})"
                        f" / {_rate('tapetum_requests_total', _OF_MODEL)}",
                        _LEGEND,
                    )
                ],
                limit=0.01,
            ),
            Panel(
                "99th percentile",
                "99 of 100 requests of a version take at most so long, cached answers too.",
                "s",
                [
                    Query(
                        "histogram_quantile(0.99, "
                        + _rate("tapetum_request_duration_seconds_bucket", _OF_MODEL, "le, model, version")
                        + ")",
                        _LEGEND,
                    )
                ],
            ),
        ],
        "Shadow": [
            Panel(
                "Agreement",
                "Mean agreement with the version that answered, by figure: 1 is the same answer.",
                "percentunit",
                [
                    Query(
                        f"{_rate('tapetum_shadow_agreement_sum', _SHADOW, 'model, version, metric')}"
                        f" / {_rate('tapetum_shadow_agreement_count', _SHADOW, 'model, version, metric')}",
                        f"{_LEGEND} {{{{metric}}}}",
                    )
                ],
            ),
            Panel(
                "Disagreements",
                "Images a second on which a figure of the agreement is below 0.75.",
                "ops",
                [Query(_rate("tapetum_shadow_disagreements_total", _SHADOW), _LEGEND)],
            ),
            Panel(
                "Images of shadows",
                "By what became of them. They are dropped where other images wait.",
                "ops",
                [
                    Query(
                        _rate("tapetum_shadow_images_total", _SHADOW, "model, version, outcome"),
                        f"{_LEGEND} {{{{outcome}}}}",
                    )
                ],
                stacked=True,
            ),
        ],
    },
)
