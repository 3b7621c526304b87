"""The accuracy of the served models: evaluations, feedback and drift.

All of it is read in the background, every few seconds; requests and scrapes get the latest values, and where reading
fails, these stay. Every gateway reads the same stores, so all of them respond alike.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import orjson
import structlog

from services.accuracy.store import ModelKey, RecordedRun, RunReader
from services.gateway.accuracy.drift_watch import Drift, DriftWatch
from services.gateway.accuracy.feedback_metrics import Counts
from services.gateway.accuracy.feedback_store import FeedbackStore, StoreFailed
from services.gateway.accuracy.live_accuracy import Given, Live, entry_of, given_of, iso_time, or_none
from services.gateway.serving.registry import Registry
from services.gateway.serving.served_model import ServedModel
from services.settings import Settings

log = structlog.get_logger()

READ_INTERVAL_S: Final = 5.0
SHOWN_RUNS: Final = 20
"""The most runs of a model that are shown, the newest; also the most data sets of a model as metric labels."""


class AccuracyWatch:
    """Keeps the evaluations, live accuracy and drift of all served models up to date.

    Args:
        registry: The models.
        store: Windows that gateways share.
        drift: Buffers the recent predictions of this gateway.
        settings: Location of recorded runs, and size of windows.
    """

    def __init__(self, registry: Registry, store: FeedbackStore, drift: DriftWatch, settings: Settings) -> None:
        self._registry = registry
        self._store = store
        self._drift = drift
        self._settings = settings
        self._reader = RunReader(settings)
        self._runs: list[RecordedRun] = []
        self._live: dict[ModelKey, Live] = {}
        self._live_lock = asyncio.Lock()
        self._drifts: dict[ModelKey, Drift] = {}
        self._store_failing = False

    async def watch(self) -> None:
        """Read periodically until cancelled."""
        task = asyncio.current_task()
        assert task is not None
        while not task.cancelling():  # Python 3.11's `wait_for`, within redis-py, may swallow that it was
            try:
                await self.read()
            except Exception:
                log.exception("accuracy could not be read")
            await asyncio.sleep(READ_INTERVAL_S)

    async def read(self) -> None:
        """Read everything once; values that cannot be read stay unchanged."""
        self._runs = await asyncio.to_thread(self._reader.read)
        try:
            await self._exchange()
        except StoreFailed as error:
            if not self._store_failing:
                log.warning("live accuracy cannot be read", reason=str(error))
            self._store_failing = True
        else:
            self._store_failing = False

    async def add(self, model: ServedModel, counts: Counts) -> Live:
        """Add the counts of a feedback to the window of its model.

        Returns:
            The model's accuracy with it.

        Raises:
            StoreFailed
        """
        newest, size = Given(round(time.time(), 3), counts), self._settings.feedback_window
        async with self._live_lock:
            await self._store.push(_feedback_window(model.key), [entry_of(newest)], size)
            known = self._live.get(model.key)
            live = known.after(newest, size) if known else Live.of(model.kind, [newest])
            self._live[model.key] = live
        return live

    def live(self, model: ServedModel) -> Live | None:
        """Accuracy by feedback; None where there is no feedback."""
        return self._live.get(model.key)

    def runs_of(self, model: ServedModel) -> list[RecordedRun]:
        """Runs of the served weights, the newest first."""
        return [run for run in self._runs if run.model_key == model.key][:SHOWN_RUNS]

    def drift(self, model: ServedModel) -> Drift | None:
        """Drift of recent predictions; None without any."""
        return self._drifts.get(model.key)

    def measured_accuracy(self, model: ServedModel) -> list[dict[str, Any]]:
        """Runs of a model, the newest first, including other versions and weights, as JSON-able values."""
        runs = [run for run in self._runs if run.model == model.name][:SHOWN_RUNS]
        return [describe_run(run, model.key) for run in runs]

    def overview(self) -> list[dict[str, Any]]:
        """Evaluations, live accuracy and drift of every served model, as JSON-able values."""
        return [self._describe(model) for model in self._registry.served()]

    def _describe(self, model: ServedModel) -> dict[str, Any]:
        live, drift = self.live(model), self.drift(model)
        return {
            "name": model.name,
            "version": model.version,
            "task": model.task,
            "weights_digest": model.key.weights_digest,
            "offline": [describe_run(run, model.key) for run in self.runs_of(model)],
            "live": live and live.to_dict(),
            "drift": drift and drift.to_dict(),
        }

    async def _exchange(self) -> None:
        """Push buffered entries to the shared windows, and read these; drops those of replaced models."""
        await self._push_gathered()
        models, settings = self._registry.served(), self._settings
        answered = await self._store.read([_drift_window(model.key) for model in models], settings.drift_window)
        self._drifts = await asyncio.to_thread(self._drifts_of, models, answered)
        async with self._live_lock:
            told = await self._store.read([_feedback_window(model.key) for model in models], settings.feedback_window)
            self._live = await asyncio.to_thread(_live_of, models, told)

    def _drifts_of(self, models: Sequence[ServedModel], answered: Sequence[Sequence[bytes]]) -> dict[ModelKey, Drift]:
        pairs = zip(models, answered, strict=True)
        return {model.key: Drift.of(entries, self.runs_of(model)) for model, entries in pairs if entries}

    async def _push_gathered(self) -> None:
        gathered = dict(self._drift.take())
        while gathered:
            key, entries = gathered.popitem()
            try:
                await self._store.push(_drift_window(key), list(entries), self._settings.drift_window)
            except StoreFailed:
                for kept_key, kept in ((key, entries), *gathered.items()):
                    self._drift.give_back(kept_key, kept)
                raise


def describe_run(run: RecordedRun, served: ModelKey) -> dict[str, Any]:
    """A run as JSON-able values.

    Args:
        run: The run.
        served: The served weights of its model name.
    """
    figures = {name: zip(("value", "low", "high"), figure, strict=True) for name, figure in run.figures.items()}
    return {
        "dataset": run.dataset,
        "dataset_digest": run.dataset_digest,
        "kind": run.kind,
        "through": run.through,
        "images": run.images,
        "finished_at": iso_time(run.finished_at_s),
        "age_s": round(age_s(run), 1),
        "version": run.version,
        "weights_match": run.model_key == served,
        "figures": {name: {end: or_none(value) for end, value in ends} for name, ends in figures.items()},
        "protocol": dict(run.protocol),
    }


def age_s(run: RecordedRun) -> float:
    """Seconds since a run ended, at least 0."""
    return max(0.0, time.time() - run.finished_at_s)


def _live_of(models: Sequence[ServedModel], told: Sequence[Sequence[bytes]]) -> dict[ModelKey, Live]:
    found: dict[ModelKey, Live] = {}
    for model, entries in zip(models, told, strict=True):
        if given := given_of(entries, model.kind):
            found[model.key] = Live.of(model.kind, given)
    return found


def _feedback_window(key: ModelKey) -> str:
    return "feedback:" + orjson.dumps(list(key)).decode()


def _drift_window(key: ModelKey) -> str:
    return "drift:" + orjson.dumps(list(key)).decode()
