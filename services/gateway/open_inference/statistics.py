"""Statistics of models, as Triton's statistics extension has them, from the metrics of all processes of the node."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from services.gateway.serving.served_model import ServedModel
from services.telemetry import collect_metrics


class Samples:
    """The current values of the metrics of this node, by name and labels."""

    def __init__(self) -> None:
        self._values: defaultdict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
        for family in collect_metrics():
            for sample in family.samples:
                self._values[sample.name].append((sample.labels, sample.value))

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric over all series that have these labels."""
        return sum(value for found, value in self._values[name] if labels.items() <= found.items())


def statistics(models: Iterable[ServedModel]) -> dict[str, Any]:
    """The statistics of some models since the node was started.

    Requests (`success`, `fail`, `last_inference`) and `cache_miss` are those of all versions of a model.
    `compute_input` is the time in decoding and preprocessing, once an image; `compute_infer` that in the network and
    `compute_output` that in postprocessing, once a batch. Of `cache_miss` no time is measured.

    Args:
        models: The models.
    """
    samples = Samples()
    return {"model_stats": [_statistics(samples, model) for model in models]}


def _statistics(samples: Samples, model: ServedModel) -> dict[str, Any]:
    of_version = {"model": model.name, "version": model.version}

    def spent(*stages: str) -> dict[str, int]:
        name = "tapetum_stage_duration_seconds"
        seconds = sum(samples.total(f"{name}_sum", **of_version, stage=stage) for stage in stages)
        return _duration(samples.total(f"{name}_count", **of_version, stage=stages[0]), seconds)

    requests = samples.total("tapetum_requests_total", model=model.name)
    succeeded = sum(samples.total("tapetum_requests_total", model=model.name, outcome=one) for one in ("ok", "partial"))
    seconds = samples.total("tapetum_request_duration_seconds_sum", model=model.name)
    failed_s = samples.total("tapetum_failed_request_duration_seconds_total", model=model.name)
    misses = samples.total("tapetum_cache_requests_total", model=model.name, outcome="miss")
    return {
        "name": model.name,
        "version": model.version,
        "last_inference": int(samples.total("tapetum_last_request_time_seconds", model=model.name) * 1e3),
        "inference_count": int(samples.total("tapetum_images_total", **of_version)),
        "execution_count": int(samples.total("tapetum_executions_total", **of_version)),
        "inference_stats": {
            "success": _duration(succeeded, seconds - failed_s),
            "fail": _duration(requests - succeeded, failed_s),
            "queue": spent("queue"),
            "compute_input": spent("decode", "preprocess"),
            "compute_infer": spent("forward"),
            "compute_output": spent("postprocess"),
            "cache_hit": spent("cache"),
            "cache_miss": _duration(misses, 0.0),
        },
        "batch_stats": [],
    }


def _duration(count: float, seconds: float) -> dict[str, int]:
    return {"count": int(count), "ns": int(max(seconds, 0.0) * 1e9)}
