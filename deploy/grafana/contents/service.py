"""What the dashboard of the service shows: rate, errors and duration of requests."""

from __future__ import annotations

from deploy.grafana.board import Dashboard
from deploy.grafana.panels import Panel, Query, percentiles

_REQUESTS = 'tapetum_requests_total{task=~"$task"}'
_DURATION = 'tapetum_request_duration_seconds_bucket{task=~"$task",model!=""}'

SERVICE = Dashboard(
    "service",
    "Tapetum: service",
    "Is it answering, how fast, and what fails: rate, errors, duration.",
    {"task": "tapetum_requests_total"},
    {
        "Now": [
            Panel(
                "Requests",
                "Requests to prediction endpoints, whatever became of them.",
                "reqps",
                [Query(f"sum(rate({_REQUESTS}[$__rate_interval]))")],
                "stat",
                5,
            ),
            Panel(
                "Failed",
                "Share of requests that failed for a reason of the service, of the worst task. The objective is 0.1 %.",
                "percentunit",
                [Query('max(task:tapetum_request_failures:ratio_rate5m{task=~"$task"})')],
                "stat",
                5,
                limit=0.001,
            ),
            Panel(
                "99th percentile",
                "99 of 100 requests take at most so long.",
                "s",
                percentiles(_DURATION, "", [0.99]),
                "stat",
                5,
                limit=1.0,
            ),
            Panel(
                "In flight",
                "Requests being worked on.",
                "short",
                [Query("sum(tapetum_requests_in_flight)")],
                "stat",
                5,
            ),
            Panel(
                "Alerts",
                "Alerts that fire.",
                "short",
                [Query('count(ALERTS{alertstate="firing"}) or vector(0)')],
                "stat",
                4,
                limit=1.0,
            ),
        ],
        "Rate": [
            Panel(
                "Requests by task",
                "Requests a second.",
                "reqps",
                [Query(f"sum by (task) (rate({_REQUESTS}[$__rate_interval]))", "{{task}}")],
                stacked=True,
            ),
            Panel(
                "Requests by outcome",
                "ok, partial (some images of a list failed), or the code of the error.",
                "reqps",
                [Query(f"sum by (outcome) (rate({_REQUESTS}[$__rate_interval]))", "{{outcome}}")],
                stacked=True,
            ),
            Panel(
                "Images per request",
                "Above 1 where clients send lists.",
                "short",
                [
                    Query(
                        'sum by (task) (rate(tapetum_request_images_total{task=~"$task"}[$__rate_interval]))'
                        f" / sum by (task) (rate({_REQUESTS}[$__rate_interval]))",
                        "{{task}}",
                    )
                ],
            ),
        ],
        "Errors": [
            Panel(
                "Failed requests",
                "Share of requests that failed for a reason of the service, over 5 minutes.",
                "percentunit",
                [Query('task:tapetum_request_failures:ratio_rate5m{task=~"$task"}', "{{task}}")],
                limit=0.001,
            ),
            Panel(
                "Burn rate of the error budget",
                "1 uses up the budget of 30 days in 30 days; alerts begin at 14.4 over an hour and at 6 over six.",
                "short",
                [
                    Query(f'max(task:tapetum_request_failures:ratio_rate{window}{{task=~"$task"}}) / 0.001', window)
                    for window in ("5m", "1h", "6h")
                ],
                limit=14.4,
            ),
            Panel(
                "Time spent on failed requests",
                "Seconds of request duration a second, by model: what failures take away from answers.",
                "short",
                [
                    Query(
                        "sum by (model) (rate("
                        'tapetum_failed_request_duration_seconds_total{task=~"$task"}[$__rate_interval]))',
                        "{{model}}",
                    )
                ],
            ),
            Panel(
                "Images of lists without an answer",
                "By the code of the error; the others of the list are answered. Most are broken files of clients.",
                "ops",
                [
                    Query(
                        'sum by (reason) (rate(tapetum_image_errors_total{task=~"$task"}[$__rate_interval]))',
                        "{{reason}}",
                    )
                ],
                stacked=True,
            ),
        ],
        "Duration": [
            Panel(
                "Percentiles",
                "From the first byte read to the answer, cached answers too.",
                "s",
                percentiles(_DURATION, "", [0.5, 0.9, 0.99]),
            ),
            Panel(
                "99th percentile by task",
                "The objective is 1 s for 99 % of requests.",
                "s",
                percentiles(_DURATION, "task", [0.99]),
                limit=1.0,
            ),
            Panel(
                "Slow requests",
                "Share of requests that take more than a second, over 5 minutes.",
                "percentunit",
                [Query('task:tapetum_slow_requests:ratio_rate5m{task=~"$task"}', "{{task}}")],
                limit=0.01,
            ),
        ],
        "Explanations": [
            Panel(
                "Explanations by method",
                "Requests for explanations a second; they have a process of their own.",
                "reqps",
                [Query("sum by (method) (rate(tapetum_explanations_total[$__rate_interval]))", "{{method}}")],
                stacked=True,
            ),
            Panel(
                "Explanations by outcome",
                "ok, or the code of the error.",
                "reqps",
                [Query("sum by (outcome) (rate(tapetum_explanations_total[$__rate_interval]))", "{{outcome}}")],
                stacked=True,
            ),
            Panel(
                "Duration of explanations",
                "From the first byte read to the explanation; the first one waits for the process to start.",
                "s",
                percentiles("tapetum_explanation_duration_seconds_bucket", "", [0.5, 0.9]),
            ),
        ],
    },
)
