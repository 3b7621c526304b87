"""What the dashboard of accuracy shows: evaluations, feedback and drift."""

from __future__ import annotations

from deploy.grafana.board import Dashboard
from deploy.grafana.panels import Panel, Query

_HEADLINE = 'metric=~"top1|map|f1|miou"'

ACCURACY = Dashboard(
    "accuracy",
    "Tapetum: accuracy and drift",
    "Are the answers right: evaluations of the weights that are served, feedback, and drift.",
    {"model": "tapetum_model_configured"},
    {
        "Evaluations": [
            Panel(
                "Evaluated accuracy",
                "What the latest evaluation of the very weights that are served measured.",
                "percentunit",
                [
                    Query(
                        f'max by (model, dataset, metric) (tapetum_model_accuracy{{model=~"$model",{_HEADLINE}}})',
                        "{{model}} {{metric}} on {{dataset}}",
                    )
                ],
                "bars",
                12,
                maximum=1.0,
            ),
            Panel(
                "Age of evaluations",
                "An alert begins at 30 days.",
                "s",
                [
                    Query(
                        'min by (model, dataset) (tapetum_model_accuracy_age_seconds{model=~"$model"})',
                        "{{model}} on {{dataset}}",
                    )
                ],
                "bars",
                8,
                limit=30 * 86400.0,
            ),
            Panel(
                "Never evaluated",
                "Models that are served, and that nobody measured.",
                "short",
                [
                    Query(
                        'count(max by (model) (tapetum_model_ready{model=~"$model"})'
                        " unless on (model) max by (model) (tapetum_model_accuracy)) or vector(0)"
                    )
                ],
                "stat",
                4,
                limit=1.0,
            ),
        ],
        "Feedback": [
            Panel(
                "Live accuracy",
                "Of the latest answers that feedback was given on.",
                "percentunit",
                [
                    Query(
                        'max by (model, metric) (tapetum_live_accuracy{model=~"$model"})',
                        "{{model}} {{metric}}",
                    )
                ],
                maximum=1.0,
            ),
            Panel(
                "Samples",
                "Feedbacks that the live accuracy is of: of n, it is within about 1 / √n.",
                "short",
                [Query('max by (model) (tapetum_live_accuracy_samples{model=~"$model"})', "{{model}}")],
            ),
            Panel(
                "Feedback by outcome",
                "Images a second that somebody told the truth about: ok, or the code of the error.",
                "ops",
                [
                    Query(
                        'sum by (outcome) (rate(tapetum_feedback_total{model=~"$model|"}[$__rate_interval]))',
                        "{{outcome}}",
                    )
                ],
                stacked=True,
            ),
        ],
        "Drift": [
            Panel(
                "Drift",
                "How far answers are from those of the evaluation: the population stability index. Above 0.25: much.",
                "short",
                [
                    Query(
                        'max by (model, kind) (tapetum_model_drift{model=~"$model"})',
                        "{{model}} by {{kind}}",
                    )
                ],
                width=12,
                limit=0.25,
            ),
            Panel(
                "Drift by chance",
                "What the index is on average where nothing has shifted: read the drift against it.",
                "short",
                [
                    Query(
                        'max by (model, kind) (tapetum_model_drift_by_chance{model=~"$model"})',
                        "{{model}} by {{kind}}",
                    )
                ],
                width=12,
            ),
        ],
    },
)
