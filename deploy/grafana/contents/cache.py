"""What the dashboard of the result cache shows."""

from __future__ import annotations

from deploy.grafana.board import Dashboard
from deploy.grafana.panels import Panel, Query

_LOOKUPS = 'tapetum_cache_requests_total{task=~"$task"}'
_HITS = 'tapetum_cache_requests_total{task=~"$task",outcome="hit"}'

CACHE = Dashboard(
    "cache",
    "Tapetum: cache",
    "How many images need no network, and whether Redis answers.",
    {"task": "tapetum_cache_requests_total"},
    {
        "Result cache": [
            Panel(
                "Hits",
                "Share of images that were answered from the cache.",
                "percentunit",
                [Query(f"sum(rate({_HITS}[$__rate_interval])) / sum(rate({_LOOKUPS}[$__rate_interval]))")],
                "stat",
                6,
                maximum=1.0,
            ),
            Panel(
                "Failures",
                "Share of look-ups that fail, over 5 minutes. Images then go through a network.",
                "percentunit",
                [Query("tapetum:cache_errors:ratio_rate5m")],
                "stat",
                6,
                limit=0.5,
                maximum=1.0,
            ),
            Panel(
                "Images asked for",
                "Images in requests, a second.",
                "ops",
                [Query('sum(rate(tapetum_request_images_total{task=~"$task"}[$__rate_interval]))')],
                "stat",
                6,
            ),
            Panel(
                "Images computed",
                "Images that went through a network, a second.",
                "ops",
                [Query('sum(rate(tapetum_images_total{task=~"$task"}[$__rate_interval]))')],
                "stat",
                6,
            ),
            Panel(
                "Look-ups by outcome",
                "hit, miss, coalesced (joined a call in flight), bypass (no-store, no-cache), error.",
                "ops",
                [Query(f"sum by (outcome) (rate({_LOOKUPS}[$__rate_interval]))", "{{outcome}}")],
                stacked=True,
            ),
            Panel(
                "Hits by task",
                "Share of images that were answered from the cache.",
                "percentunit",
                [
                    Query(
                        f"sum by (task) (rate({_HITS}[$__rate_interval]))"
                        f" / sum by (task) (rate({_LOOKUPS}[$__rate_interval]))",
                        "{{task}}",
                    )
                ],
                maximum=1.0,
            ),
            Panel(
                "Writes by outcome",
                "stored, too_large (above TAPETUM_CACHE_MAX_ENTRY_BYTES), error.",
                "ops",
                [Query("sum by (outcome) (rate(tapetum_cache_writes_total[$__rate_interval]))", "{{outcome}}")],
                stacked=True,
            ),
        ],
    },
)
