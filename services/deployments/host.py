"""A model replica of Ray Serve: loads its models, then predicts lists of images.

    predict([Item…]) ──► pool: decode, preprocess ──► Batcher: forward ──► pool: postprocess, encode ──► [Outcome…]

A failed image is an `Outcome` with a failure in its place; the others have their predictions. Each model has its own
thread pool, and the operating system shares the cores among their threads: so queued images of a slow model never block
the decoding of those of a fast one.
"""

from __future__ import annotations

import asyncio
import os
import platform
import threading
import time
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
import structlog
import torch

from models.adapter import Adapter, ModelInput
from models.catalog.loading import load
from models.errors import ImageError, NonFiniteOutput
from models.kinds import KINDS
from models.runtime import Runtime
from services.accuracy.drift import Summary, summarise
from services.answers.wire import Failure, Item, Outcome, describe_prediction
from services.deployments.batcher import Batcher, OutOfDeviceMemory, Queued
from services.deployments.identity import code_digest, identity_of
from services.deployments.triton.connection import TritonConnection
from services.deployments.triton.remote_model import RemoteModel
from services.deployments.triton.runtime import TritonRuntime
from services.errors import AnswerTooLarge, InvalidImage, NonFiniteAnswer, OutOfTime, ServiceError
from services.machine.loopback import fence_replica_grpc
from services.settings import read_settings
from services.telemetry import (
    BATCH_SIZE,
    EXECUTIONS,
    IMAGES,
    MODEL_LOAD_SECONDS,
    MODEL_READY,
    QUEUE_IMAGES,
    STAGE_SECONDS,
    configure_logging,
    replica_has_started,
    replica_starts,
)
from services.topology import ModelDeployment, ModelSpec

NICENESS = 5
"""Nice value of compute threads, on Linux: where CPUs are scarce, a gateway and HAProxy on the same machine have
priority, so that an overload is refused at once (`python -m loadtests.overload`, docs/load-tests.md)."""

log = structlog.get_logger()

FIRST_CHECK_S = 10.0
"""Longest wait for a Triton server while a replica starts; it starts without the server, too."""
MAX_ANSWER_BYTES = 64 * 2**20
"""The most bytes of the answer to one image. A message between processes must stay below 2 GiB, and has many
answers."""


class HostedModel:
    """A loaded adapter with its identity, its thread pool, and its metrics.

    Args:
        adapter: The model.
        config: The deployment that hosts it.
        remote: The model at a Triton server, where its network runs there.

    Attributes:
        identity: See `services.deployments.identity`.
        parameters_type: Dataclass of the parameters of a request.
        described: Description for gateways: its catalog entry, and the device and precision of this replica.
    """

    def __init__(self, adapter: Adapter[Any, Any], config: ModelDeployment, remote: RemoteModel | None = None) -> None:
        entry = adapter.entry
        labels = (entry.task, entry.name, entry.version)
        self.adapter = adapter
        self.remote = remote
        self.parameters_type = KINDS[entry.kind].parameters
        self.pool = ThreadPoolExecutor(
            config.num_pool_threads, thread_name_prefix=f"pool-{entry.name}", initializer=start_thread, initargs=(1,)
        )
        answering = {
            **entry.to_dict(),
            "class_names": list(adapter.class_names),
            "weights_digest": adapter.weights_digest,
            "runtime": adapter.runtime.to_dict(),
        }
        self.identity = identity_of(answering)
        self.described: dict[str, Any] = {
            **answering,
            "identity": self.identity.hex(),
            "code_digest": code_digest(),
            "deployment": config.name,
            "max_batch_size": config.max_batch_size,
            "max_batch_pixels": config.pixels_per_batch,
        }
        self._described_json = orjson.dumps(self.described)
        self.images = IMAGES.labels(*labels)
        self.executions = EXECUTIONS.labels(*labels)
        self.batch_size = BATCH_SIZE.labels(*labels)
        self.ready = MODEL_READY.labels(*labels)
        self.load_seconds = MODEL_LOAD_SECONDS.labels(*labels)
        self.stages = {
            stage: STAGE_SECONDS.labels(*labels, stage)
            for stage in ("decode", "preprocess", "queue", "forward", "postprocess")
        }

    @property
    def is_ready(self) -> bool:
        """Whether it answers; a model at a Triton server does not while that is down."""
        return self.remote is None or self.remote.is_ready

    def sign(self, outcome: Outcome, expected: bytes) -> Outcome:
        """Add the identity of this model to an outcome, and its description where the gateway expects another one."""
        if outcome.body is None:
            return outcome
        described = self._described_json if expected and expected != self.identity else None
        return outcome._replace(identity=self.identity, described=described)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A preprocessed image."""

    input: ModelInput
    parameters: Any
    stages_ms: dict[str, float]


@dataclass(frozen=True, slots=True)
class Forwarded:
    """Raw network output of one batch, and the time of its forward pass."""

    raw: Any
    forward_s: float


class ModelHost:
    """Loads the models of a deployment and answers lists of images.

    Args:
        config: The deployment's section of the configuration file, as a dict, since it crosses processes.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = ModelDeployment.model_validate(config)
        replica_starts(self._config.name)
        fence_replica_grpc()
        settings = read_settings()
        configure_logging(settings)
        self._max_bytes, self._max_pixels = settings.max_image_bytes, settings.max_image_pixels
        self._triton = TritonConnection(self._config.triton) if self._config.triton else None
        self._models = {spec.name: self._load(spec) for spec in self._config.models}
        self._queue_images = QUEUE_IMAGES.labels(self._config.task)
        self._batcher: Batcher[Prepared, Forwarded, Outcome] = Batcher(
            self._forward,
            self._finish,
            lambda key: self._model_of(key).pool,
            user_of=self._model_of,
            max_batch_size=self._config.max_batch_size,
            max_batch_cost=self._config.pixels_per_batch,
            cost=pixels_of,
            max_queue_items=self._config.max_queued_images,
            max_queue_cost=self._config.pixels_queued,
            batch_wait_timeout_s=self._config.batch_wait_timeout_s,
            streams=self._config.num_device_threads,
            initializer=partial(start_thread, self._config.num_threads or torch.get_num_threads()),
        )
        replica_has_started(self._config.name)

    async def predict(self, items: list[Item]) -> list[Outcome]:
        """Predict a list of images: same length, same order; a failure in the place of its image."""
        return list(await asyncio.gather(*(self._answer(item) for item in items)))

    def describe(self) -> list[dict[str, Any]]:
        """The description of every model of this replica that is ready: all of them, but for Triton servers."""
        for model in self._models.values():
            model.ready.set(model.is_ready)
        return [model.described for model in self._models.values() if model.is_ready]

    def check_health(self) -> None:
        """Health check of Ray Serve, which replaces a replica whose check raises."""
        if not self._batcher.is_alive():
            raise RuntimeError("a device thread has ended")

    def _load(self, spec: ModelSpec) -> HostedModel:
        started_at = time.monotonic()
        config = self._config
        remote = self._remote_model(spec)
        model = HostedModel(load(spec.name, self._runtime(spec, remote)), config, remote)
        if remote is not None:
            remote.wait_until_checked(FIRST_CHECK_S)  # a Triton server warms its models up by itself
        else:
            height, width = model.adapter.entry.preprocessing.largest_size
            model.adapter.warm_up(max(1, min(config.max_batch_size, config.pixels_per_batch // (height * width))))
        took_s = time.monotonic() - started_at
        model.load_seconds.set(took_s)
        model.ready.set(model.is_ready)
        said = "model ready" if model.is_ready else "model loaded; its Triton server is not ready"
        log.info(said, model=spec.name, seconds=round(took_s, 2), precision=model.adapter.runtime.precision)
        return model

    def _runtime(self, spec: ModelSpec, remote: RemoteModel | None) -> Runtime:
        config = self._config
        if remote is not None:
            return TritonRuntime(precision="fp32", fuse=config.fuse, remote=remote)
        return Runtime(
            device=config.device,
            precision=spec.precision or config.precision,
            channels_last=config.channels_last,
            fuse=config.fuse,
            compile=config.compile,
        )

    def _remote_model(self, spec: ModelSpec) -> RemoteModel | None:
        """The model at the deployment's Triton server; None where networks run in this process."""
        if self._triton is None:
            return None
        entry = spec.entry
        return RemoteModel(self._triton, entry.name, spec.at_server, (entry.task, entry.name, entry.version))

    async def _answer(self, item: Item) -> Outcome:
        limit = asyncio.timeout(item.deadline_s - time.time())
        try:
            async with limit:
                queued = await self._compute(item)
        except TimeoutError as error:
            return failed(OutOfTime("the time limit passed in the replica") if limit.expired() else error_for(error))
        except Exception as error:
            return failed(error_for(error))
        finally:
            self._queue_images.set(len(self._batcher))
        self._models[item.model].stages["queue"].observe(queued.queue_s)
        queued.result.stages_ms["queue"] = queued.queue_s * 1e3
        return self._models[item.model].sign(queued.result, item.identity)

    async def _compute(self, item: Item) -> Queued[Outcome]:
        """Predict one image, step by step; cancelling drops the steps that have not begun."""
        pool = self._models[item.model].pool
        prepared = await asyncio.get_running_loop().run_in_executor(pool, self._prepare, item)
        deadline_s = time.monotonic() + item.deadline_s - time.time()
        return await asyncio.wrap_future(
            self._batcher.submit(prepared, (item.model, prepared.input.batch_key), deadline_s)
        )

    def _prepare(self, item: Item) -> Prepared:
        if time.time() > item.deadline_s:
            raise OutOfTime("the time limit passed before the image was decoded")
        model = self._models[item.model]
        started_at = time.perf_counter()
        try:
            image = model.adapter.decode(item.image, max_bytes=self._max_bytes, max_pixels=self._max_pixels)
        except ImageError as error:
            raise InvalidImage.of(error) from None
        decoded_at = time.perf_counter()
        model_input = model.adapter.preprocess(image)
        ended_at = time.perf_counter()
        model.stages["decode"].observe(decoded_at - started_at)
        model.stages["preprocess"].observe(ended_at - decoded_at)
        stages_ms = {"decode": (decoded_at - started_at) * 1e3, "preprocess": (ended_at - decoded_at) * 1e3}
        return Prepared(model_input, model.parameters_type(**item.parameters), stages_ms)

    def _model_of(self, key: Hashable) -> HostedModel:
        assert isinstance(key, tuple)
        return self._models[key[0]]

    def _forward(self, key: Hashable, batch: Sequence[Prepared]) -> Forwarded:
        model = self._model_of(key)
        started_at = time.perf_counter()
        raw = _forward_or_none(model.adapter, batch)
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
        started_at = time.perf_counter()
        try:
            answers: list[Answered] = list(postprocess(model.adapter, output.raw, batch))
        except Exception:  # of one of them
            answers = [postprocess_alone(model.adapter, output.raw, batch, index) for index in range(len(batch))]
        took_s = time.perf_counter() - started_at
        model.stages["postprocess"].observe(took_s)
        stages_ms = {"forward": output.forward_s * 1e3, "postprocess": took_s * 1e3}
        return [
            outcome_of(answer, {**prepared.stages_ms, **stages_ms})
            for answer, prepared in zip(answers, batch, strict=True)
        ]


Answered = tuple[bytes, Summary] | ServiceError
"""A serialised prediction with its summary for drift detection, or an error."""


def _forward_or_none(adapter: Adapter[Any, Any], batch: Sequence[Prepared]) -> Any:
    """Raw output of the network, or None where the device is out of memory.

    The exception does not leave this function: its traceback holds the tensors of the failed run.
    """
    try:
        return adapter.forward([prepared.input for prepared in batch])
    except torch.OutOfMemoryError:
        return None


def postprocess(adapter: Adapter[Any, Any], raw: Any, batch: Sequence[Prepared]) -> Iterator[tuple[bytes, Summary]]:
    """Postprocess a batch and serialise its predictions."""
    predictions = adapter.postprocess(
        raw, [prepared.input for prepared in batch], [prepared.parameters for prepared in batch]
    )
    for prediction, prepared in zip(predictions, batch, strict=True):
        yield encode(describe_prediction(prediction, adapter.class_names, prepared.parameters))


def postprocess_alone(adapter: Adapter[Any, Any], raw: Any, batch: Sequence[Prepared], index: int) -> Answered:
    """Postprocess one image of a batch; returns its prediction or its error."""
    try:
        (answer,) = postprocess(adapter, raw[index : index + 1], batch[index : index + 1])
    except Exception as error:
        return error_for(error)
    return answer


def pixels_of(prepared: Prepared) -> int:
    """Pixels of the network input of an image, its cost towards the limit of a batch."""
    height, width = prepared.input.pixels.shape[:2]
    return height * width


def encode(answer: dict[str, Any]) -> tuple[bytes, Summary]:
    """Serialises a prediction, and summarises it for drift detection."""
    return orjson.dumps(answer), summarise(answer)


def outcome_of(answer: Answered, stages_ms: dict[str, float]) -> Outcome:
    """The outcome of an image; a failure where its answer is too large to send."""
    if isinstance(answer, ServiceError):
        return failed(answer)
    body, summary = answer
    if len(body) <= MAX_ANSWER_BYTES:
        return Outcome(body, None, stages_ms, summary)
    message = (
        f"the answer has {len(body)} bytes; at most {MAX_ANSWER_BYTES} are sent: "
        "ask for mask_format=rle, or for fewer classes or objects"
    )
    return failed(AnswerTooLarge(message, {"bytes": len(body), "max_bytes": MAX_ANSWER_BYTES}))


def error_for(error: Exception) -> ServiceError:
    """Translates an exception to an error for the client; unexpected ones are logged and hidden."""
    if isinstance(error, ServiceError):
        return error
    log.error("prediction failed", exc_info=error)
    if isinstance(error, NonFiniteOutput):
        return NonFiniteAnswer(str(error))
    return ServiceError("the model failed on this image")


def start_thread(count: int) -> None:
    """Set torch's number of threads for operations of the calling thread, and lower its priority.

    On the first computation of a thread, torch assigns the count that was set last in the process: so it is read before
    it is set. Child threads inherit the priority, which is never raised: that requires a privilege.
    """
    torch.get_num_threads()
    torch.set_num_threads(count)
    if platform.system() == "Linux":  # elsewhere priorities are those of processes
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(os.getpriority(os.PRIO_PROCESS, thread), NICENESS))


def failed(error: ServiceError) -> Outcome:
    """The outcome of a failed image."""
    return Outcome(None, Failure(error.status, error.code, error.message, error.details), {})
