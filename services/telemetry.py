"""All Prometheus metrics of the service.

Labels come from closed sets only (configured models, tasks, stages, outcomes), so cardinality is bounded regardless of
requests; data sets are those of the latest evaluations, a few for each model. All processes of a node share a folder
(Prometheus' multiprocess mode), which `tapetum serve` or `tapetum node` creates: each process writes its own files
there, `/metrics` sums them, and counts of a replica remain after it is replaced. Gauges that all gateways share
(accuracy and drift) are not summed: a gateway computes them at a scrape, and writes them to its own file there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import psutil
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)
from prometheus_client.core import GaugeMetricFamily, Metric

from services import metric_files

M = TypeVar("M", Counter, Gauge, Histogram)

_RUN_DIR = os.environ.get("TAPETUM_RUN_DIR")
_TOLD_FILES = "told_*.prom"


def metrics_folder(run_dir: Path) -> Path:
    """The folder of the metric files of a node's processes, in the node's private folder."""
    return run_dir / "metrics"


metric_files.keep_metrics_from_full_disks()
if _RUN_DIR and metrics_folder(Path(_RUN_DIR)).is_dir():
    metric_files.share_metrics(metrics_folder(Path(_RUN_DIR)))

METRICS_CONTENT_TYPE = CONTENT_TYPE_LATEST
_MODEL = ("task", "model", "version")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
_STAGE_SECONDS = (0.0001, 0.00025, 0.0005, *_SECONDS)

REQUESTS = Counter(
    "tapetum_requests",
    "Requests to a prediction endpoint, by what became of them (ok, partial, or the code of the error).",
    (*_MODEL, "outcome"),
)
REQUEST_SECONDS = Histogram(
    "tapetum_request_duration_seconds", "From the first byte read to the answer.", _MODEL, buckets=_SECONDS
)
REQUESTS_IN_FLIGHT = Gauge(
    "tapetum_requests_in_flight", "Prediction requests being worked on.", multiprocess_mode="livesum"
)
REQUEST_IMAGES = Counter("tapetum_request_images", "Images in the requests, cached ones too.", ("task", "model"))
IMAGE_ERRORS = Counter(
    "tapetum_image_errors", "Images without an answer, by the code of the error.", ("task", "reason")
)
REQUESTS_FAILED_SECONDS = Counter(
    "tapetum_failed_request_duration_seconds",
    "The part of the request durations that was spent on requests without an answer.",
    _MODEL,
)
LAST_REQUEST_TIME = Gauge(
    "tapetum_last_request_time_seconds",
    "Unix time at which the last request ended.",
    ("task", "model"),
    multiprocess_mode="mostrecent",
)
EXPLANATIONS = Counter(
    "tapetum_explanations",
    "Requests for explanations, by what became of them (ok, or the code of the error).",
    ("model", "method", "outcome"),
)
EXPLANATION_SECONDS = Histogram(
    "tapetum_explanation_duration_seconds",
    "From the first byte read to the explanation; the first one waits for its process.",
    ("model", "method"),
    buckets=(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0),
)
CACHE_REQUESTS = Counter(
    "tapetum_cache_requests", "Images by what the result cache had for them.", ("task", "model", "outcome")
)
CACHE_WRITES = Counter("tapetum_cache_writes", "Answers put into the result cache, by what became of it.", ("outcome",))
TRITON_CALLS = Counter(
    "tapetum_triton_calls",
    "Batches that were sent to a Triton server, by what became of them (ok, failed, unavailable, timeout).",
    (*_MODEL, "outcome"),
)
CALL_IMAGES = Histogram(
    "tapetum_call_images",
    "Images in one call from a gateway to a replica.",
    ("task",),
    buckets=(1, 2, 4, 8, 16, 32, 64),
)
CALL_RETRIES = Counter("tapetum_call_retries", "Calls repeated because their replica was lost.", ("task",))

IMAGES = Counter("tapetum_images", "Images that went through a network.", _MODEL)
EXECUTIONS = Counter("tapetum_executions", "Runs of a network; images over executions is the mean batch size.", _MODEL)
BATCH_SIZE = Histogram(
    "tapetum_batch_size", "Images in one run of a network.", _MODEL, buckets=(1, 2, 4, 8, 16, 32, 64)
)
STAGE_SECONDS = Histogram(
    "tapetum_stage_duration_seconds",
    "Time per image in decode, preprocess, queue and render, and per cache hit in cache; per batch in forward and "
    "postprocess.",
    (*_MODEL, "stage"),
    buckets=_STAGE_SECONDS,
)
QUEUE_IMAGES = Gauge("tapetum_queue_images", "Images waiting for a device.", ("task",), multiprocess_mode="livesum")
MODEL_CONFIGURED = Gauge(
    "tapetum_model_configured",
    "1 for each model of the configuration, whether it is ready or not.",
    ("task", "model"),
    multiprocess_mode="livemax",
)
MODEL_READY = Gauge(
    "tapetum_model_ready", "Replicas in which the model is loaded and warm.", _MODEL, multiprocess_mode="livesum"
)
MODEL_LOAD_SECONDS = Gauge(
    "tapetum_model_load_seconds", "Time to load and warm the model.", _MODEL, multiprocess_mode="mostrecent"
)
REPLICAS = Gauge(
    "tapetum_replicas", "Replicas of a deployment that have started.", ("deployment",), multiprocess_mode="livesum"
)
REPLICA_START_TIME = Gauge(
    "tapetum_replica_start_time_seconds",
    "Unix time at which the latest replica of a deployment began to start.",
    ("deployment",),
    multiprocess_mode="mostrecent",
)
FEEDBACK = Counter(
    "tapetum_feedback",
    "Images that somebody told the truth about, by what became of it (ok, disconnected, or the code of the error).",
    ("model", "outcome"),
)

SHADOW_IMAGES = Counter(
    "tapetum_shadow_images",
    "Images for a shadow version, by what became of them (ok, dropped, or the code of the error).",
    ("model", "version", "outcome"),
)
SHADOW_AGREEMENT = Histogram(
    "tapetum_shadow_agreement",
    "Agreement of a shadow version with the version that answered, by image, a share from 0 to 1.",
    ("model", "version", "metric"),
    buckets=(0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0),
)
SHADOW_DISAGREEMENTS = Counter(
    "tapetum_shadow_disagreements",
    "Images on which a shadow version and the version that answered disagree.",
    ("model", "version"),
)


@cache
def _labelled(metric: Any, labels: tuple[str, ...]) -> Any:
    return metric.labels(*labels)


def labelled(metric: M, *labels: str) -> M:
    """A metric with its labels, looked up once: `Metric.labels` takes ten times as long.

    Args:
        metric: A metric of this module.
        labels: From closed sets.
    """
    return _labelled(metric, labels)


def replica_starts(deployment: str) -> None:
    """Record that a replica of a deployment starts."""
    REPLICA_START_TIME.labels(deployment).set_to_current_time()


def replica_has_started(deployment: str) -> None:
    """Count this process as a running replica of a deployment, until it ends."""
    REPLICAS.labels(deployment).set(1)


@dataclass(frozen=True, slots=True)
class ComputedGauge:
    """A gauge computed at each scrape from the gateway's state; series of former labels disappear.

    Attributes:
        name: Of the metric.
        documentation: Help text.
        labels: Names of its labels.
    """

    name: str
    documentation: str
    labels: tuple[str, ...]

    def family(self, samples: Iterable[tuple[Sequence[str], float]]) -> GaugeMetricFamily:
        """The metric family of the current samples.

        Args:
            samples: Label values, without duplicates, and the value of each.
        """
        family = GaugeMetricFamily(self.name, self.documentation, labels=self.labels)
        for labels, value in samples:
            family.add_metric(list(labels), value)
        return family


_WEIGHTS = ("model", "version")
MODEL_ACCURACY = ComputedGauge(
    "tapetum_model_accuracy",
    "What the latest evaluation of the very weights that are served measured, a share from 0 to 1.",
    (*_WEIGHTS, "dataset", "metric"),
)
MODEL_ACCURACY_AGE = ComputedGauge(
    "tapetum_model_accuracy_age_seconds", "Time since that evaluation ended.", (*_WEIGHTS, "dataset")
)
LIVE_ACCURACY = ComputedGauge(
    "tapetum_live_accuracy",
    "The same of the latest answers that feedback was given on, a share from 0 to 1.",
    (*_WEIGHTS, "metric"),
)
LIVE_ACCURACY_SAMPLES = ComputedGauge(
    "tapetum_live_accuracy_samples", "Feedbacks that the live accuracy is of.", _WEIGHTS
)
MODEL_DRIFT = ComputedGauge(
    "tapetum_model_drift",
    "How far the latest answers are from those of the latest evaluation, by top score or by class: the population "
    "stability index.",
    (*_WEIGHTS, "kind"),
)
MODEL_DRIFT_BY_CHANCE = ComputedGauge(
    "tapetum_model_drift_by_chance",
    "What that index is on average where nothing has shifted, for so few images.",
    (*_WEIGHTS, "kind"),
)
COMPUTED_GAUGES = (
    MODEL_ACCURACY,
    MODEL_ACCURACY_AGE,
    LIVE_ACCURACY,
    LIVE_ACCURACY_SAMPLES,
    MODEL_DRIFT,
    MODEL_DRIFT_BY_CHANCE,
)


def render_metrics(told: Sequence[Metric] = ()) -> bytes:
    """The metrics of all processes of this node, in Prometheus' text format.

    Args:
        told: The current values of `COMPUTED_GAUGES` in this process.
    """
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return (_add_up(Path(folder)) if folder else generate_latest(REGISTRY)) + _write_down(told)


def render_node(folder: Path) -> bytes:
    """The metrics of all processes of a node, rendered by a process that has none itself.

    Args:
        folder: With the metric files of the processes.
    """
    files = [file for file in folder.glob(_TOLD_FILES) if not _has_ended(file)]
    newest = max(files, key=lambda file: file.stat().st_mtime, default=None)
    return _add_up(folder) + (newest.read_bytes() if newest else b"")


def tell(told: Sequence[Metric]) -> None:
    """Write the `COMPUTED_GAUGES` to the file that `render_node` reads, replacing this process' earlier values."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder is None:
        return
    file = Path(folder) / _TOLD_FILES.replace("*", str(os.getpid()))
    draft = file.with_suffix(".new")
    with suppress(OSError):  # a full disk; then what was told before stays
        draft.write_bytes(_write_down(told))
        draft.replace(file)


def collect_metrics() -> Iterable[Metric]:
    """The metrics of all processes of this node, without the `COMPUTED_GAUGES`."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return (_summed(Path(folder)) if folder else REGISTRY).collect()


def _add_up(folder: Path) -> bytes:
    return generate_latest(_summed(folder))


def _summed(folder: Path) -> CollectorRegistry:
    forget_ended_processes(folder)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, path=str(folder))
    return registry


def _write_down(told: Sequence[Metric]) -> bytes:
    return generate_latest(cast(CollectorRegistry, _Told(told)))


@dataclass(frozen=True, slots=True)
class _Told:
    """A registry for prometheus_client with given metric families."""

    families: Sequence[Metric]

    def collect(self) -> Sequence[Metric]:
        return self.families


def forget_ended_processes(folder: Path) -> None:
    """Remove the live gauges of ended processes, so that a killed replica is not counted as running."""
    for file in (*folder.glob("gauge_live*_*.db"), *folder.glob(_TOLD_FILES)):
        if _has_ended(file):
            file.unlink(missing_ok=True)


def _has_ended(file: Path) -> bool:
    """Whether the process of a metric file, whose name ends in its id, has ended."""
    match = re.search(r"_(\d+)$", file.stem)
    return match is not None and not psutil.pid_exists(int(match[1]))


def read_gauge(name: str, folder: Path) -> float:
    """Sum of a gauge over all processes that share `folder`; 0.0 where it is not set."""
    families = _summed(folder).collect()
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)
