"""The models of one deployment in a process: loads them, then predicts lists of images.

    predict([Item…]) ──► pool: decode, preprocess ──► Batcher: forward ──► postprocess, encode ──► [Outcome…]

The pool hands a preprocessed image to the batcher itself. The device thread of a CPU postprocesses, too; beside a GPU
the pool does it.
A failed image is an `Outcome` with a failure in its place; the others have their predictions. Each model has its own
thread pool, and the operating system shares the cores among their threads: so queued images of a slow model never block
the decoding of those of a fast one. Versions are loaded and unloaded meanwhile, as the serving plan says
(`services.deployments.plan_follower`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable, Sequence
from concurrent.futures import Executor, Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog
import torch

from models.adapter import Adapter, DecodesToScale
from models.catalog.loading import load
from models.catalog.version_names import join_name, split_name
from models.errors import ImageError, InvalidProposals
from models.execution.alone import computing_alone
from models.imaging.decoding import DecodedImage, inspect
from services.answers.wire import Item, Outcome
from services.deployments.batcher import Batcher, OutOfDeviceMemory, Queued
from services.deployments.gpu_share import limit_memory
from services.deployments.hosted_model import HostedModel, start_thread
from services.deployments.hosted_versions import HostedVersions
from services.deployments.outcomes import (
    Answered,
    Prepared,
    error_for,
    failed,
    outcome_of,
    postprocess,
    postprocess_alone,
)
from services.deployments.plan_follower import PlanFollower
from services.deployments.shadow_thread import ShadowThread
from services.deployments.triton.runtimes import Runtimes
from services.errors import InvalidImage, OutOfTime
from services.log_lines import configure_logging
from services.machine.memory import release_memory
from services.model_deployment import ModelDeployment
from services.rollout.plan_store import MemoryPlanStore, PlanStore, open_plan_store
from services.rollout.serving_plan import ServingPlan
from services.settings import read_settings
from services.telemetry import QUEUE_IMAGES, replica_has_started, replica_starts

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Forwarded:
    """Raw network output of one batch, and the time of its forward pass."""

    raw: Any
    forward_s: float


class ModelHost:
    """Loads the models of a deployment and answers lists of images.

    Args:
        config: The deployment's section of the configuration file, as a dict, since it crosses processes.
        store: Where the serving plans are; None: on Redis, or without Redis nowhere: the versions stay those of the
            configuration.
        plans: The serving plans of the models by the whole configuration, as dicts; None: all versions of this one
            are loaded at the start.
    """

    def __init__(
        self,
        config: dict[str, Any],
        store: PlanStore | None = None,
        plans: list[dict[str, Any]] | None = None,
    ) -> None:
        self._config = ModelDeployment.model_validate(config)
        replica_starts(self._config.name)
        settings = read_settings()
        configure_logging(settings)
        self._num_threads = self._config.num_threads or torch.get_num_threads()
        self._max_bytes, self._max_pixels = settings.max_image_bytes, settings.max_image_pixels
        limit_memory(self._config.reserved_gpus)
        self._runtimes = Runtimes(self._config)
        self._versions = HostedVersions()
        first = self._first_plans() if plans is None else [ServingPlan.model_validate(plan) for plan in plans]
        store = store or open_plan_store(settings) or MemoryPlanStore()
        self._follower = PlanFollower(store, self._config.name, first, self._versions, self._load, self._start_thread)
        self._follower.load_first()
        release_memory()
        self._queue_images = QUEUE_IMAGES.labels(self._config.task)
        self._batcher: Batcher[Prepared, Forwarded, Outcome] = Batcher(
            self._forward,
            self._finish,
            self._finishing_pool,
            user_of=name_in,
            max_batch_size=self._config.max_batch_size,
            max_batch_cost=self._config.pixels_per_batch,
            cost=pixels_of,
            passes=passes_of,
            max_queue_items=self._config.max_queued_images,
            max_queue_cost=self._config.pixels_queued,
            batch_wait_timeout_s=self._config.batch_wait_timeout_s,
            streams=self._config.device_threads,
            initializer=self._start_thread,
        )
        self._in_progress = 0
        self._shadows = ShadowThread(lambda: self._in_progress > 0)
        self._follower.start()
        replica_has_started(self._config.name)

    async def predict(self, items: list[Item]) -> list[Outcome]:
        """Predict a list of images: same length, same order; a failure in the place of its image."""
        return list(await asyncio.gather(*map(self.answer, items)))

    def describe(self) -> list[dict[str, Any]]:
        """The description of every version that takes images in this replica, but for those whose server is down."""
        return [model.described for model in self._versions.serving() if model.is_ready]

    def check_health(self) -> None:
        """Health check of Ray Serve, which replaces a replica whose check raises."""
        if not self._batcher.is_alive():
            raise RuntimeError(f"a device thread of {self._config.name} has ended")

    def close(self) -> None:
        """Stop following the serving plan, as the replica ends."""
        self._follower.close()
        self._runtimes.close()

    def _first_plans(self) -> list[ServingPlan]:
        configured: dict[str, dict[str, str]] = {}
        for spec in self._config.models:
            configured.setdefault(spec.model, {})[spec.version] = self._config.name
        return [ServingPlan.first(model, versions) for model, versions in configured.items()]

    def _start_thread(self) -> None:
        start_thread(self._num_threads, device=self._config.device)

    def _load(self, name: str) -> HostedModel:
        """Load and warm up a version by its `NAME@VERSION`."""
        started_at = time.monotonic()
        config = self._config
        specs = [spec for spec in config.models if spec.model == split_name(name)[0]]
        spec = next((spec for spec in specs if join_name(spec.model, spec.version) == name), specs[0])
        model = HostedModel(load(name, self._runtimes.of(name, spec)), config)
        model.warm_up()
        took_s = time.monotonic() - started_at
        model.load_seconds.set(took_s)
        precision = model.adapter.runtime.precision
        said = "model ready" if model.is_ready else "model loaded; its Triton server is not ready"
        log.info(said, model=model.model, version=model.version, seconds=round(took_s, 2), precision=precision)
        return model

    async def answer(self, item: Item) -> Outcome:
        """Predict one image; a failure is an outcome, too."""
        limit = asyncio.timeout(item.deadline_s - time.time())
        try:
            async with limit, self._versions.use(item) as model:
                if item.is_shadow:
                    outcome = await self._shadows.run(lambda: self._predict_alone(model, item))
                    return model.sign(outcome, item.identity)
                self._in_progress += 1
                try:
                    queued = await self._compute(model, item)
                finally:
                    self._in_progress -= 1
                model.stages["queue"].observe(queued.queue_s)
                queued.result.stages_ms["queue"] = queued.queue_s * 1e3
                return model.sign(queued.result, item.identity)
        except TimeoutError as error:
            return failed(OutOfTime("the time limit passed in the replica") if limit.expired() else error_for(error))
        except Exception as error:
            return failed(error_for(error))
        finally:
            self._queue_images.set(len(self._batcher))

    async def _compute(self, model: HostedModel, item: Item) -> Queued[Outcome]:
        """Predict one image, step by step; cancelling drops the steps that have not begun."""
        future: Future[Queued[Outcome]] = Future()
        model.pool.submit(self._enqueue, model, item, future)
        return await asyncio.wrap_future(future)

    def _enqueue(self, model: HostedModel, item: Item, future: Future[Queued[Outcome]]) -> None:
        """Preprocess one image, and queue it for the device; in a thread of the pool."""
        if future.cancelled():
            return
        try:
            prepared = self._prepare(model, item)
            deadline_s = time.monotonic() + item.deadline_s - time.time()
            self._batcher.submit(prepared, (model.name, prepared.input.batch_key), deadline_s, future)
        except Exception as error:
            with suppress(InvalidStateError):  # it was cancelled meanwhile
                future.set_exception(error)

    def _finishing_pool(self, key: Hashable) -> Executor | None:
        """On a CPU the device thread postprocesses, too: other threads would take the core from the next batch."""
        is_here = self._config.device == "cpu" and self._config.backend != "triton"
        return None if is_here else self._model_of(key).pool

    def _predict_alone(self, model: HostedModel, item: Item) -> Outcome:
        """Predict one image in the calling thread, without the queue."""
        prepared = self._prepare(model, item)
        key = (model.name, prepared.input.batch_key)
        (outcome,) = self._finish(key, [prepared], self._forward(key, [prepared]))
        return outcome

    def _prepare(self, model: HostedModel, item: Item) -> Prepared:
        if time.time() > item.deadline_s:
            raise OutOfTime("the time limit passed before the image was decoded")
        parameters = model.parameters_type(**item.parameters)
        adapter = model.adapter_for(parameters)
        started_at = time.perf_counter()
        try:
            image = self._decode(adapter, item)
        except ImageError as error:
            raise InvalidImage.of(error) from None
        decoded_at = time.perf_counter()
        model_input = adapter.preprocess(image)
        ended_at = time.perf_counter()
        model.stages["decode"].observe(decoded_at - started_at)
        model.stages["preprocess"].observe(ended_at - decoded_at)
        stages_ms = {"decode": (decoded_at - started_at) * 1e3, "preprocess": (ended_at - decoded_at) * 1e3}
        return Prepared(model_input, parameters, stages_ms)

    def _decode(self, adapter: Adapter[Any, Any], item: Item) -> DecodedImage:
        caps = {"max_bytes": self._max_bytes, "max_pixels": self._max_pixels}
        if item.decoding is not None and isinstance(adapter, DecodesToScale):
            size = inspect(item.image, **caps).size
            if item.decoding.suffices(adapter.short_side_needed(size)):
                return item.decoding.decode(**caps)
        return adapter.decode(item.image, **caps)

    def short_side_needed(self, name: str, parameters: dict[str, Any], image_size: tuple[int, int]) -> int | None:
        """The short side of a JPEG that a version needs in a decode that it shares with other models.

        Args:
            name: `NAME@VERSION`.
            parameters: Complete, of the request.
            image_size: (height, width) of the image in pixels.

        Returns:
            In pixels; None where the version is not loaded, or decodes by itself.
        """
        model = self._versions.find(name)
        if model is None:
            return None
        try:
            adapter = model.adapter_for(model.parameters_type(**parameters))
        except InvalidProposals:
            return None
        return adapter.short_side_needed(image_size) if isinstance(adapter, DecodesToScale) else None

    def _model_of(self, key: Hashable) -> HostedModel:
        return self._versions.get(name_in(key))

    def _forward(self, key: Hashable, batch: Sequence[Prepared]) -> Forwarded:
        model = self._model_of(key)
        started_at = time.perf_counter()
        with computing_alone(self._in_progress == 1):
            raw = _forward_or_none(model.adapter_for(batch[0].parameters), batch)
        if raw is None:
            torch.cuda.empty_cache()
            log.warning("device out of memory", model=model.adapter.entry.name, images=len(batch))
            raise OutOfDeviceMemory("the device has too little memory for this image")
        forward_s = time.perf_counter() - started_at
        model.images.inc(len(batch))
        model.executions.inc()
        model.batch_size.observe(len(batch))
        model.stages["forward"].observe(forward_s)
        return Forwarded(raw, forward_s)

    def _finish(self, key: Hashable, batch: Sequence[Prepared], output: Forwarded) -> list[Outcome]:
        model = self._model_of(key)
        adapter = model.adapter_for(batch[0].parameters)
        started_at = time.perf_counter()
        try:
            answers: list[Answered] = list(postprocess(adapter, output.raw, batch))
        except Exception:  # of one of them
            answers = [postprocess_alone(adapter, output.raw, batch, index) for index in range(len(batch))]
        took_s = time.perf_counter() - started_at
        model.stages["postprocess"].observe(took_s)
        stages_ms = {"forward": output.forward_s * 1e3, "postprocess": took_s * 1e3}
        return [
            outcome_of(answer, {**prepared.stages_ms, **stages_ms})
            for answer, prepared in zip(answers, batch, strict=True)
        ]


def _forward_or_none(adapter: Adapter[Any, Any], batch: Sequence[Prepared]) -> Any:
    """Raw output of the network, or None where the device is out of memory.

    The exception does not leave this function: its traceback holds the tensors of the failed run.
    """
    try:
        return adapter.forward([prepared.input for prepared in batch])
    except torch.OutOfMemoryError:
        return None


def name_in(key: Hashable) -> str:
    """The `NAME@VERSION` in the key of a batch."""
    assert isinstance(key, tuple)
    return str(key[0])


def pixels_of(prepared: Prepared) -> int:
    """Pixels of the network input of an image, its cost towards the limit of a batch."""
    return prepared.input.pixel_count


def passes_of(prepared: Prepared) -> int:
    """Images that go through the network for an image: with augmentation, its views."""
    return prepared.input.view_count
