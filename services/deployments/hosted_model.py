"""One version of a model that is loaded in a replica: its adapter, thread pool, identity and metrics."""

from __future__ import annotations

import os
import platform
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import torch

from models.adapter import Adapter
from models.augmentation.choice import augmented
from models.catalog.version_names import join_name
from models.execution.memory import release_activations
from models.kinds import KINDS, experimental_mark
from models.request_adapter import adapter_for
from services.answers.wire import Outcome
from services.deployments.identity import code_digest, identity_of
from services.deployments.triton.runtime import TritonRuntime
from services.model_deployment import ModelDeployment
from services.telemetry import (
    BATCH_SIZE,
    EXECUTIONS,
    IMAGES,
    MODEL_LOAD_SECONDS,
    MODEL_READY,
    STAGE_SECONDS,
)

NICENESS = 5
"""Nice value of compute threads, on Linux: where CPUs are scarce, a gateway and HAProxy on the same machine have
priority, so that an overload is refused at once (`python -m loadtests.overload`, docs/load-tests.md)."""

FIRST_CHECK_S = 10.0
"""Longest wait for a Triton server while a model is loaded; it is loaded without the server, too."""


class HostedModel:
    """A loaded adapter with its identity, its thread pool, and its metrics.

    Args:
        adapter: The model.
        config: The deployment that hosts it.

    Attributes:
        remote: The model at a Triton server, where its network runs there; else None.
        model: Name of the model.
        version: Its version.
        name: `NAME@VERSION`.
        identity: See `services.deployments.identity`.
        augmented: The same with test-time augmentation; None where there is none for it.
        parameters_type: Dataclass of the parameters of a request.
        described: Description for gateways: its catalog entry, and the device and precision of this replica.
    """

    def __init__(self, adapter: Adapter[Any, Any], config: ModelDeployment) -> None:
        entry = adapter.entry
        labels = (entry.task, entry.name, entry.version)
        self.adapter = adapter
        self.augmented = augmented(adapter, config.max_batch_size)
        self.remote = adapter.runtime.remote if isinstance(adapter.runtime, TritonRuntime) else None
        self._config = config
        self.model, self.version, self.name = entry.name, entry.version, join_name(entry.name, entry.version)
        self.parameters_type = KINDS[entry.kind].parameters
        self.pool = ThreadPoolExecutor(
            config.num_pool_threads, thread_name_prefix=f"pool-{self.name}", initializer=start_thread, initargs=(1,)
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
            **experimental_mark(entry.kind),
            "max_batch_size": config.max_batch_size,
            "max_batch_pixels": config.pixels_per_batch,
            "augmented_views": self.augmented.view_count if self.augmented else 1,
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

    def adapter_for(self, parameters: Any) -> Adapter[Any, Any]:
        """The adapter of an image, by its parameters: see `models.request_adapter`."""
        return adapter_for(self.adapter, self.augmented, parameters)

    @property
    def is_ready(self) -> bool:
        """Whether it answers; a model at a Triton server does not while that is down."""
        is_ready = self.remote is None or self.remote.is_ready
        self.ready.set(is_ready)
        return is_ready

    def warm_up(self) -> None:
        """Run the network on blank images, and free their memory.

        A Triton server warms its models up by itself, and may be down.
        """
        if self.remote is not None:
            self.remote.wait_until_checked(FIRST_CHECK_S)
            return
        height, width = self.adapter.entry.preprocessing.largest_size
        batch_size = min(self._config.max_batch_size, self._config.pixels_per_batch // (height * width))
        self.adapter.warm_up(max(1, batch_size))
        release_activations()

    def sign(self, outcome: Outcome, expected: bytes) -> Outcome:
        """Add the identity of this model to an outcome, and its description where the gateway expects another one."""
        if outcome.body is None:
            return outcome
        described = self._described_json if expected and expected != self.identity else None
        return outcome._replace(identity=self.identity, described=described)

    def close(self) -> None:
        """End its threads; nothing may use it any more."""
        self.ready.set(0)
        if self.remote is not None:
            self.remote.close()
        self.pool.shutdown(wait=True)


def start_thread(count: int, niceness: int = NICENESS, device: str = "cpu") -> None:
    """Set torch's number of threads for operations of the calling thread, and lower its priority.

    On a GPU the thread gets a stream of its own, so that the batches of several threads overlap.

    On the first computation of a thread, torch assigns the count that was set last in the process: so it is read before
    it is set. Child threads inherit the priority, which is never raised: that requires a privilege.
    """
    torch.get_num_threads()
    torch.set_num_threads(count)
    if platform.system() == "Linux":  # elsewhere priorities are those of processes
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(os.getpriority(os.PRIO_PROCESS, thread), niceness))
    if device != "cpu":
        torch.cuda.set_stream(torch.cuda.Stream(device))
