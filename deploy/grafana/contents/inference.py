"""What the dashboard of the models shows: replicas, stages, batches, queue and calls."""

from __future__ import annotations

from deploy.grafana.board import Dashboard
from deploy.grafana.panels import Panel, Query, percentiles

_STAGE = 'tapetum_stage_duration_seconds_{}{{task=~"$task",model=~"$model"}}'
_FORWARD = 'tapetum_stage_duration_seconds_{}{{task=~"$task",model=~"$model",stage="forward"}}'
_OF_MODEL = '{task=~"$task",model=~"$model"}'

MODELS = Dashboard(
    "models",
    "Tapetum: models",
    "Where the time of an image goes, how full batches are, and whether the queue grows.",
    {"task": "tapetum_model_configured", "model": "tapetum_model_configured"},
    {
        "Replicas": [
            Panel(
                "Models ready",
                "Replicas in which a model is loaded and warm; 0 means that it cannot answer.",
                "short",
                [
                    Query(
                        f"sum by (model) (tapetum_model_ready{_OF_MODEL})"
                        f" or 0 * max by (model) (tapetum_model_configured{_OF_MODEL})",
                        "{{model}}",
                    )
                ],
                "bars",
            ),
            Panel(
                "Replicas",
                "Replicas of each deployment that have started.",
                "short",
                [Query("sum by (deployment) (tapetum_replicas)", "{{deployment}}")],
            ),
            Panel(
                "Time since the last request",
                "Of each model; a model that nobody asks could be unloaded.",
                "s",
                [Query(f"time() - max by (model) (tapetum_last_request_time_seconds{_OF_MODEL})", "{{model}}")],
            ),
            Panel(
                "Starts",
                "Starts of replicas within 15 minutes. More than three for each replica are a restart loop.",
                "short",
                [
                    Query(
                        "sum by (deployment) (changes(tapetum_replica_start_time_seconds[15m]))",
                        "{{deployment}}",
                    )
                ],
            ),
        ],
        "Stages": [
            Panel(
                "Where the time goes",
                "Seconds of work a second, by stage. The highest is the bottleneck.",
                "short",
                [Query(f"sum by (stage) (rate({_STAGE.format('sum')}[$__rate_interval]))", "{{stage}}")],
                stacked=True,
            ),
            Panel(
                "Mean time of a stage",
                "Of an image in decode, preprocess, queue and render; of a batch in forward and postprocess.",
                "s",
                [
                    Query(
                        f"sum by (stage) (rate({_STAGE.format('sum')}[$__rate_interval]))"
                        f" / sum by (stage) (rate({_STAGE.format('count')}[$__rate_interval]))",
                        "{{stage}}",
                    )
                ],
            ),
            Panel(
                "Forward pass",
                "Mean time of a batch in the network, by model.",
                "s",
                [
                    Query(
                        f"sum by (model) (rate({_FORWARD.format('sum')}[$__rate_interval]))"
                        f" / sum by (model) (rate({_FORWARD.format('count')}[$__rate_interval]))",
                        "{{model}}",
                    )
                ],
            ),
        ],
        "Batches": [
            Panel(
                "Images through networks",
                "Images a second that the cache did not answer, by model.",
                "ops",
                [Query(f"sum by (model) (rate(tapetum_images_total{_OF_MODEL}[$__rate_interval]))", "{{model}}")],
                stacked=True,
            ),
            Panel(
                "Mean batch size",
                "Images in one run of a network. It grows with load, up to max_batch_size.",
                "short",
                [
                    Query(
                        f"sum by (model) (rate(tapetum_images_total{_OF_MODEL}[$__rate_interval]))"
                        f" / sum by (model) (rate(tapetum_executions_total{_OF_MODEL}[$__rate_interval]))",
                        "{{model}}",
                    )
                ],
            ),
            Panel(
                "90th percentile of batch size",
                "One run of ten has about so many images or more.",
                "short",
                percentiles(f"tapetum_batch_size_bucket{_OF_MODEL}", "model", [0.9]),
            ),
        ],
        "Queue": [
            Panel(
                "Images waiting for a device",
                "A queue that stays long means that there are too few replicas.",
                "short",
                [Query('sum by (task) (tapetum_queue_images{task=~"$task"})', "{{task}}")],
            ),
            Panel(
                "Time in the queue",
                "Of an image, before its batch begins.",
                "s",
                percentiles(
                    'tapetum_stage_duration_seconds_bucket{task=~"$task",model=~"$model",stage="queue"}',
                    "",
                    [0.5, 0.99],
                ),
            ),
            Panel(
                "Refused requests",
                "Share of requests that are refused, as they would wait too long.",
                "percentunit",
                [Query('task:tapetum_requests_refused:ratio_rate5m{task=~"$task"}', "{{task}}")],
                limit=0.01,
            ),
        ],
        "Calls": [
            Panel(
                "Images per call",
                "Images in one call from a gateway to a replica: those that were waiting travel together.",
                "short",
                [
                    Query(
                        'sum by (task) (rate(tapetum_call_images_sum{task=~"$task"}[$__rate_interval]))'
                        ' / sum by (task) (rate(tapetum_call_images_count{task=~"$task"}[$__rate_interval]))',
                        "{{task}}",
                    )
                ],
            ),
            Panel(
                "Repeated calls",
                "Calls a second that were repeated because their replica was lost.",
                "ops",
                [
                    Query(
                        'sum by (task) (rate(tapetum_call_retries_total{task=~"$task"}[$__rate_interval]))', "{{task}}"
                    )
                ],
            ),
            Panel(
                "Batches at a Triton server",
                "Batches a second that deployments with `backend: triton` send, by what became of them.",
                "ops",
                [
                    Query(
                        f"sum by (outcome) (rate(tapetum_triton_calls_total{_OF_MODEL}[$__rate_interval]))",
                        "{{outcome}}",
                    )
                ],
                stacked=True,
            ),
            Panel(
                "Time to load",
                "Of the replica that loaded the model last, its warm-up included.",
                "s",
                [Query(f"max by (model) (tapetum_model_load_seconds{_OF_MODEL})", "{{model}}")],
                "bars",
            ),
        ],
    },
)
